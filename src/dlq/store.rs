use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{DeadLetter, LetterId, State};
use crate::error::Error;

/// Keeps dead letters.
///
/// # Contract
///
/// 1. [`put`](Self::put) is durable when it returns, and idempotent: the same group and position is
///    one letter, however often it is put. Putting it again counts a failure, replaces the reason
///    and opens it again.
/// 2. A letter is redriven by one caller at a time: [`begin_redrive`](Self::begin_redrive) moves it
///    from open to redriving for a lease; when the lease ends without
///    [`end_redrive`](Self::end_redrive) it counts as open again.
/// 3. A discarded or redriven letter stays, as a record of what happened.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Stores a letter and returns its id: that of the earlier letter if there is one.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Timeout` or `Contention` when the store cannot take it now, `Schema` without
    /// its table, and others of the back-end. The letter is not stored then, or may be.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the letter may be stored; putting it again counts one failure more.
    fn put(&self, letter: &DeadLetter) -> impl Future<Output = Result<LetterId, Error>> + Send;

    /// The letter `id`, if there is one.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the letter cannot be read, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed.
    fn get(&self, id: LetterId) -> impl Future<Output = Result<Option<DeadLetter>, Error>> + Send;

    /// Letters that pass `filter`, newest failure first.
    ///
    /// # Errors
    ///
    /// `Corrupt` when one of them cannot be read, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed.
    fn query(&self, filter: &Filter)
    -> impl Future<Output = Result<Vec<DeadLetter>, Error>> + Send;

    /// How many letters pass `filter`, whatever its limit.
    ///
    /// # Errors
    ///
    /// Those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed.
    fn count(&self, filter: &Filter) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Takes an open letter to redrive it within `lease`.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such letter, `Conflict` when it is not open, naming its state, and
    /// those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the letter may have been taken; it is open again when `lease` ends.
    fn begin_redrive(
        &self,
        id: LetterId,
        lease: Duration,
    ) -> impl Future<Output = Result<Redriving, Error>> + Send;

    /// Ends a redrive: `sent` letters are redriven, the others open again.
    ///
    /// # Errors
    ///
    /// `Fenced` when this redrive was ended before, or its lease has ended and somebody else took the
    /// letter; and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the redrive may have ended; ending it again then fails with `Fenced`. If it has
    /// not, the letter is open again when the lease ends.
    fn end_redrive(
        &self,
        redriving: &Redriving,
        sent: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Drops an open letter for good; it stays visible as discarded.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such letter, `Conflict` when it is not open, naming its state, and
    /// those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the letter may be discarded; discarding it again then fails with `Conflict`.
    fn discard(&self, id: LetterId) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A letter that is ours to redrive.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Redriving {
    /// The letter.
    pub letter: DeadLetter,
    /// Tells this redrive from any other of the letter.
    pub nonce: Uuid,
}

impl Redriving {
    /// A redrive of `letter` that no other has.
    #[must_use]
    pub fn generate(letter: DeadLetter) -> Self {
        Self {
            letter,
            nonce: Uuid::now_v7(),
        }
    }
}

/// Which letters to look at. An unset part matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Of this consumer group.
    pub group: Option<Arc<str>>,
    /// From this topic.
    pub topic: Option<Arc<str>>,
    /// In this state.
    pub state: Option<State>,
    /// At most so many.
    pub limit: NonZeroUsize,
}

impl Filter {
    /// How many letters a query returns unless [`limit`](Self::limit) says otherwise.
    pub const DEFAULT_LIMIT: NonZeroUsize = NonZeroUsize::new(100).unwrap();

    /// All letters.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            group: None,
            topic: None,
            state: None,
            limit: Self::DEFAULT_LIMIT,
        }
    }

    /// Letters that wait for a decision.
    #[must_use]
    pub const fn open() -> Self {
        Self {
            group: None,
            topic: None,
            state: Some(State::Open),
            limit: Self::DEFAULT_LIMIT,
        }
    }

    /// Only those of `group`.
    #[must_use]
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Only those from `topic`.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// At most `limit`.
    #[must_use]
    pub const fn limit(mut self, limit: NonZeroUsize) -> Self {
        self.limit = limit;
        self
    }
}
