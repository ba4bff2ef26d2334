use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use super::{CircuitState, Error, Kind};
use crate::classify::Failure;

/// A pattern refused the call; the protected service was not asked, or its answer came too late.
///
/// A refusal is not evidence that the service is unwell, so classifiers treat it as
/// [`Outcome::Ignored`](crate::classify::Outcome::Ignored), all but [`Elapsed`](Self::Elapsed): an
/// answer that does not come in time is a transient failure.
///
/// A retry or hedge that its budget refuses is none of these: the call ends with the service's own
/// error, or goes on with the attempts it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The bulkhead has no free place and its queue is full.
    #[error("bulkhead {name} is full")]
    #[non_exhaustive]
    BulkheadFull {
        /// The bulkhead's name.
        name: Arc<str>,
    },
    /// The circuit lets this call not pass.
    #[error("circuit {name} is {}{}", state.as_str(), Wait(*retry_after))]
    #[non_exhaustive]
    CircuitOpen {
        /// The breaker's name.
        name: Arc<str>,
        /// Its state: open, half-open with all probes taken, or ramping up.
        state: CircuitState,
        /// How the latest failure that it saw failed.
        last_failure: Option<Failure>,
        /// How long until the next call may be let through; `None` while it is open until somebody
        /// closes it.
        retry_after: Option<Duration>,
    },
    /// The call did not finish in the time it was given.
    #[error("no answer within {limit:?}")]
    #[non_exhaustive]
    Elapsed {
        /// The time that was given.
        limit: Duration,
    },
    /// The call asks for more permits at once than the rate limit ever holds: it will never pass.
    #[error("{asked} permits at once exceed the burst of {burst} of rate limit {name}")]
    #[non_exhaustive]
    ExceedsBurst {
        /// The limiter's name.
        name: Arc<str>,
        /// How many permits the call asked for.
        asked: u32,
        /// How many the limiter holds at most.
        burst: u32,
    },
    /// As many calls are running as the adaptive limit lets through now.
    #[error("limit {name} of {limit} calls is reached")]
    #[non_exhaustive]
    LimitExceeded {
        /// The limit's name.
        name: Arc<str>,
        /// How many calls it lets through now.
        limit: u32,
    },
    /// The registry knows no instance of the service.
    #[error("no instance of service {service} is known")]
    #[non_exhaustive]
    NoInstances {
        /// The service's name.
        service: Arc<str>,
    },
    /// The call waited for a place for as long as it may.
    #[error("waited {waited:?} for a place in bulkhead {name}")]
    #[non_exhaustive]
    QueueTimeout {
        /// The bulkhead's name.
        name: Arc<str>,
        /// How long the call waited.
        waited: Duration,
    },
    /// The rate limit is used up.
    #[error("rate limit {name} is used up, retry after {retry_after:?}")]
    #[non_exhaustive]
    RateLimited {
        /// The limiter's name.
        name: Arc<str>,
        /// How long until the next permit.
        retry_after: Duration,
    },
}

impl Rejected {
    /// The bulkhead `name` is full, and so is its queue.
    #[must_use]
    pub fn bulkhead_full(name: impl Into<Arc<str>>) -> Self {
        Self::BulkheadFull { name: name.into() }
    }

    /// The circuit `name` is open for another `retry_after`; `None`: it was opened by hand, and is open
    /// until somebody closes it.
    #[must_use]
    pub fn circuit_open(
        name: impl Into<Arc<str>>,
        retry_after: impl Into<Option<Duration>>,
    ) -> Self {
        let retry_after = retry_after.into();
        Self::CircuitOpen {
            name: name.into(),
            state: match retry_after {
                Some(_) => CircuitState::Open,
                None => CircuitState::ForcedOpen,
            },
            last_failure: None,
            retry_after,
        }
    }

    /// No answer came within `limit`.
    #[must_use]
    pub fn elapsed(limit: Duration) -> Self {
        Self::Elapsed { limit }
    }

