use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{Fingerprint, Key};
use crate::error::{Error, Kind};

/// Remembers what was done under which key.
///
/// A key goes from unknown to claimed to done. A claim that is neither completed nor abandoned
/// expires, and then the next claim gets it; the one that lost it cannot complete any more.
///
/// # Contract
///
/// 1. Of any number of concurrent claims of a key that is unknown or expired, exactly one is
///    [`Claim::Acquired`].
/// 2. [`complete`](Self::complete), [`extend`](Self::extend) and [`abandon`](Self::abandon) work
///    only with the token of the newest claim; else they change nothing and fail with
///    [`Kind::Fenced`].
/// 3. Times are measured by the store's own clock.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Asks to do `key` now, holding it for `lease`.
    ///
    /// # Errors
    ///
    /// [`Kind::Unavailable`], [`Kind::Timeout`] or [`Kind::Contention`] when the store cannot answer
    /// now, [`Kind::Schema`] without its table, and others of the back-end. Nothing is claimed then,
    /// or the claim expires.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the key may be claimed with nobody to finish it; it is free again after `lease`.
    fn claim(
        &self,
        key: &Key,
        fingerprint: Option<&Fingerprint>,
        lease: Duration,
    ) -> impl Future<Output = Result<Claim, Error>> + Send;

    /// Notes that it is done, with a result to give to those who ask again within `keep`.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the claim has expired and is somebody else's, or is gone; and those of the
    /// back-end, after which it may be done: completing it again then is no error.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it may be done; it can be completed again. If it is not, the claim expires and the
    /// work is done again.
    fn complete(
        &self,
        token: &Token,
        result: Bytes,
        keep: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Holds the claim for another `lease` from now.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the claim has expired and is somebody else's, or is gone; and those of
    /// the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the claim may have got another `lease`.
    fn extend(
        &self,
        token: &Token,
        lease: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Gives the key back undone, so that the next claim gets it at once.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the claim has expired and is somebody else's, or is gone; and those of
    /// the back-end, after which the claim expires at the latest.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the key may be free; if it is not, the claim expires.
    fn abandon(&self, token: &Token) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The answer to [`Store::claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the four answers; a caller must handle each"
)]
pub enum Claim {
    /// It is ours to do.
    Acquired(Token),
    /// It is done; this was the result.
    Completed(Bytes),
    /// Somebody else is doing it; the claim expires after this time at the latest.
    InProgress(Duration),
    /// The key was used with another fingerprint.
    Mismatch,
}

/// The right to finish what was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token {
    /// What was claimed.
    pub key: Key,
    /// Tells this claim from any other of the key.
    pub nonce: Uuid,
}

impl Token {
    /// A token for `key` that no other claim has.
    #[must_use]
    pub fn generate(key: Key) -> Self {
        Self {
            key,
            nonce: Uuid::now_v7(),
        }
    }

    /// The error of a call whose claim is no longer ours.
    #[must_use]
    pub fn fenced(&self, backend: &'static str, operation: &'static str) -> Error {
        Error::new(Kind::Fenced, backend, operation)
            .with_detail(format!("the claim of {} has ended", self.key))
    }
}
