//! The note that a thing is done, as a row in the transaction of the effect itself.
//!
//! Row, effect and follow-up outbox rows are committed together or not at all, so the effect
//! happens exactly once however often the message comes.

#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteHandler};

/// The answer to a claim inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two answers")]
pub enum Seen {
    /// It was done before: roll back or commit, but do nothing.
    Duplicate,
    /// It is ours to do, if the transaction commits.
    First,
}
