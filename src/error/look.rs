use std::any::{Any, TypeId};
use std::error::Error as StdError;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{BoxError, Error, Rejected};

type Look = dyn Fn(&dyn Any) -> Option<&(dyn StdError + 'static)> + Send + Sync;

/// How to look into the error types that were made known. It is read for failures only, and hardly ever
/// written.
static KNOWN: ArcSwapOption<Vec<(TypeId, Arc<Look>)>> = ArcSwapOption::const_empty();

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
/// A type that derives its `From`, or a foreign one, is made known there as well:
///
/// ```
/// # use bowline::error::Rejected;
/// #[derive(Debug, thiserror::Error)]
/// #[error(transparent)]
/// struct Failed(#[from] Rejected);
///
/// bowline::error::look_into(|failed: &Failed| Some(&failed.0));
/// ```
pub fn look_into<E: 'static>(look: fn(&E) -> Option<&(dyn StdError + 'static)>) {
    let id = TypeId::of::<E>();
    if look_of(id).is_some() {
        return;
    }
    let look: Arc<Look> = Arc::new(move |error| error.downcast_ref().and_then(look));
    KNOWN.rcu(|known| {
        let mut known = known.as_deref().cloned().unwrap_or_default();
        if known.iter().all(|(other, _)| *other != id) {
            known.push((id, Arc::clone(&look)));
        }
        Some(Arc::new(known))
    });
}

fn look_of(id: TypeId) -> Option<Arc<Look>> {
    let known = KNOWN.load();
    let mut known = known.as_ref()?.iter();
    known
        .find(|(other, _)| *other == id)
        .map(|(_, look)| Arc::clone(look))
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
    look_of(id)?(error)
}

fn known<E: StdError + 'static>(error: &dyn Any) -> Option<&(dyn StdError + 'static)> {
    error.downcast_ref::<E>().map(|error| error as _)
}
