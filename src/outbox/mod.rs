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
//!    batch, and settles them, which moves the log's position over them. Meanwhile the next window is read,
//!    and published if both together are no more rows than `window`. Rows with the same topic and key are published in the order in which they were
//!    enqueued. After rows have come it looks again every millisecond, eight times, then after twice as
//!    long each time, up to `poll`, and whenever it is woken.
//! 4. A transient failure is tried again after growing, jittered delays, with what has not been
//!    published of the window. A topic that is missing, or not ours to write, or fails four times while
//!    the broker takes others, is left alone for such a delay. Its rows are set aside, where they wait
//!    and hold up nobody else; once it is mended they go on in order.
//! 5. A record that the broker will never take, because it is too large or not acceptable, is parked. So
//!    is a row that cannot be read. Its key's later rows are set aside behind it, in order, until an
//!    operator retries or discards the row. Other keys go on. By [`relay::OnPoison`] its key may go on
//!    without it instead, or the whole outbox be halted: then no relay gets the lease until an operator
//!    [resumes](Store::resume) it. An operator may also [halt](Store::halt) it; what is in hand is settled.
//! 6. In PostgreSQL a window is what a snapshot of the database sees and the one before did not, in the
//!    order of the ids: nothing is passed over whose transaction ended late, a transaction that stays
//!    open keeps nobody else's rows back, and nothing is written but the position.
//! 7. A lease that has to be taken from an owner who did not give it up is counted, until a window of the
//!    log is settled. After the first, what waits aside is tried before the log. From the third on, as many rows as a window has are published one by one, each noted before
//!    and answered after, whatever the answer. A row with which `crash_limit` relays have ended is poison.
//!    A relay that renews its lease with the row in hand has not ended of it, and one that is told to stop
//!    counts for nothing. What crashes while rows are read is not found so.
//! 8. A panic of the publisher is caught; the rows of its batch are then published one by one, and one over
//!    which it panics `crash_limit` times is poison.
//! 9. A batch that a layer before the publisher refuses, as a breaker does that is open, counts as no
//!    attempt: it waits where it is.
//! 10. In PostgreSQL an outbox may have lanes, each with a lease and a position of its own in the same
//!     log; all rows of a key are in one. Their number may change while they are relayed: all stop at one
//!     snapshot first, so that no key is overtaken by itself.
//! 11. A relay that takes the lease in PostgreSQL looks first whether tables and sequence are as they
//!     should be, and whether they were loaded from another database, where transactions have other
//!     numbers. Then what is still in the log is published again, in order: at least once. A relay with
//!     [`relay::ExactlyOnce`] is refused then, until it has another name. Numbers of transactions may also be
//!     given again after a crash of the server: the lease ends with it, and what was read before.
//! 12. What is enqueued with `enqueue_at` stands beside the log until its time has come by the store's
//!     clock. The relay moves it into the log then, in the order of due time, and it is a row like any
//!     other; until then it can be taken back with `unschedule`.
//! 13. With [`relay::ExactlyOnce`] a window and the position after it are one transaction of the broker,
//!     which is committed before the store settles. Whoever takes the lease fences the relay before it at
//!     the broker, and brings the store to the broker's position first.
//! 14. A transient error of the store is waited out; a permanent one ends the relay with it.
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
//! | a committed row | is published at least once; with [`relay::ExactlyOnce`] who reads what is committed sees it exactly once |
//! | a row that was rolled back | is never published |
//! | order | per topic and key, as enqueued; also under retries, crashes and changes of relay |
//! | two transactions that are open at the same time | have no order between them, unless one waits for the other, e.g. because both change the same row |
//! | after a crash of the relay | at most one window is published again; consumers drop the copies by id. With [`relay::ExactlyOnce`] none is |
//! | restored from a dump | nothing is lost; what is published and still in the log is published again |
//! | a relay that was stopped past its lease | may publish what it has in hand once more; it cannot settle. With [`relay::ExactlyOnce`] it publishes nothing |
//! | a scheduled message | is published never early, and as late as the relay is behind; a crash loses and doubles it no more than any row |
//! | a relay that is told to stop | publishes nothing twice: what the broker did not take is set aside |
//!
//! Clones of an outbox share its rows; any number of relays may run for it, in any processes.
//!
//! | back-end | `enqueue` joins | woken by |
//! |---|---|---|
//! | [`Memory`] | its own [`memory::Transaction`] | commit |
//! | `Sqlite` | `sqlx::Transaction<Sqlite>` | a look at the file every 10 ms, and polling |
//! | `Postgres` | `sqlx::Transaction<Postgres>` | `NOTIFY` while it sleeps, and polling |
//! | `PostgresQueue` | `sqlx::Transaction<Postgres>` | polling |
//!
//! `PostgresQueue`, made by `Postgres::queue`, is the one without order: all its relays publish at once, and a
//! connection pooler that gives out connections by the transaction may stand before the database. There a
//! crash gives the rows in hand back at once, and a parked row keeps none of its key waiting.
//!
//! In PostgreSQL the statement that enqueues wakes a relay that says that it sleeps. One that is at work
//! looks again by itself, and is not notified; a row that was written while it was at work and
//! committed when it slept is found when it polls. `wake` is a hint for a relay in the same process.
//!
//! In PostgreSQL what is settled stays in the table until a part of it, 262,144 rows, can be emptied as a
//! whole: a row costs no second write and leaves no dead tuple. `Postgres::with_retention` keeps it
//! longer.
//!
//! The transaction may be any of the pool's. In PostgreSQL it had better be `Postgres::begin`'s: the
//! `PgPool::begin` of sqlx 0.9.0, given up at the wrong moment, leaves a connection in the pool whose
//! next statements are never committed.
//!
//! # The table
//!
//! Whoever can write into the database can enqueue: another driver by what `prepare` returns
//! ([`Prepared`]), and a program in another language, a trigger or `psql` by an `INSERT` of its own.
//! A row without `headers` becomes the record that a [`Message`](crate::message::Message) with these
//! attributes would be.
//!
//! | column of `bowline_outbox` | means | when left out |
//! |---|---|---|
//! | `event_id` | the message's id | a random one |
//! | `aggregatetype` | what it is about: the first word of the type | refused |
//! | `aggregateid` | the message's subject | no subject |
//! | `type` | the message's type, e.g. `order.created` | refused |
//! | `topic` | where it goes | [`Routing`] of the relay's outbox decides, by the message |
//! | `key` | what it is ordered by, in bytes | `aggregateid`; without both it has no order |
//! | `headers` | all headers, in a form of this library's own | those of a message, by the columns |
//! | `payload` | the payload, in bytes | none: a tombstone |
//! | `created_at` | when it was written, and the message's time | now |
//! | `source` | who produced it, a URI reference | [`Message::DEFAULT_SOURCE`](crate::message::Message::DEFAULT_SOURCE) |
//! | `text_headers` | more headers, and attributes by [the names of theirs](crate::message::cloudevents): an object in JSON | none |
//! | `id`, `txid` | the order of the outbox | always leave them out |
//!
//! A topic of `''` is refused, and so are `headers` without a topic. A row that cannot be a message, or for
//! which there is no topic, is parked, with its type in the reason; other keys go on, and its own waits in
//! every topic. Once the relay's routing knows the type, a retry publishes it.
//!
//! ```sql
//! BEGIN;
//! -- The change itself, and then:
//! INSERT INTO bowline_outbox (aggregatetype, aggregateid, type, payload, text_headers)
//! VALUES ('order', '42', 'order.created', convert_to('{"total":7}', 'UTF8'),
//!     '{"content-type": "application/json", "ce_correlationid": "cart-7"}');
//! COMMIT;
//! ```
//!
//! In SQLite times are milliseconds since 1970 and bytes a `BLOB`, e.g. `CAST('{"total":7}' AS BLOB)`.
//!
//! A message that is due later goes into `bowline_outbox_scheduled`, which has these columns but for
//! `created_at`, which is when it was due, and has `due_at` besides.
//!
//! A row that is written so is found when the relay polls; `SELECT pg_notify('bowline_outbox', '')` in the
//! same transaction wakes it.
//!
//! Debezium's outbox event router can read the same table instead of a relay:
//!
//! | setting of the router or its connector | here |
//! |---|---|
//! | `table.field.event.id` | `event_id`; its default would be the row's number |
//! | `table.field.event.key`, `table.field.event.type`, `table.field.event.payload`, `route.by.field` | their defaults: `aggregateid`, `type`, `payload`, `aggregatetype` |
//! | `value.converter` | one that passes bytes on, as `payload` is `bytea` |
//! | the publication | with `publish_via_partition_root`, as the table is in parts |
//!
//! # Defaults
//!
//! | option of [`relay::Config`] | default | range |
//! |---|---|---|
//! | `window` | 1,000 rows | from 1 |
//! | `lease` | 10 s | from 1 s |
//! | `poll` | 500 ms | 1 ms to the lease |
//! | `backoff` | exponential from 50 ms to 5 s, full jitter | base above 0 |
//! | `on_poison` | `park-key` | `park-key`, `park-event`, `halt` |
//! | `crash_limit` | 5 | from 1 |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.outbox.lease`: the lease was taken | debug | `owner`, `epoch` |
//! | `bowline.outbox.resume`: the broker's position was ahead, or had published rows from aside | info | `rows`, `epoch` |
//! | `bowline.outbox.publish`: a row was not acknowledged | warn | `id`, `topic`, `error` |
//! | the room of what is settled could not be given back | warn | `error` |
//! | the lease could not be renewed, and is tried again | warn | `error` |
//! | the store failed, and is asked again | warn | `error` |
//! | `bowline.outbox.publish`: a row was parked | warn | `id`, `reason` |
//! | `bowline.outbox.publish`: the publisher panicked | warn | `id` of the first row, `panic` |
//! | `bowline.outbox.halted`: no relay gets the lease; it goes on | error, info | `since`, `reason` |
//! | the lease has ended: another relay has taken over, or the outbox is halted | info | `owner` |
//! | the outbox was loaded into another database | warn | |
//! | the lease could not be given up | debug | `error` |
//! | a layer before the publisher refuses | debug | `rows` |
//! | the state of the outbox is not known | debug | `error` |
//!
//! [`Store::status`] shows how many rows wait and since when, how many rows and keys are parked, how many
//! messages are scheduled, who relays, and whether the outbox is halted, why and since when.
//! [`Relay::stats`] shows what one relay has done, and how long rows took from being written to the broker's
//! answer.
//!
//! With the feature `metrics`, in the recorder that stands when the relay is built:
//!
//! | metric | kind | labels beside `outbox` |
//! |---|---|---|
//! | `bowline.outbox.rows` | counter: rows that were settled | `outcome`: published, parked, aside |
//! | `bowline.outbox.windows` | counter: windows that were settled | |
//! | `bowline.outbox.failed_attempts` | counter: rows that were not acknowledged | |
//! | `bowline.outbox.leases` | counter | `change`: taken, ended |
//! | `bowline.outbox.latency` | histogram: seconds from writing a row to the broker's answer, to an eighth | |
//! | `bowline.outbox.behind` | gauge: rows that are not yet published, without the parked ones | |
//! | `bowline.outbox.oldest_age` | gauge: whole seconds since the oldest of them was written | |
//! | `bowline.outbox.aside` | gauge: those of them that were set aside | |
//! | `bowline.outbox.parked` | gauge: parked rows | |
//! | `bowline.outbox.parked_keys` | gauge: keys that a parked row stops | |
//! | `bowline.outbox.halted` | gauge: relays that wait because the outbox is halted | |
//!
//! The label is the [name](relay::Builder::name). The other gauges are set by whoever holds the lease, every
//! 10 s, or less often where the store takes long to tell, and are 0 once the lease has ended. A row's
//! latency begins with its `created_at`, by the store's clock, before its transaction was committed.
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
//!
//! Behind a breaker a broker that is away is asked no more often than the breaker lets through; nothing is
//! parked or set aside for it, and the relay keeps its lease:
//!
//! ```
//! use bowline::breaker::Breaker;
//! use bowline::broker::{self, Layered, PublishOutcome};
//! use bowline::outbox::relay::OnPoison;
//! use bowline::outbox::{Memory, Relay};
//!
//! let breaker = Breaker::builder("broker").consecutive_failures(3).build()?;
//! let layer = breaker.layer().with_classifier(PublishOutcome::new());
//! let publisher = Layered::new(broker::Memory::new(), layer);
//! let relay = Relay::builder(Memory::new().with_topic("tasks"), publisher)
//!     .name("tasks")
//!     .on_poison(OnPoison::ParkEvent)
//!     .build()?;
//! let stats = relay.stats();
//! assert_eq!(stats.snapshot().latency.count(), 0);
//! # Ok::<_, bowline::config::ConfigError>(())
//! ```

mod crashes;
mod entry;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod foreign;
mod halted;
pub mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod prepared;
mod progress;
pub mod relay;
mod routing;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
mod schedule;
mod settled;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use crashes::Crashes;
pub use entry::{Entry, EntryId, OrderingKey};
pub use halted::Halted;
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresQueue};
pub use prepared::{Bind, Prepared};
pub use progress::Progress;
pub use relay::Relay;
pub use routing::Routing;
pub use settled::Settled;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Lease, Parked, Position, Status, Store, Window};
