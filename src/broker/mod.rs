//! Brokers behind three small ports: [`Publisher`], [`Subscriber`] and [`Topics`].
//!
//! Services that call each other must all be up at the same time; services that leave each other
//! records in a log need not. The same code should run on Kafka or Redis in production, on one file
//! in development and in memory in a unit test, and hold the same guarantees on all of them.
//!
//! # How it decides
//!
//! 1. A topic is a set of partitions, a partition is an ordered log of [`Record`]s. Topics are
//!    created with a fixed number of partitions and never on first use.
//! 2. A record goes to the partition it names; else its key chooses one, as Kafka's own producer
//!    does it ([`partition_for`]); without a key it goes anywhere.
//! 3. A record that fails holds back the later ones of its topic and key in the same batch, so a
//!    key never gets out of order because the middle of a batch was refused.
//! 4. The members of a group share the partitions of its topics as evenly as can be: shares of one
//!    topic differ by one at most. A new member makes the others give back only what is too much.
//! 5. What is to be given back stays with its owner until it is released, or until the owner was
//!    silent for its session timeout. Then the next owner starts where the group has committed.
//! 6. Each assignment has an epoch that is never used again. A commit under an epoch that has ended
//!    is refused with [`Kind::Fenced`](crate::error::Kind::Fenced), and changes nothing.
//! 7. A commit may carry metadata, a text that comes back with the next assignment of the partition.
//! 8. Where a broker has [`Transactions`], as [`Memory`] and `Kafka` do, a batch and a position are seen
//!    together or not at all, and whoever connects with a transactional id takes the work over.
//! 9. A group that begins at [`Start::Latest`] keeps the place where it began, also when its first
//!    member dies before it commits.
//!
//! # When not to use it
//!
//! The embedded brokers never delete a record: they are not for a stream that goes on for years. The
//! SQLite broker does one publish or commit at a time and waits for the disk in each, so what it can
//! do is set by the disk; a batch costs little more than a single record. The Redis broker keeps its
//! records in memory, on one server: not for more than fits there, and not for what must survive every
//! fail-over. To handle what is read, use
//! a [`Consumer`](crate::consumer::Consumer): it commits what is done and nothing else. To publish a
//! change of a database, use an [`outbox`](crate::outbox): a crash between the two loses one of them.
//!
//! # Guarantees
//!
//! | | [`Memory`] | `Sqlite` | `Redis` | `Kafka` |
//! |---|---|---|---|---|
//! | feature | none | `sqlite` | `redis` | `kafka` |
//! | processes | one | several, on one machine and one file | any | any |
//! | acknowledged records survive a killed process | no | yes | as far as the server's persistence | yes |
//! | ... a loss of power | no | yes, if the disk keeps what it confirms | with `appendfsync always` | yes, by replicas |
//! | ... a fail-over | | | those that the replica has: `with_replicas` | yes, by replicas |
//! | order | per partition | per partition | per partition | per partition |
//! | delivery | at least once | at least once | at least once | at least once |
//! | [`Transactions`] | yes | no | no | yes |
//! | a dead member is replaced | at once | after its session timeout | after its session timeout | after its session timeout |
//! | a waiting poll is woken | at once | at once in its process, else within 100 ms | at once | at once |
//! | old records | kept | kept | kept, or `with_max_len` and only what all groups have committed | deleted after the topic's retention |
//!
//! Clones of [`Memory`] and `Sqlite` are the same broker, those of `Redis` and of a Kafka publisher share
//! its connection. A subscriber is one member of one group and has no clones.
//!
//! Every back-end passes the conformance suite in `testkit::broker`, which is there for brokers of
//! your own too.
//!
//! # Defaults
//!
//! | option of the embedded brokers and of Redis | default | range |
//! |---|---|---|
//! | `with_session_timeout` | 10 s | any |
//! | `with_max_record` | 1 MiB of key, headers and payload | any |
//! | [`Subscriber::max_metadata`] | 4 KiB, as in Kafka | fixed |
//!
//! | option of Redis alone | default | range |
//! |---|---|---|
//! | `with_prefix` | `bowline:broker` | any |
//! | `with_max_len` | none: nothing is deleted | 1 record per partition or more |
//! | `with_replicas` | none: not waited for | 1 or more, for 500 ms |
//!
//! Those of Kafka are in its `Config`.
//!
//! # Telemetry
//!
//! The embedded brokers tell nothing but their answers. Redis, by its module:
//!
//! | what | level | fields |
//! |---|---|---|
//! | the server was started anew, the member joins again | info | `group` |
//! | the log ends before the commit | warn | `partition`, `next`, `end` |
//! | the headers of a record cannot be read (SQLite too) | warn | `partition`, `offset`, `error` |
//!
//! Kafka's clients, by theirs:
//!
//! | what | level | fields |
//! |---|---|---|
//! | the driver's log | error, warn, debug | `facility` |
//! | headers of a record have names that are not UTF-8 | warn | `topic`, `offset`, `count` |
//! | an error of the driver | debug | `error`, `reason` |
//! | the group could not be rebalanced | warn | `code` |
//! | a producer has ended, another takes its place | warn | `error` |
//! | polling ended early, with records in hand | debug | `error` |
//! | the group could not be left | warn | `error` |
//! | partitions could not be given up at the end | debug | `error` |
//! | a silent member joins again, in a group that the broker leads | debug | `in_time` |
//! | a producer of transactions was ended in place | debug | `error` |
//!
//! A publisher within [`Traced`]:
//!
//! | what | level | fields |
//! |---|---|---|
//! | span `bowline.broker.publish`, one per batch | info | `otel.kind` (producer), `otel.name` (`send {topic}`, `send` for several), `messaging.system`, `messaging.operation.name` and `.type` (send), `messaging.destination.name` of one topic, `messaging.batch.message_count` of several records, `error.type` and `otel.status_code` of the first that failed |
//!
//! # Examples
//!
//! ```
//! use std::num::{NonZeroU32, NonZeroUsize};
//!
//! use bowline::broker::{Commit, Memory, Polled, Publisher, Record, Start, Subscriber, Topics};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Memory::new(); // or Sqlite::open("broker.db").await?
//! broker.create("tasks", NonZeroU32::new(6).ok_or("zero")?).await?;
//! for result in broker.publish(vec![Record::new("tasks", "done").with_key("7")]).await {
//!     result?;
//! }
//!
//! let mut subscriber = broker.subscriber();
//! subscriber.subscribe("notifications", &["tasks".into()], Start::Earliest).await?;
//! let mut handled = Vec::new();
//! while handled.is_empty() {
//!     match subscriber.poll(NonZeroUsize::new(100).ok_or("zero")?).await? {
//!         Polled::Records(records) => {
//!             for received in records {
//!                 let done = Commit::new(received.assignment(), received.position.offset + 1);
//!                 handled.push(received.record.payload);
//!                 subscriber.commit(&[done]).await?;
//!             }
//!         }
//!         Polled::Revoking(revoking) => subscriber.release(&revoking).await?,
//!         _assigned_or_lost => {}
//!     }
//! }
//! subscriber.close().await?;
//! assert_eq!(handled, [Some("done".into())]);
//! # Ok(())
//! # }
//! ```

