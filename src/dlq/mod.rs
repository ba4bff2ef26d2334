//! Dead letters: records that could not be handled, kept with the reason until somebody decides.
//!
//! A record that can never be handled would hold up its partition for ever, and one that is skipped is
//! lost without a word. [`DeadLetterLayer`] stores what its handler could not handle, so that the
//! consumer goes on. [`Redrive`] sends a letter back to its topic for the one group that failed.
//!
//! # How it decides
//!
//! 1. What the handler does is `Ok`, and nothing is stored.
//! 2. An error of [`Kind::Contention`](crate::error::Kind::Contention) passes to the consumer, which
//!    tries again: somebody else has what the handler needs.
//! 3. Another transient [`Error`](crate::Error) and a [`Rejected`](crate::error::Rejected) pass too,
//!    unless [`OnTransient::DeadLetter`] says otherwise.
//! 4. Every other error and every panic becomes a letter. The answer is `Ok` once it is durable, and
//!    the store's error when it could not be stored.
//! 5. A letter is told by group, topic, partition, offset and what is in it: where offsets begin anew
//!    under the same names, the records are others. Stored again it is the same letter: one
//!    failure more, the newest reason, and open again. A copy that was redriven counts as the record
//!    that it is a copy of.
//! 6. [`Redrive`] takes an open letter for [`Redrive::LEASE`], so that one of many sends it, and
//!    refuses one that was redriven too often. The copy goes to the partition of the record with the
//!    same key, payload and headers, and the headers
//!    [`REDRIVE_GROUP`](crate::broker::REDRIVE_GROUP),
//!    [`REDRIVE_COUNT`](crate::broker::REDRIVE_COUNT) and
//!    [`REDRIVE_ORIGIN`](crate::broker::REDRIVE_ORIGIN).
//! 7. A copy that the broker has makes the letter redriven. One that was certainly not sent leaves it
//!    open; when nobody knows, it is open again when the lease ends.
//! 8. Only an open letter is redriven or discarded.
//!
//! # When not to use it
//!
//! Where the order of a key matters more than going on: the later records of the key are handled
//! before the letter is. Without the layer the consumer holds the partition until the record is done.
//!
//! # Order in a stack
//!
//! Outermost: `dead letters > retry > idempotency > timeout > handlers`. Inside of retry it would store
//! every first failure, and retry would see a success.
//!
//! # Guarantees
//!
//! - A record is done only when its letter is stored. After a crash in between it is handled again,
//!   and its letter has one failure more.
//! - A copy is sent at least once: after a crash between sending and noting it the letter is open, and
//!   can be sent once more. An idempotent handler absorbs that.
//! - Letters are never deleted; a discarded or redriven one stays as a record of what happened.
//! - Clones of a layer, and all services made from it, share the store.
//!
//! | store | keeps letters as long as | clock of leases |
//! |---|---|---|
//! | [`Memory`] | this process lives | tokio's |
//! | `Postgres` | the database does | the database's |
//! | `Sqlite` | the file does | this machine's |
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | [`on_transient`](DeadLetterLayer::on_transient) | [`OnTransient::Pass`] | |
//! | [`with_max_redrives`](Redrive::with_max_redrives) | 3 per letter | from 0, which refuses all |
//! | [`Redrive::LEASE`] | 60 s | fixed |
//! | [`Filter::limit`] | 100 letters per query | from 1 |
//! | [`Reason::MAX_MESSAGE`] | 8 KiB | fixed; a longer message is cut |
//!
//! # Telemetry
//!
//! None of its own: [`Store::count`] says how many letters wait, and the consumer logs each error that
//! passes.
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::broker::{self, Delivery, Position, Received, Record, TopicPartition, Topics};
//! use bowline::dlq::{DeadLetterLayer, Filter, Memory, Redrive, State, Store};
//! use bowline::error::BoxError;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let letters = Memory::new();
//! let fails = service_fn(|_: Delivery| async { Err::<(), BoxError>("no such task".into()) });
//! let service = DeadLetterLayer::new(letters.clone()).layer(fails);
//!
//! let position = Position::new(TopicPartition::new("tasks", 0), 7);
//! let received = Received::new(Record::new("tasks", "{}"), position, 1);
//! service.oneshot(Delivery::new("mail", received)).await?;
//! let open = letters.query(&Filter::open().group("mail")).await?;
//! assert_eq!(&*open[0].reason.message, "no such task");
//!
//! let broker = broker::Memory::new();
//! broker.create("tasks", 1.try_into()?).await?;
//! Redrive::new(letters.clone(), broker).one(open[0].id).await?;
//! let letter = letters.get(open[0].id).await?;
//! assert_eq!(letter.map(|letter| letter.state), Some(State::Redriven));
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod dead_letter;
mod layer;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod redrive;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use dead_letter::{DeadLetter, LetterId, Reason, State};
pub use layer::{DeadLetterFuture, DeadLetterLayer, DeadLetters, OnTransient};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use redrive::Redrive;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Filter, Redriving, Store};
