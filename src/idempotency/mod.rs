//! Does a thing once however often it is asked for.
//!
//! Brokers deliver again after a crash, callers ask again after a timeout, and both are right to. A
//! handler that charges a card or sends a mail must notice that it was done. [`once`] is the core: it
//! claims a [`Key`] in a [`Store`], runs the work and notes the result. [`IdempotencyLayer`] is the
//! same around a consumer's handler. [`inbox`] goes further: the note is a row in the transaction of
//! the effect itself.
//!
//! # How it decides
//!
//! 1. The key is claimed for [`Config::lease`]. Of any number of claims of a key that is unknown or
//!    expired, exactly one gets it. The layer's key is the message's source and id, in the scope of
//!    the consumer group; a record that is no message fails with
//!    [`Kind::Corrupt`](crate::error::Kind::Corrupt).
//! 2. A key that is done gives the stored result, and the work does not run; the layer answers `Ok`.
//! 3. A key that was claimed with another [`Fingerprint`], or with one where now there is none, is a
//!    [`Failure::Mismatch`], done or not. The layer uses none.
//! 4. A key that somebody else is doing is [`Busy`]. From the layer it is a transient error,
//!    [`Kind::Contention`](crate::error::Kind::Contention), and says nothing against the message.
//! 5. While the work runs its claim is renewed at every third of the lease. When that failed for a
//!    whole lease, or the claim is somebody else's, the work is dropped and the answer is [`Busy`].
//! 6. The result of work that is done is kept for [`Config::keep`]. When the claim was lost at the
//!    last moment the answer is [`Busy`]; when the store cannot note it, [`Failure::Store`], and the
//!    work is done again after the claim has expired.
//! 7. Work that fails or panics gives the key back at once, and its error or panic is passed on. Work
//!    that is dropped gives nothing back: its claim expires.
//!
//! # When not to use it
//!
//! Where the effect is in the database that could hold the note: the [`inbox`] does it exactly once.
//! Where doing it twice changes nothing, e.g. a value is set: each call asks the store twice. To keep
//! others out for long: a lease that is lost ends the work here, not what it has sent elsewhere.
//!
//! # Order in a stack
//!
//! Inside of dead letters and retry, so that each attempt claims anew; outside of the timeout, so that
//! work that takes too long is a failure and gives its key back:
//! `dead letters > retry > idempotency > timeout > handlers`. A timeout outside drops the work, and its
//! key is [`Busy`] until the claim expires.
//!
//! # Guarantees
//!
//! - The effect happens at least once. It happens twice when the process dies, or the store fails,
//!   between the effect and the note; and when work that has lost its claim goes on elsewhere.
//! - Clones of a layer, and all services made from it, share the store.
//!
//! | store | remembers as well as | clock of leases | expired keys |
//! |---|---|---|---|
//! | [`Memory`] | this process lives | tokio's | dropped as it goes |
//! | `Postgres` | the database commits | the database's | `sweep` |
//! | `Redis` | the server persists | the server's | dropped by the server |
//! | `Sqlite` | the file is synced | this machine's | `sweep` |
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | [`lease`](Config::lease) | 30 s | 30 ms to 1 day |
//! | [`keep`](Config::keep) | 7 days | the lease to 3650 days |
//!
//! # Telemetry
//!
//! | what | level | fields |
//! |---|---|---|
//! | a key could not be given back | debug | `key`, `error` |
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use std::cell::Cell;
//! use std::convert::Infallible;
//!
//! use bowline::idempotency::{Config, Key, Memory, once};
//!
//! let store = Memory::new();
//! let key = Key::new("charge", "order-7");
//! let charges = Cell::new(0);
//! for _ in 0..2 {
//!     let charge = || async {
//!         charges.set(charges.get() + 1);
//!         Ok::<_, Infallible>("receipt".into())
//!     };
//!     let receipt = once(&store, &Config::default(), &key, None, charge).await?;
//!     assert_eq!(receipt, "receipt");
//! }
//! assert_eq!(charges.get(), 1);
//! # Ok::<_, bowline::idempotency::Failure<Infallible>>(()) }).unwrap();
//! ```

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
