use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

use super::{BoxError, Rejected};

/// The first error of type `E` in the chain that starts at `error`.
#[must_use]
pub fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        next = current.source();
    }
    None
}

/// Whether an error of type `E` is in the chain that starts at `error`.
#[must_use]
pub fn is_caused_by<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    cause::<E>(error).is_some()
}

/// The refusal inside `error`, when `error` is a [`Rejected`] or a [`BoxError`] that holds one.
///
/// A service's own error enum cannot be looked into; give the pattern a classifier for it.
#[must_use]
pub fn rejected<E: 'static>(error: &E) -> Option<&Rejected> {
    typed(error)
}

/// The error of type `T` inside `error`, when `error` is a `T` or a [`BoxError`] caused by one.
pub(crate) fn typed<T: StdError + 'static, E: 'static>(error: &E) -> Option<&T> {
    let error: &dyn Any = error;
    match error.downcast_ref::<BoxError>() {
        Some(boxed) => cause(&**boxed),
        None => error.downcast_ref(),
    }
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
    use crate::error::{Error, Kind};

    #[test]
    fn a_refusal_is_found_plain_boxed_and_nested() {
        let refusal = Rejected::elapsed(Duration::from_secs(1));
        assert_eq!(rejected(&refusal), Some(&refusal));

        let boxed: BoxError = refusal.clone().into();
        assert_eq!(rejected(&boxed), Some(&refusal));

        let nested: BoxError = Error::new(Kind::Other, "memory", "test")
            .with_source(refusal.clone())
            .into();
        assert_eq!(rejected(&nested), Some(&refusal));

        let other: BoxError = "something else".into();
        assert_eq!(rejected(&other), None);
    }
}
