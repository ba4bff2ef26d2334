//! Handles the records of topics, in order by key and otherwise at once, and commits only what is done.
//!
//! # The problem
//!
//! A consumer that commits too early loses records when it crashes; one that commits what it got
//! while its partition was moving overwrites the position of the next owner; one that skips what it
//! cannot read loses it without a word; one that stops polling while it is busy is thrown out of its
//! group. [`Consumer`] does none of these for any [`Subscriber`] and any handler, which is a
//! `tower::Service` over [`Delivery`]. [`Handlers`] is one that routes typed events.
//!
//! # How it decides
//!
//! 1. At most [`Config::concurrency`] records are with the handler at once, however many partitions
//!    there are. What keeps its order is for [`Config::order`] to say: by default the records of one
//!    partition with the same key. A later one of the key begins when the earlier one is done; records
//!    without a key have no order.
//! 2. A record is done when the handler returns `Ok`. The watermark of an assignment is the offset of
//!    its first record that is not done, or the offset after the last one; gaps between offsets do not
//!    matter. It is committed together with what is done beyond it, as metadata: after a restart those
//!    records are not handled again. Metadata that is longer than the broker takes is cut, and what was
//!    cut off is handled again.
//! 3. A record that fails, panics, or takes longer than [`Config::deadline`], is tried again for ever
//!    after growing, jittered delays, and after
//!    [`Rejected::retry_after`](crate::error::Rejected::retry_after) at the earliest. It holds up its
//!    key and no other, and takes no room while it waits. It is never skipped: wrap the handler in a
//!    dead-letter layer to have it put aside, which counts as done once the letter is stored.
//! 4. A record that cannot be read as a message goes to the handler like any other.
//! 5. A record that was redriven for another group ([`REDRIVE_GROUP`]) is done unhandled.
//! 6. A record that says when it is due ([`RETRY_DUE`]) waits until then, and takes no room. So wait the
//!    records in [`RetryTopics`], where they hold up nobody.
//! 7. A commit is made [`Config::commit_interval`] after the first record that is not committed,
//!    after 1,000 records, before partitions are released and at the end. One at a time is on its way;
//!    polling and handling go on meanwhile. One that fails transiently is made again; one that is
//!    fenced ends the assignment it was for.
//! 8. A partition is paused while [`Config::queue`] of its records wait or run, or [`Config::window`]
//!    have come after the oldest that is not done, and goes on at half of that. Polling goes on, so the
//!    membership is kept however long a handler takes.
//! 9. When partitions are revoked no record of them is begun; the running ones may finish within
//!    [`Config::drain_timeout`], then what is done is committed and the partitions are released. That
//!    last commit has half a second more when the time is up. What comes later is ignored.
//! 10. When partitions are lost their handlers are cancelled and nothing is committed for them.
//! 11. When the token is stopped every partition is treated as in 9, and then the group is left.
//! 12. Every [`Config::lag_interval`], and when a partition was assigned, the broker is asked where the
//!     partitions end. The lag is what is in hand and not done, and all offsets from the next record on;
//!     those count that have no record, and those do not that were done before a restart. Nothing waits
//!     for the answer.
//! 13. Transient errors of the broker are logged and tried again, at least every second. A permanent
//!     one ends the run with it, after what is done was committed if that is still possible.
//!
//! # When not to use it
//!
//! To read a topic from a chosen offset, or by every instance rather than once per group: use the
//! [`Subscriber`] itself. A handler that takes minutes holds up its key for minutes: let it
//! note the work and do it elsewhere. One that blocks its thread also holds up what the thread has taken
//! besides, at most 16 records: let it block a thread of its own.
//!
//! # Order in a stack
//!
//! `dead letters > retry topics > retry > idempotency > timeout > handlers`, outermost first; either kind
//! of retry may be left out. Dead letters inside of
//! retry would put every first failure aside. A timeout outside of idempotency drops the work, and its
//! key stays claimed until the lease ends. A retry outside of everything is not needed: the consumer
//! is one.
//!
//! # Guarantees
//!
//! - At least once: no record is committed before it is done. After a crash what was done since the
//!   last commit is done again, so handlers are idempotent or behind an idempotency layer.
//! - In order per key, or per partition if so told, also through failures. After a restart what was not
//!   committed is handled again, each key from its first such record on.
//! - A handler that ignores cancellation and outlives the drain timeout may overlap with the next
//!   owner of its partition; only an idempotent effect is safe from that.
//! - There is one clone of the handler for each thread of the runtime, and clones share what their
//!   layers share; a service that panicked is replaced by a clone of the original.
//!
//! # Defaults
//!
//! | setting | default | range |
//! |---|---|---|
//! | [`order`](Config::order) | by key | |
//! | [`concurrency`](Config::concurrency) | 64 records | from 1 |
//! | [`queue`](Config::queue) | 1,024 records per partition | from 1 |
//! | [`window`](Config::window) | 16,384 records per partition | from the queue |
//! | [`deadline`](Config::deadline) | none | above 0 |
//! | [`commit_interval`](Config::commit_interval) | 100 ms | 0 to 1 min |
//! | [`drain_timeout`](Config::drain_timeout) | 10 s | 0 to 1 h |
//! | [`backoff`](Config::backoff) | 50 ms, doubling, at most 20 s, full jitter | [`Backoff::check`](crate::backoff::Backoff::check) |
//! | [`lag_interval`](Config::lag_interval) | 5 s | above 0 |
//! | [`start`](Builder::start) | oldest record | |
//!
//! # Telemetry
//!
//! | what | level | fields |
//! |---|---|---|
//! | span `bowline.consumer.deliver`, one per attempt | info | those below |
//! | a handler failed | warn | `group`, `position`, `attempts`, `error` with its causes, `retry_in` |
//! | joining, polling or a commit failed, and is tried again | warn | `group`, `error`, `retry_in` |
//! | a partition was assigned | debug | `group`, `partition` |
//! | partitions revoked, lost | info, warn | `group`, `partitions` |
//! | results came after their assignment ended | warn | `group`, `partition` |
//! | partitions could not be released | warn | `group`, `error` |
//! | the broker failed while draining | warn | `group`, `error` |
//! | handlers did not finish in time | warn | `group`, `overdue` |
//! | a record goes to a retry topic | debug | `group`, `position`, `topic`, `error` |
//! | a broker refused metadata | warn | `group`, `error` |
//! | the group could not be left | warn | `group`, `error` |
//! | the last commit and leaving took too long | warn | `group` |
//! | a cancelled handler panicked | warn | `error` |
//! | the broker cannot tell where partitions end | debug | `group`, `error` |
//!
//! [`Consumer::status`] shows counts and partitions at any time.
//!
//! The span has the fields that OpenTelemetry names for [messaging]: `otel.kind` (consumer), `otel.name`
//! (`process {topic}`), `messaging.system`, `messaging.operation.name` and `.type` (process),
//! `messaging.destination.name` and `.partition.id`, `messaging.consumer.group.name`,
//! `messaging.message.id`, `messaging.kafka.offset` or, of another broker, `offset`, and `trace_id`. Of an
//! attempt that failed it has `error.type`, the [`Kind`](crate::error::Kind) of an error of this library,
//! `timeout`, `rejected`, `panic` or `_OTHER`, and `otel.status_code`. With the feature `otel`, and a layer of
//! `tracing-opentelemetry` that listens, the span goes on in the trace of the message, as its child, and
//! links to it: the conventions ask for the link, and allow the parent where a span has one message only.
//!
//! With the feature `metrics`, in the recorder that stands when the consumer is run:
//!
//! | metric | kind | labels beside `group` |
//! |---|---|---|
//! | `bowline.consumer.done` | counter: records, those for other groups included | |
//! | `bowline.consumer.failed_attempts` | counter | |
//! | `bowline.consumer.commits` | counter | `outcome`: committed, failed, fenced |
//! | `bowline.consumer.partitions` | counter | `change`: assigned, revoked, lost |
//! | `bowline.consumer.backlog` | gauge: records that wait or run | `topic`, `partition` |
//! | `bowline.consumer.in_flight` | gauge: records that are with the handler | `topic`, `partition` |
//! | `bowline.consumer.lag` | gauge: records of the log that are not done, 0 while that is not known | `topic`, `partition` |
//! | `bowline.consumer.paused` | gauge: 1 while reading waits | `topic`, `partition` |
//! | `bowline.consumer.oldest_age` | gauge: whole seconds that the oldest record has been in hand | `topic`, `partition` |
//!
//! Gauges are set when a partition was assigned and then every [`Config::lag_interval`], not at all without
//! it, and are 0 once the partition is not ours any more. How long handlers take is for a layer around
//! them to measure: that needs two looks at a clock for each record.
//!
//! # Examples
//!
//! ```
//! use std::num::NonZeroU32;
//!
//! use bowline::broker::{Delivery, Memory, Publisher, Record, Topics};
//! use bowline::consumer::{Consumer, Handlers};
//! use bowline::error::BoxError;
//! use bowline::message::{Event, Key, Message};
//! use bowline::shutdown::Shutdown;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct TaskCompleted { task: u32 }
//!
//! impl Event for TaskCompleted {
//!     const TYPE: &'static str = "task.completed";
//!     fn key(&self) -> Option<Key> { Some(Key::from(self.task.to_string())) }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let broker = Memory::new();
//! broker.create("tasks", NonZeroU32::MIN).await?;
//! let message = Message::event(&TaskCompleted { task: 7 })?;
//! broker.publish(vec![Record::from_message("tasks", &message)?]).await;
//!
//! let shutdown = Shutdown::new();
//! let stop = shutdown.clone();
//! let handlers = Handlers::new().on(move |event: TaskCompleted, _: Delivery| {
//!     let stop = stop.clone();
//!     async move {
//!         assert_eq!(event.task, 7);
//!         stop.trigger();
//!         Ok::<_, BoxError>(())
//!     }
//! });
//! let consumer = Consumer::builder(broker.subscriber(), handlers)
//!     .group("notifications")
//!     .topics(["tasks"])
//!     .build()?;
//! let status = consumer.status();
//! consumer.run(shutdown.token()).await?;
//! assert_eq!(status.snapshot().done, 1);
//! # Ok(())
//! # }
//! ```
//!
//! [messaging]: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
//! [`REDRIVE_GROUP`]: crate::broker::REDRIVE_GROUP
//! [`RETRY_DUE`]: crate::broker::RETRY_DUE

