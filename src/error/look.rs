use std::any::{Any, TypeId};
use std::error::Error as StdError;
use std::ptr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{BoxError, Error, Rejected};

type Look = dyn Fn(&dyn Any) -> Option<&(dyn StdError + 'static)> + Send + Sync;

/// How to look into the error types that were made known. It is read for failures only, and hardly ever
/// written.
static KNOWN: Table<Look> = Table::const_empty();

/// What an error of a chain holds, `None` for one of another type.
type Step = dyn for<'a> Fn(&'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)>
    + Send
    + Sync;

/// How to get from an error of these types to the next one of its chain.
static STEPS: Table<Step> = Table::const_empty();

type Table<F> = ArcSwapOption<Vec<(TypeId, Arc<F>)>>;

/// Says where an error type of yours holds another error, so that classifiers and [`rejected`](super::rejected)
/// find a refusal in it.
///
/// A pattern knows no more of `E` than that it can be made from a [`Rejected`]. What it has become then is
/// for `E` to know: without this call a refusal inside looks like a failure of the service, which opens
/// breakers further out and is tried again. [`BoxError`], `Box<dyn Error>`, [`Error`], [`std::io::Error`],
/// [`Rejected`] and the errors of this library need no such call.
///
/// `look` returns the error to be judged in the place of `E`, with all its causes: the refusal, or any other
/// error inside; `None` when there is none.
///
/// It holds for the whole process. The first `look` for a type holds, further ones change nothing and cost
/// next to nothing: called where a refusal becomes an `E`, it cannot be forgotten. One that returns other
/// errors too belongs where the program starts, or they are judged one way before it and another after.
///
/// ```
/// use bowline::error::{Rejected, look_into, rejected};
///
/// #[derive(Debug)]
/// enum ApiError {
///     NotFound,
///     Refused(Rejected),
/// }
///
/// impl From<Rejected> for ApiError {
///     fn from(refused: Rejected) -> Self {
///         look_into(|error: &Self| match error {
///             Self::Refused(refused) => Some(refused),
///             Self::NotFound => None,
///         });
///         Self::Refused(refused)
///     }
/// }
///
/// let refused = ApiError::from(Rejected::bulkhead_full("billing"));
/// assert!(rejected(&refused).is_some());
/// assert!(rejected(&ApiError::NotFound).is_none());
/// ```
///
/// An `E` is looked into where it is the error of the call itself, **and not where it is boxed or inside of
/// another error**: there it is known by its [`source`](StdError::source) only, and one that is
/// `#[error(transparent)]` passes over what it holds. For a type that implements [`Error`](StdError) use
/// [`look_into_error`], which finds it there too.
///
/// A type that derives its `From`, or a foreign one, is made known there as well:
///
/// ```
/// # use bowline::error::Rejected;
/// #[derive(Debug, thiserror::Error)]
/// #[error(transparent)]
/// struct Failed(#[from] Rejected);
///
/// bowline::error::look_into_error(|failed: &Failed| Some(&failed.0));
/// ```
pub fn look_into<E: 'static>(look: fn(&E) -> Option<&(dyn StdError + 'static)>) {
    add(&KNOWN, TypeId::of::<E>(), || {
        Arc::new(move |error| error.downcast_ref().and_then(look))
    });
}

/// Says where an error type of yours holds another error, wherever it stands: as the error of a call, in a
/// [`BoxError`], or among the causes of another error.
///
/// As [`look_into`], but for types that implement [`Error`](StdError) only. `look` returns what follows `E` in
/// the chain of causes. Where it returns `None`, or the very same error, that is its
/// [`source`](StdError::source).
///
/// What is `#[error(transparent)]` needs this: its source is that of the refusal it holds, which has none.
///
/// ```
/// use bowline::error::{BoxError, Rejected, look_into_error, rejected};
///
/// #[derive(Debug, thiserror::Error)]
/// enum ApiError {
///     #[error("not found")]
///     NotFound,
///     #[error(transparent)]
///     Refused(#[from] Rejected),
/// }
///
/// look_into_error(|error: &ApiError| match error {
///     ApiError::Refused(refused) => Some(refused),
///     ApiError::NotFound => None,
/// });
/// let boxed: BoxError = ApiError::from(Rejected::bulkhead_full("billing")).into();
/// assert!(rejected(&boxed).is_some());
/// ```
pub fn look_into_error<E>(look: fn(&E) -> Option<&(dyn StdError + 'static)>)
where
    E: StdError + 'static,
{
    look_into(|error: &E| Some(error));
    add(&STEPS, TypeId::of::<E>(), || {
        Arc::new(move |error| {
            let error = error.downcast_ref::<E>()?;
            // One that stands for itself would have no end.
            look(error).filter(|held| !held.downcast_ref().is_some_and(|held| ptr::eq(error, held)))
        })
    });
}

/// What `error`, which is of a chain, holds beside its source.
pub(super) fn held<'a>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a (dyn StdError + 'static)> {
    let steps = STEPS.load();
    steps.as_ref()?.iter().find_map(|(_, step)| step(error))
}

/// The first for a type holds.
fn add<F: ?Sized>(table: &Table<F>, id: TypeId, new: impl FnOnce() -> Arc<F>) {
    if find(table, id).is_some() {
        return;
    }
    let new = new();
    table.rcu(|known| {
        let mut known = known.as_deref().cloned().unwrap_or_default();
        if known.iter().all(|(other, _)| *other != id) {
            known.push((id, Arc::clone(&new)));
        }
        Some(Arc::new(known))
    });
}

fn find<F: ?Sized>(table: &Table<F>, id: TypeId) -> Option<Arc<F>> {
    let known = table.load();
    let mut known = known.as_ref()?.iter();
    known
        .find(|(other, _)| *other == id)
        .map(|(_, known)| Arc::clone(known))
}

/// What stands for `error` in a chain of causes: itself if it is of a type that is known, or what it holds.
pub(crate) fn inside<E: 'static>(error: &E) -> Option<&(dyn StdError + 'static)> {
    let error: &dyn Any = error;
    if let Some(boxed) = error.downcast_ref::<BoxError>() {
        return Some(&**boxed);
    }
    let id = error.type_id();
    if id == TypeId::of::<Rejected>() {
        return known::<Rejected>(error);
    }
    if id == TypeId::of::<Error>() {
        return known::<Error>(error);
    }
    if id == TypeId::of::<std::io::Error>() {
        return known::<std::io::Error>(error);
    }
    if let Some(boxed) = error.downcast_ref::<Box<dyn StdError>>() {
        return Some(&**boxed);
    }
    KNOWN.load().as_ref()?;
    find(&KNOWN, id)?(error)
}

fn known<E: StdError + 'static>(error: &dyn Any) -> Option<&(dyn StdError + 'static)> {
    error.downcast_ref::<E>().map(|error| error as _)
}
