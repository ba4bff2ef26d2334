//! Apache Kafka through librdkafka.
//!
//! The publisher is idempotent and waits for all in-sync replicas; keys go to partitions as the Java
//! client sends them. The subscriber is a member of a consumer group that hands partitions over one
//! by one (cooperative), and commits only what it is told to. Records and positions that are to be
//! seen together or not at all go by a [`Transactional`] producer.
//!
//! # Guarantees
//!
//! | | |
//! |---|---|
//! | an acknowledged record | is on all in-sync replicas |
//! | order | per topic and key, in the topic too: what follows a record that failed is not there |
//! | a record with an `Unknown` result | may be there; publishing it again may double it |
//! | a record that waits to be sent again, as its connection was lost or replicas were too few | may be doubled, with an `Ok`, when a broker refuses another record of the publisher meanwhile |
//! | a call whose time is up | may make records of other calls that wait in the publisher come back `Unknown` |
//! | a transaction | its records and positions are seen together or not at all, by readers of what is committed, as ours are |
//! | a producer whose transactional id somebody else has taken | is fenced: nothing more of it is seen |
//! | a commit after a partition was lost | is refused, by us and by the broker |
//!
//! # Examples
//!
//! ```no_run
//! # async fn example() -> Result<(), bowline::Error> {
//! use bowline::broker::{Publisher as _, Record, Topics as _, kafka};
//!
//! let config = kafka::Config::new("127.0.0.1:9092");
//! kafka::Topics::new(&config)?.create("tasks", 6.try_into().unwrap()).await?;
//! let publisher = kafka::Publisher::new(&config)?;
//! for result in publisher.publish(vec![Record::new("tasks", "hello")]).await {
//!     result.map_err(|error| error.into_error())?;
//! }
//! # Ok(()) }
//! ```
//!
//! Exactly once into Kafka: the position of what was read moves with what was written. An outbox does it
//! by itself, with [`Transactions`] and
//! [`ExactlyOnce`](crate::outbox::relay::ExactlyOnce); by hand it is:
//!
//! ```no_run
//! # async fn example(read: impl Fn(u64) -> (Vec<bowline::broker::Record>, u64)) -> Result<(), bowline::Error> {
//! use bowline::broker::{Committed, TopicPartition, kafka};
//!
//! let config = kafka::Config::new("127.0.0.1:9092");
//! let mut producer = kafka::Transactional::connect(&config, "relay-lane-0").await?;
//! let place = TopicPartition::new("tasks", 0);
//! let position = producer.position("relay", &place).await?;
//! let from = position.map_or(0, |position| position.next);
//! // A source may have gaps, so it says itself where it goes on.
//! let (batch, next) = read(from);
//! let to = Committed::new(next);
//!
//! let mut transaction = producer.begin().await?;
//! for result in transaction.publish(batch).await {
//!     result.map_err(|error| error.into_error())?;
//! }
//! transaction.commit_position("relay", &place, &to).await?;
//! transaction.commit().await?;
//! # Ok(()) }
//! ```

mod batch;
mod begin;
mod calls;
mod commit;
mod config;
mod context;
mod counts;
mod current;
mod ends;
mod error;
mod leave;
mod member;
mod metadata;
mod partitions;
mod producer;
mod publisher;
mod queue;
mod rebalance;
mod record;
mod send;
mod session;
mod subscriber;
mod topics;
mod transaction;
mod transactional;
mod transactions;
mod transactor;
mod waves;
mod window;

pub use config::{Config, GroupProtocol};
pub use publisher::Publisher;
pub use subscriber::Subscriber;
pub use topics::Topics;
pub use transaction::Transaction;
pub use transactional::Transactional;
pub use transactions::Transactions;
