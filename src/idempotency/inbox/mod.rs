//! The note that a thing is done, as a row in the transaction of the effect itself.
//!
//! Row, effect and follow-up outbox rows are committed together or not at all, so the effect
//! happens exactly once however often it is asked for. Two requests at the same time: the second
//! waits until the transaction of the first has ended, and then finds its row, or its place free.
//!
//! # When not to use it
//!
//! For an effect outside of the database, e.g. a mail: it is not rolled back. Use
//! [`once`](super::once). For work that takes long: its transaction is open all the while, and with
//! SQLite no other can write.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use bytes::Bytes;

#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresHandler};
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

/// The answer to a claim with a fingerprint, of which the result is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the three answers")]
pub enum Claimed {
    /// It was done before, with this result.
    Done(Bytes),
    /// It is ours to do, if the transaction commits.
    First,
    /// The key was used for something else.
    Mismatch,
}

/// What became of a row that was there before.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn before(asked: &str, fingerprint: Option<&str>, result: Option<Vec<u8>>) -> Claimed {
    if fingerprint == Some(asked) {
        Claimed::Done(Bytes::from(result.unwrap_or_default()))
    } else {
        Claimed::Mismatch
    }
}
