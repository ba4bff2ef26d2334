use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;

use crate::error::Error;

/// Creates topics. Brokers do not create them on first use: a misspelt topic is an error.
pub trait Topics: fmt::Debug + Send + Sync {
    /// Creates `topic` with `partitions` partitions, unless it is there.
    ///
    /// # Errors
    ///
    /// `Conflict` when it exists with another number of partitions, `Invalid` when the name is not
    /// 1 to 249 characters of `a-z A-Z 0-9 . _ -`, and those of the back-end: after a `Timeout` the
    /// topic may be there.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the topic may be there, with all its partitions; create it again to know.
    fn create(
        &self,
        topic: &str,
        partitions: NonZeroU32,
    ) -> impl Future<Output = Result<Created, Error>> + Send;
}

/// Whether [`Topics::create`] had to do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two answers")]
pub enum Created {
    /// The topic is new.
    New,
    /// The topic was there.
    Existed,
}