mod admission;
mod commit;
mod delivery;
mod group;
mod holdings;
#[cfg(feature = "kafka")]
pub mod kafka;
mod layered;
mod membership;
mod memory;
mod outcome;
mod partitioner;
mod publish_error;
mod publisher;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod redrive;
mod service;
#[cfg(feature = "sqlite")]
mod sqlite;
mod subscriber;
mod topics;
mod traced;
mod transactional;

#[cfg(feature = "redis")]
pub use self::redis::{Redis, RedisSubscriber};
pub use commit::{Assigned, Commit, Committed};
pub use delivery::Delivery;
pub use layered::Layered;
pub use memory::{Memory, MemorySubscriber, MemoryTransactional};
pub use outcome::PublishOutcome;
pub use partitioner::partition_for;
pub use publish_error::{PublishError, SendStatus};
pub use publisher::{Appended, Publisher};
pub use record::{Position, Record, TopicPartition};
pub use redrive::{
    REDRIVE_COUNT, REDRIVE_GROUP, REDRIVE_ORIGIN, RETRY_ATTEMPT, RETRY_DUE, RETRY_ORIGIN,
    UNREADABLE_HEADERS,
};
pub use service::{PublishFuture, PublishService};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteSubscriber};
pub use subscriber::{Assignment, Polled, Received, Start, Subscriber};
pub use topics::{Created, Topics};
pub use traced::Traced;
pub use transactional::{Transactional, Transactions};
