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
//! 3. The outbox is a log. The relay reads a window of committed rows in order, publishes them as one
//!    batch, and settles them, which moves the log's position over them; the next window is read
//!    meanwhile. Rows with the same topic and key are published in the order in which they were
//!    enqueued. It looks again when it is woken, and when it polls.
//! 4. A transient failure is tried again after growing, jittered delays, with what has not been
//!    published of the window. A topic that is missing, or not ours to write, or fails four times while
//!    the broker takes others, is left alone for such a delay. Its rows are set aside, where they wait
//!    and hold up nobody else; once it is mended they go on in order.
//! 5. A record that the broker will never take, because it is too large or not acceptable, is parked. So
//!    is a row that cannot be read. Its key's later rows are set aside behind it, in order, until an
//!    operator retries or discards the row. Other keys go on.
//! 6. In PostgreSQL a window is what a snapshot of the database sees and the one before did not, in the
//!    order of the ids: nothing is passed over whose transaction ended late, a transaction that stays
//!    open keeps nobody else's rows back, and nothing is written but the position.
//! 7. A transient error of the store is waited out; a permanent one ends the relay with it.
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
//! | a relay that is told to stop | publishes nothing twice: what the broker did not take is set aside |
//!
//! Clones of an outbox share its rows; any number of relays may run for it, in any processes.
//!
//! | back-end | `enqueue` joins | woken by |
//! |---|---|---|
//! | [`Memory`] | its own [`memory::Transaction`] | commit |
//! | `Sqlite` | `sqlx::Transaction<Sqlite>` | a look at the file every 10 ms, and polling |
//! | `Postgres` | `sqlx::Transaction<Postgres>` | `NOTIFY`, and polling |
//! | `PostgresQueue` | `sqlx::Transaction<Postgres>` | polling |
//!
//! `PostgresQueue`, made by `Postgres::queue`, is the one without order: all its relays publish at once, and a
//! connection pooler that gives out connections by the transaction may stand before the database. There a
//! crash gives the rows in hand back at once, and a parked row keeps none of its key waiting.
//!
//! In PostgreSQL what is settled stays in the table until a part of it, 262,144 rows, can be emptied as a
//! whole: a row costs no second write and leaves no dead tuple.
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
//! | `bowline.outbox.publish`: a row was not acknowledged, or cannot be read | warn | `id`, `topic`, `error` |
//! | the room of what is settled could not be given back | warn | `error` |
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

pub use entry::{Entry, EntryId, OrderingKey};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresQueue};
pub use relay::Relay;
pub use routing::Routing;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Lease, Parked, Position, Settled, Status, Store, Window};
