//! The transactional outbox: messages written in the caller's own transaction, relayed in order.
//!
//! A service that changes its database and then publishes an event can crash between the two, and
//! one that publishes first can tell of a change that never happens. An outbox closes the gap: the
//! event is a row in the same transaction as the change, and a [`Relay`] publishes it afterwards.
//!
//! # How it decides
//!
//! 1. `enqueue` writes a row through the caller's transaction. There is no way to enqueue without
//!    one; a transaction that is rolled back publishes nothing.
//! 2. One relay at a time holds the lease of an outbox. Every change it makes is checked against the
//!    lease's epoch in the same transaction, so one that lost the lease and does not know it yet
//!    changes nothing.
//! 3. The relay reads committed rows in order, publishes them, and settles those that were
//!    acknowledged. Rows with the same topic and key are published in the order in which they were
//!    enqueued.
//! 4. A transient failure is tried again, in order. A record that the broker will never take parks
//!    its key: its later rows wait, in order, until an operator retries or discards the row. Other
//!    keys go on.
//!
//! # When not to use it
//!
//! For messages that need not survive a crash, and for more events than the database can write.
//!
//! # Guarantees
//!
//! | | |
//! |---|---|
//! | a committed row | is published at least once |
//! | a row that was rolled back | is never published |
//! | order | per topic and key, as enqueued; also under retries, crashes and changes of relay |
//! | after a crash of the relay | at most one window is published again; consumers drop the copies by id |
//! | a relay that was stopped past its lease | may publish what it has in hand once more; it cannot settle |
//!
//! | back-end | `enqueue` joins | woken by |
//! |---|---|---|
//! | [`Memory`] | its own [`memory::Transaction`] | commit |
//! | `Sqlite` | `sqlx::Transaction<Sqlite>` | polling |
//! | `Postgres` | `sqlx::Transaction<Postgres>` | `NOTIFY`, and polling |
//!
//! # Defaults
//!
//! See [`relay::Config`].
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::broker::{self, Topics};
//! use bowline::message::Message;
//! use bowline::outbox::{Memory, Relay};
//!
//! let outbox = Memory::new().with_topic("tasks");
//! let mut tx = outbox.begin();
//! outbox.enqueue(&mut tx, &Message::new("task.created", "{}"))?;
//! tx.commit();
//!
//! let broker = broker::Memory::new();
//! broker.create("tasks", 1.try_into().unwrap()).await?;
//! let report = Relay::builder(outbox, broker).build().unwrap().run_once().await?;
//! assert_eq!(report.published, 1);
//! # Ok::<_, bowline::Error>(()) }).unwrap();
//! ```

mod entry;
pub mod memory;
#[cfg(feature = "postgres")]
mod postgres;
pub mod relay;
mod routing;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use entry::{Entry, EntryId};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use relay::Relay;
pub use routing::Routing;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Lease, Parked, Settled, Status, Store, Window};
