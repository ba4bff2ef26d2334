use std::error::Error as StdError;
use std::{fmt, io, iter};

use super::Rejected;
use super::look::{held, inside};

/// The first error of type `E` in the chain that starts at `error`.
///
/// The error that an [`io::Error`] was made from is part of the chain, though it is not its source; so is what
/// an error holds by [`look_into_error`](super::look_into_error).
#[must_use]
pub fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// `error`, and what caused it.
pub(crate) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error| {
        // Its source is that of the error inside, which would be passed over.
        let inside = error.downcast_ref().and_then(io::Error::get_ref);
        let inside = inside.map(|inside| inside as _);
        inside.or_else(|| held(error)).or_else(|| error.source())
    })
}

/// Whether an error of type `E` is in the chain that starts at `error`.
#[must_use]
pub fn is_caused_by<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    cause::<E>(error).is_some()
}

/// The refusal inside `error`, when `error` is a [`Rejected`], or is caused by one: a
/// [`BoxError`](super::BoxError), an [`Error`](super::Error), an [`io::Error`], or an error type that was
/// [made known](super::look_into).
///
/// No other error can be looked into: [`look_into`](super::look_into) says where it holds a refusal, and
/// [`look_into_error`](super::look_into_error) also where it is not the outermost error.
#[must_use]
pub fn rejected<E: 'static>(error: &E) -> Option<&Rejected> {
    inside(error).and_then(cause)
}

/// Displays an error with all its causes, `outer: inner: innermost`.
///
/// ```
/// use bowline::error::{Chain, Error, Kind};
///
/// let error = Error::new(Kind::Unavailable, "redis", "claim")
///     .with_source(std::io::Error::other("connection refused"));
/// assert_eq!(Chain(&error).to_string(), "redis claim: unavailable: connection refused");
/// ```
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a display wrapper made in place")]
pub struct Chain<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(current) = next {
            write!(f, ": {current}")?;
            next = current.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{BoxError, Error, Kind};

    #[test]
    fn a_refusal_is_found_plain_boxed_and_nested() {
        let refusal = Rejected::elapsed(Duration::from_secs(1));
        assert_eq!(rejected(&refusal), Some(&refusal));

        let boxed: BoxError = refusal.clone().into();
        assert_eq!(rejected(&boxed), Some(&refusal));

        let nested = Error::new(Kind::Other, "memory", "test").with_source(refusal.clone());
        assert_eq!(rejected(&nested), Some(&refusal));
        let nested: BoxError = nested.into();
        assert_eq!(rejected(&nested), Some(&refusal));
        let nested = io::Error::other(nested);
        assert_eq!(rejected(&nested), Some(&refusal));
        let local: Box<dyn StdError> = nested.into();
        assert_eq!(rejected(&local), Some(&refusal));

        let other: BoxError = "something else".into();
        assert_eq!(rejected(&other), None);
    }
}
