use std::fmt;

use crate::error::{Error, Kind, Rejected, look_into};

/// Whether a record that failed may be in the topic nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the two answers; a caller must handle both"
)]
pub enum SendStatus {
    /// It is certainly not there.
    NotSent,
    /// Nobody knows: the answer was lost.
    Unknown,
}

/// A record was not acknowledged.
#[derive(Debug)]
pub struct PublishError {
    error: Error,
    status: SendStatus,
}

impl PublishError {
    /// The record is certainly not in the topic.
    #[must_use]
    pub fn not_sent(error: Error) -> Self {
        Self::new(error, SendStatus::NotSent)
    }

    /// The record may be in the topic.
    #[must_use]
    pub fn unknown(error: Error) -> Self {
        Self::new(error, SendStatus::Unknown)
    }

    fn new(error: Error, status: SendStatus) -> Self {
        // Patterns around a publisher are to find what went wrong in it.
        look_into(|failed: &Self| Some(failed));
        Self { error, status }
    }

    /// The record was held back because an earlier one of its key failed.
    #[must_use]
    pub fn held(backend: &'static str) -> Self {
        let error = Error::new(Kind::Contention, backend, "publish")
            .with_detail("an earlier record of the same key failed");
        Self::not_sent(error)
    }

    /// Whether it may be there nevertheless.
    #[must_use]
    pub fn status(&self) -> SendStatus {
        self.status
    }

    /// What went wrong.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// What went wrong, by value.
    #[must_use]
    pub fn into_error(self) -> Error {
        self.error
    }
}

/// Of a pattern around a publisher: it was not sent, unless the time was up.
impl From<Rejected> for PublishError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Elapsed { .. } => Self::unknown(rejected.into()),
            _ => Self::not_sent(rejected.into()),
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.status {
            SendStatus::NotSent => "record was not sent",
            SendStatus::Unknown => "record may or may not have been sent",
        })
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
