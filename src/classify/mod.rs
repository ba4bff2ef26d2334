//! What an outcome means: one vocabulary for breaker, retry, consumer and dead letters.
//!
//! A [`Classify`] looks at a result once and says [`Outcome::Success`], [`Outcome::Failure`] with
//! its [`Failure`] kind, or [`Outcome::Ignored`]. A breaker counts failures, a retry repeats the
//! transient and throttled ones. A closure is a classifier.
//!
//! # When not to use it
//!
//! To change a result: a classifier only looks. To decide whether an effect may happen twice: that a
//! failure is transient says when trying again helps, not that nothing was done.
//!
//! # Examples
//!
//! ```
//! use bowline::classify::{Classify, Failure, Outcome};
//!
//! let only_five = |result: Result<&u32, &std::io::Error>| match result {
//!     Ok(5) => Outcome::Failure(Failure::Permanent),
//!     Ok(_) => Outcome::Success,
//!     Err(_) => Outcome::Failure(Failure::Transient),
//! };
//! assert_eq!(only_five.classify(Ok(&5)), Outcome::Failure(Failure::Permanent));
//! ```

use std::time::Duration;

use crate::error::{Error, Kind, Rejected, causes, inside};
#[cfg(doc)]
use crate::error::{look_into, look_into_error};

mod http_status;
mod kind;

pub use http_status::{HttpStatus, retry_after};
pub use kind::ErrorKind;

/// What a finished call tells about the service that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three answers; every pattern must handle each"
)]
pub enum Outcome {
    /// The service did its work.
    Success,
    /// The service failed.
    Failure(Failure),
    /// The result says nothing about the service, e.g. the caller's own mistake.
    Ignored,
}

/// How a service failed, and so whether it makes sense to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three answers; every pattern must handle each"
)]
pub enum Failure {
    /// The same call may succeed later.
    Transient,
    /// The service asked for fewer calls.
    Throttled {
        /// How long it asked us to stay away.
        retry_after: Option<Duration>,
    },
    /// The same call will fail again.
    Permanent,
}

/// Says what a result means.
///
/// Implemented for closures `Fn(Result<&Res, &Err>) -> Outcome`.
pub trait Classify<Res, Err> {
    /// What `result` tells about the service.
    fn classify(&self, result: Result<&Res, &Err>) -> Outcome;
}

impl<F, Res, Err> Classify<Res, Err> for F
where
    F: Fn(Result<&Res, &Err>) -> Outcome,
{
    fn classify(&self, result: Result<&Res, &Err>) -> Outcome {
        self(result)
    }
}

/// The default classifier: `Ok` is a success, an `Err` is a failure.
///
/// It looks for these among the error and its causes; the first of the list that is there decides:
///
/// 1. [`Rejected`] is [`Outcome::Ignored`]: an inner pattern refused, the service was not asked.
///    [`Rejected::Elapsed`] is the exception, a transient failure: the service was too slow.
/// 2. [`Error`] is transient or permanent by its [`Kind`].
/// 3. [`std::io::Error`] is transient or permanent by [`io_failure`].
/// 4. Anything else is transient.
///
/// It can look into a [`BoxError`](crate::error::BoxError), a `Box<dyn std::error::Error>`, the errors of this
/// library, [`std::io::Error`], and whatever type [`look_into_error`] or [`look_into`] was told of. **An error
/// enum of your own that it was not told of is a transient failure, also when a refusal is inside**: an inner
/// bulkhead that is full would open an outer breaker and be tried again. Further down, in a box or inside of
/// another error, it follows [`source`](std::error::Error::source), and where [`look_into_error`] was told of
/// a type, what that holds; [`look_into`] is for the outermost error only.
///
/// ```
/// use bowline::classify::{AnyError, Classify, Outcome};
/// use bowline::error::{Rejected, look_into_error};
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
/// let full = ApiError::from(Rejected::bulkhead_full("billing"));
/// assert_eq!(AnyError.classify(Result::<&(), _>::Err(&full)), Outcome::Ignored);
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct AnyError;

impl<Res, Err: 'static> Classify<Res, Err> for AnyError {
    #[inline]
    fn classify(&self, result: Result<&Res, &Err>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(error) => error_outcome(error),
        }
    }
}

