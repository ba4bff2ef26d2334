//! Brokers behind three small ports: [`Publisher`], [`Subscriber`] and [`Topics`].
//!
//! A topic is a set of partitions, a partition is an ordered log of [`Record`]s, and a consumer
//! group shares the partitions of its topics among its members.
//!
//! # Guarantees
//!
//! | | memory | sqlite | kafka |
//! |---|---|---|---|
//! | survives a crash of the process | no | yes | yes |
//! | several processes | no | yes, on one file | yes |
//! | order | per partition | per partition | per partition |
//! | delivery | at least once | at least once | at least once |
//!
//! Every back-end passes the same conformance suite, which `testkit` publishes for brokers of your
//! own.

mod admission;
mod delivery;
mod group;
mod holdings;
mod membership;
mod memory;
mod partitioner;
mod publisher;
mod record;
mod redrive;
#[cfg(feature = "sqlite")]
mod sqlite;
mod subscriber;
mod topics;

pub use delivery::Delivery;
pub use memory::{Memory, MemorySubscriber};
pub use partitioner::partition_for;
pub use publisher::{Appended, PublishError, Publisher, SendStatus};
pub use record::{Position, Record, TopicPartition};
pub use redrive::{REDRIVE_COUNT, REDRIVE_GROUP, REDRIVE_ORIGIN};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteSubscriber};
pub use subscriber::{Assignment, Polled, Received, Start, Subscriber};
pub use topics::{Created, Topics};
