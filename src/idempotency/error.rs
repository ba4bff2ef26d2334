use std::time::Duration;

use super::Key;
use crate::error::{BoxError, Error, Kind};

/// Somebody else is doing it, or took it over: ask again later. It says nothing against the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is being done elsewhere")]
#[non_exhaustive]
pub struct Busy {
    /// What is being done.
    pub key: Key,
    /// When the claim expires at the latest.
    pub retry_after: Duration,
}

/// Why [`once`](super::once) has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure<E> {
    /// Somebody else is doing it.
    #[error(transparent)]
    Busy(Busy),
    /// The key was used for another request.
    #[error("{0} was used for another request")]
    Mismatch(Key),
    /// The store failed. The work may have been done.
    #[error(transparent)]
    Store(Error),
    /// The work failed; the key is free again.
    #[error("the work failed")]
    Work(#[source] E),
}

impl<E: Into<BoxError>> Failure<E> {
    /// The failure as services report it: [`Busy`] is the source of a transient [`Error`].
    pub(super) fn into_box(self) -> BoxError {
        match self {
            Self::Busy(busy) => Error::new(Kind::Contention, "idempotency", "claim")
                .with_source(busy)
                .into(),
            Self::Mismatch(key) => Error::new(Kind::Conflict, "idempotency", "claim")
                .with_detail(format!("{key} was used for another request"))
                .into(),
            Self::Store(error) => error.into(),
            Self::Work(error) => error.into(),
        }
    }
}