impl Error {
    /// How this failure should be treated by a retry or a breaker.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self.kind() {
            Kind::Throttled => Failure::Throttled { retry_after: None },
            kind if kind.is_transient() => Failure::Transient,
            _ => Failure::Permanent,
        }
    }
}

/// How an input/output error should be treated: refused, reset, aborted, unreachable, timed out and
/// interrupted connections are transient, all else is permanent.
#[must_use]
pub fn io_failure(error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{
        AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
        HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, NotConnected, ResourceBusy,
        TimedOut, UnexpectedEof, WouldBlock,
    };
    match error.kind() {
        AddrNotAvailable | BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset
        | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable | NotConnected
        | ResourceBusy | TimedOut | UnexpectedEof | WouldBlock => Failure::Transient,
        _ => Failure::Permanent,
    }
}

#[inline(never)]
fn error_outcome<E: 'static>(error: &E) -> Outcome {
    inside(error).map_or(Outcome::Failure(Failure::Transient), chain_outcome)
}

fn chain_outcome(error: &(dyn std::error::Error + 'static)) -> Outcome {
    let (mut of_store, mut of_io) = (None, None);
    for error in causes(error) {
        if let Some(rejected) = error.downcast_ref() {
            return match rejected {
                Rejected::Elapsed { .. } => Outcome::Failure(Failure::Transient),
                _ => Outcome::Ignored,
            };
        }
        of_store = of_store.or_else(|| error.downcast_ref().map(Error::failure));
        of_io = of_io.or_else(|| error.downcast_ref().map(io_failure));
    }
    Outcome::Failure(of_store.or(of_io).unwrap_or(Failure::Transient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BoxError;

    fn of(error: impl Into<BoxError>) -> Outcome {
        AnyError.classify(Result::<&(), _>::Err(&error.into()))
    }

    #[test]
    fn any_error_follows_its_table() {
        assert_eq!(
            AnyError.classify(Result::<_, &BoxError>::Ok(&())),
            Outcome::Success
        );
        assert_eq!(
            of(Rejected::circuit_open("a", Duration::ZERO)),
            Outcome::Ignored
        );
        assert_eq!(
            of(Rejected::elapsed(Duration::ZERO)),
            Outcome::Failure(Failure::Transient)
        );
        assert_eq!(
            of(Error::new(Kind::Unavailable, "memory", "test")),
            Outcome::Failure(Failure::Transient)
        );
        assert_eq!(
            of(Error::new(Kind::Invalid, "memory", "test")),
            Outcome::Failure(Failure::Permanent)
        );
        assert_eq!(
            of(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            Outcome::Failure(Failure::Transient)
        );
        assert_eq!(
            of(std::io::Error::from(std::io::ErrorKind::PermissionDenied)),
            Outcome::Failure(Failure::Permanent)
        );
        assert_eq!(of("unknown"), Outcome::Failure(Failure::Transient));
    }

    #[test]
    fn the_errors_of_this_library_are_looked_into() {
        fn holds<E: From<Rejected> + 'static>() {
            let judge =
                |rejected: Rejected| AnyError.classify(Result::<&(), _>::Err(&E::from(rejected)));
            assert_eq!(judge(Rejected::bulkhead_full("a")), Outcome::Ignored);
            assert_eq!(judge(Rejected::circuit_open("a", None)), Outcome::Ignored);
            assert_eq!(judge(Rejected::exceeds_burst("a", 2, 1)), Outcome::Ignored);
            assert_eq!(
                judge(Rejected::elapsed(Duration::ZERO)),
                Outcome::Failure(Failure::Transient)
            );
        }
        holds::<Rejected>();
        holds::<Error>();
        holds::<std::io::Error>();
        holds::<BoxError>();
        holds::<Box<dyn std::error::Error>>();
    }

    #[test]
    fn the_error_of_a_store_outweighs_that_of_its_connection() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let stored = Error::new(Kind::Corrupt, "memory", "test").with_source(reset);
        assert_eq!(
            of(std::io::Error::other(stored)),
            Outcome::Failure(Failure::Permanent)
        );
    }
}