mod builder;
mod config;
mod handlers;
mod meters;
mod retry_topics;
mod runtime;
mod status;

use std::fmt;
use std::sync::Arc;

use tower::Service;

use self::runtime::Runtime;
use crate::broker::{Delivery, Start, Subscriber};
use crate::error::{BoxError, Error};
use crate::shutdown::Token;

pub use builder::Builder;
pub use config::{Config, Order};
pub use handlers::{Handlers, HandlersFuture, Unknown};
pub use retry_topics::{RetryTopics, RetryTopicsFuture, RetryTopicsLayer, RetryTopicsService};
pub use status::{PartitionStatus, Snapshot, Status};

/// Reads topics as one member of a group and hands each record to a handler.
///
/// Built by [`Consumer::builder`], it does nothing until it is [run](Self::run).
pub struct Consumer<S, H> {
    subscriber: S,
    handler: H,
    group: Arc<str>,
    topics: Vec<Arc<str>>,
    start: Start,
    config: Config,
    status: Status,
}

impl<S, H> Consumer<S, H> {
    /// Starts a consumer that gives what `subscriber` reads to clones of `handler`.
    pub fn builder(subscriber: S, handler: H) -> Builder<S, H> {
        Builder::new(subscriber, handler)
    }

    /// A handle that shows what the consumer is doing, for an operations page.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Works until `token` is stopped and everything that ran has drained, or until the subscriber
    /// fails for good.
    ///
    /// # Errors
    ///
    /// The permanent errors of the subscriber. Transient ones and those of the handler are tried
    /// again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped, as in a crash: running handlers are dropped, and what was
    /// not committed comes again to whoever owns the partitions next.
    pub async fn run(self, token: Token) -> Result<(), Error>
    where
        S: Subscriber,
        H: Service<Delivery, Response = ()> + Clone + Send + 'static,
        H::Error: Into<BoxError>,
        H::Future: Send + 'static,
    {
        let _ended = self.status.until_ended();
        Runtime::new(
            self.subscriber,
            &self.handler,
            self.group,
            self.config,
            self.status,
        )
        .run(self.topics, self.start, token)
        .await
    }
}

impl<S: fmt::Debug, H> fmt::Debug for Consumer<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("start", &self.start)
            .field("config", &self.config)
            .field("subscriber", &self.subscriber)
            .finish_non_exhaustive()
    }
}
