//! Doing a thing once however often it is asked for.
//!
//! [`once`] is the core, [`IdempotencyLayer`] the same around a consumer's handler. Both claim a
//! [`Key`] in a [`Store`], hold the claim while the work runs and note that it is done. An effect
//! that happened before the note could be written is repeated, so the effect happens at least once
//! and in all but crashes exactly once.
//!
//! | store | remembers as well as | clock of leases | expired keys |
//! |---|---|---|---|
//! | [`Memory`] | this process lives | tokio's | dropped as it goes |
//! | `Postgres` | the database commits | the database's | `sweep` |
//! | `Redis` | the server persists | the server's | dropped by the server |
//! | `Sqlite` | the file is synced | this machine's | `sweep` |
//!
//! [`inbox`] goes further: the note is a row in the transaction of the effect itself.

mod config;
mod error;
pub mod inbox;
mod key;
mod layer;
mod memory;
mod once;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use config::Config;
pub use error::{Busy, Failure};
pub use key::{Fingerprint, Key};
pub use layer::{Idempotency, IdempotencyFuture, IdempotencyLayer};
pub use memory::Memory;
pub use once::once;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "redis")]
pub use redis::Redis;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Claim, Store, Token};
