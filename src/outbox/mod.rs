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
//! 2. One relay at a time holds the lease of an outbox, and renews it at a third of its time. Every
//!    change it makes is checked against the lease's epoch in the same transaction, so one that lost
//!    the lease and does not know it yet changes nothing. The others ask at a third of the lease.
//! 3. The relay reads a window of committed rows in order, publishes them as one batch, and settles
//!    those that were acknowledged. Rows with the same topic and key are published in the order in
//!    which they were enqueued. It looks again when it is woken, and when it polls.
//! 4. A failure is tried again after growing, jittered delays, in order. A topic that is missing, or
//!    not ours to write, is left alone for such a delay, so that what waits for it holds up no other
//!    topic; once it is mended everything goes on.
//! 5. A record that the broker will never take, because it is too large or not acceptable, parks its
//!    key: its later rows wait, in order, until an operator retries or discards the row. So does a row
//!    that cannot be read. Other keys go on.
//! 6. A transient error of the store is waited out; a permanent one ends the relay with it.
//!
//! # When not to use it
//!
//! For messages that need not survive a crash, and for more events than the database can write. To ask
//! for something and wait for the answer: a message arrives sooner or later.
//!
//! # Guarantees
//!
//! | | |
//! |---|---|
//! | a committed row | is published at least once |
//! | a row that was rolled back | is never published |
//! | order | per topic and key, as enqueued; also under retries, crashes and changes of relay |
//! | two transactions that are open at the same time | have no order between them, unless one waits for the other, e.g. because both change the same row |
//! | after a crash of the relay | at most one window is published again; consumers drop the copies by id |
//! | a relay that was stopped past its lease | may publish what it has in hand once more; it cannot settle |
//!
//! Clones of an outbox share its rows; any number of relays may run for it, in any processes.
//!
//! | back-end | `enqueue` joins | woken by |
//! |---|---|---|
//! | [`Memory`] | its own [`memory::Transaction`] | commit |
//! | `Sqlite` | `sqlx::Transaction<Sqlite>` | a look at the file every 10 ms, and polling |
//! | `Postgres` | `sqlx::Transaction<Postgres>` | `NOTIFY`, and polling |
//!
//! The transaction may be any of the pool's. In PostgreSQL it had better be `Postgres::begin`'s: the
//! `PgPool::begin` of sqlx 0.9.0, given up at the wrong moment, leaves a connection in the pool whose
//! next statements are never committed.
//!
//! # Defaults
//!
//! | option of [`relay::Config`] | default | range |
//! |---|---|---|
//! | `window` | 500 rows | from 1 |
//! | `lease` | 10 s | from 1 s |
//! | `poll` | 500 ms | 1 ms to the lease |
//! | `backoff` | exponential from 50 ms to 5 s, full jitter | base above 0 |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.outbox.lease`: the lease was taken | debug | `owner`, `epoch` |
//! | `bowline.outbox.publish`: a row was not acknowledged | warn | `id`, `topic`, `attempts`, `error` |
//! | the lease could not be renewed, and is tried again | warn | `error` |
//! | the store failed, and is asked again | warn | `error` |
//! | another relay has taken over | info | `owner` |
//! | the lease could not be given up | debug | `error` |
//!
//! [`Store::status`] shows how many rows wait and since when, how many are parked, and who relays.
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