    /// `asked` permits at once are more than the `burst` of the rate limit `name`.
    #[must_use]
    pub fn exceeds_burst(name: impl Into<Arc<str>>, asked: u32, burst: u32) -> Self {
        Self::ExceedsBurst {
            name: name.into(),
            asked,
            burst,
        }
    }

    /// As many calls are running as the adaptive limit `name` lets through now.
    #[must_use]
    pub fn limit_exceeded(name: impl Into<Arc<str>>, limit: u32) -> Self {
        Self::LimitExceeded {
            name: name.into(),
            limit,
        }
    }

    /// No instance of `service` is known.
    #[must_use]
    pub fn no_instances(service: impl Into<Arc<str>>) -> Self {
        Self::NoInstances {
            service: service.into(),
        }
    }

    /// The call waited for `waited` and got no place in bulkhead `name`.
    #[must_use]
    pub fn queue_timeout(name: impl Into<Arc<str>>, waited: Duration) -> Self {
        Self::QueueTimeout {
            name: name.into(),
            waited,
        }
    }

    /// The rate limit `name` is used up; the next permit comes in `retry_after`.
    #[must_use]
    pub fn rate_limited(name: impl Into<Arc<str>>, retry_after: Duration) -> Self {
        Self::RateLimited {
            name: name.into(),
            retry_after,
        }
    }

    /// The name of what refused, or of the service that has no instance; `None` when the time was up.
    #[must_use]
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::BulkheadFull { name }
            | Self::CircuitOpen { name, .. }
            | Self::ExceedsBurst { name, .. }
            | Self::LimitExceeded { name, .. }
            | Self::NoInstances { service: name }
            | Self::QueueTimeout { name, .. }
            | Self::RateLimited { name, .. } => Some(name),
            Self::Elapsed { .. } => None,
        }
    }

    /// When it makes sense to try again, if the pattern knows.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::CircuitOpen { retry_after, .. } => *retry_after,
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::BulkheadFull { .. }
            | Self::Elapsed { .. }
            | Self::ExceedsBurst { .. }
            | Self::LimitExceeded { .. }
            | Self::NoInstances { .. }
            | Self::QueueTimeout { .. } => None,
        }
    }
}

/// An error of kind [`Kind::Timeout`] when the time was up, [`Kind::Throttled`] for a rate limit,
/// [`Kind::TooLarge`] for what it never lets through, [`Kind::Unavailable`] for all else; the refusal is its
/// source.
impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        let (kind, pattern) = match rejected {
            Rejected::BulkheadFull { .. } | Rejected::QueueTimeout { .. } => {
                (Kind::Unavailable, "bulkhead")
            }
            Rejected::CircuitOpen { .. } => (Kind::Unavailable, "breaker"),
            Rejected::Elapsed { .. } => (Kind::Timeout, "timeout"),
            Rejected::ExceedsBurst { .. } => (Kind::TooLarge, "rate"),
            Rejected::LimitExceeded { .. } => (Kind::Unavailable, "adaptive"),
            Rejected::NoInstances { .. } => (Kind::Unavailable, "discovery"),
            Rejected::RateLimited { .. } => (Kind::Throttled, "rate"),
        };
        Self::new(kind, pattern, "call").with_source(rejected)
    }
}

/// `TimedOut` when the time was up, `QuotaExceeded` for a rate limit, `InvalidInput` for what it never lets
/// through, `ResourceBusy` for all else; the refusal is inside.
impl From<Rejected> for io::Error {
    fn from(rejected: Rejected) -> Self {
        let kind = match rejected {
            Rejected::Elapsed { .. } => io::ErrorKind::TimedOut,
            Rejected::RateLimited { .. } => io::ErrorKind::QuotaExceeded,
            Rejected::ExceedsBurst { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::ResourceBusy,
        };
        Self::new(kind, rejected)
    }
}

/// How long to wait, as the end of a sentence.
struct Wait(Option<Duration>);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(wait) => write!(f, ", retry after {wait:?}"),
            None => f.write_str(" until somebody resets it"),
        }
    }
}
