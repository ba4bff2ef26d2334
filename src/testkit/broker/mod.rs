//! The conformance suite of brokers: what every [`Publisher`], [`Subscriber`] and [`Topics`] holds.
//!
//! Implement [`Harness`] for a broker and let [`broker_conformance!`](crate::broker_conformance)
//! write one test per case:
//!
//! ```
//! use std::time::Duration;
//!
//! use bowline::broker::{Memory, MemorySubscriber};
//! use bowline::testkit::broker::Harness;
//!
//! struct InMemory(Memory);
//!
//! impl Harness for InMemory {
//!     type Publisher = Memory;
//!     type Subscriber = MemorySubscriber;
//!     type Topics = Memory;
//!
//!     fn publisher(&self) -> Memory {
//!         self.0.clone()
//!     }
//!     fn subscriber(&self) -> MemorySubscriber {
//!         self.0.subscriber()
//!     }
//!     fn impatient_subscriber(&self) -> MemorySubscriber {
//!         let broker = self.0.clone().with_session_timeout(Duration::from_millis(300));
//!         broker.subscriber()
//!     }
//!     fn topics(&self) -> Memory {
//!         self.0.clone()
//!     }
//! }
//!
//! bowline::broker_conformance!(memory, InMemory(Memory::new()));
//! # fn main() {}
//! ```
//!
//! Cases use topics and groups of their own, so they may share a server and run side by side. None
//! depends on how fast the broker is; one that does not answer fails after a minute. A broker that has
//! [`Transactions`](crate::broker::Transactions) passes [`transactions()`] too.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a case reports by panicking"
)]

mod churn;
mod ends;
mod groups;
mod member;
mod publishing;
mod reading;
mod transactions;

use std::num::NonZeroU32;
use std::sync::Arc;

use uuid::Uuid;

pub use self::churn::members_come_and_go;
pub use self::ends::ends_are_where_the_next_records_will_stand;
pub use self::groups::{
    a_commit_with_one_ended_assignment_changes_nothing, a_joining_member_gets_its_share,
    a_late_commit_is_fenced, a_member_that_closes_is_replaced, a_silent_member_learns_of_its_loss,
    an_ended_assignment_stays_ended, each_group_gets_everything,
    metadata_comes_back_with_the_partition, released_partitions_go_on_from_the_commit,
};
use self::member::Member;
pub use self::publishing::{
    a_failed_record_holds_back_its_key, a_known_partition_is_used, a_too_large_record_is_refused,
    an_unknown_topic_is_refused, awaited_calls_keep_their_order,
    concurrent_publishers_lose_nothing, keys_choose_partitions_as_in_kafka,
    results_come_in_the_order_of_the_batch, topics_are_created_once,
};
pub use self::reading::{
    a_crashed_member_leaves_uncommitted_records, a_message_reads_back_as_it_was,
    a_paused_partition_waits, a_poll_may_be_cancelled, a_record_reads_back_as_it_was,
    a_waiting_poll_is_woken, an_unknown_topic_cannot_be_read, committed_records_do_not_come_again,
    earliest_starts_with_the_oldest, latest_is_kept_after_a_crash, latest_starts_with_the_next,
    no_poll_gives_more_than_asked, seeking_goes_back_and_forth,
};
pub use self::transactions::{
    a_batch_and_its_position_are_there_together_or_not_at_all, transactions,
    who_takes_an_id_over_fences_the_one_before,
};
use crate::broker::{Appended, PublishError, Publisher, Record, Subscriber, Topics};

/// How the suite gets at a broker.
pub trait Harness: Send + Sync + 'static {
    /// Appends records.
    type Publisher: Publisher;
    /// Reads records.
    type Subscriber: Subscriber;
    /// Creates topics.
    type Topics: Topics;

    /// A publisher. All publishers of one harness reach the same broker.
    fn publisher(&self) -> Self::Publisher;

    /// A subscriber whose session lasts longer than a busy machine may keep it waiting: 10 s or more.
    fn subscriber(&self) -> Self::Subscriber;

    /// A subscriber that loses its partitions soon after it stopped polling: in 0.3 s to 10 s.
    fn impatient_subscriber(&self) -> Self::Subscriber;

    /// The means to create topics.
    fn topics(&self) -> Self::Topics;

    /// A size in bytes, as [`Record::size`] counts them, that the broker refuses.
    fn too_large(&self) -> usize {
        2 * 1024 * 1024
    }

    /// Ends a subscriber as if its process had been killed.
    fn crash(&self, subscriber: Self::Subscriber) {
        drop(subscriber);
    }
}

/// One `#[tokio::test]` for each case of the suite, in a module `$name`. `$harness` makes a
/// [`Harness`](crate::testkit::broker::Harness) and may await.
#[macro_export]
macro_rules! broker_conformance {
    ($name:ident, $harness:expr) => {
        $crate::broker_conformance!(@cases $name, $harness,
            a_commit_with_one_ended_assignment_changes_nothing
            a_crashed_member_leaves_uncommitted_records
            a_failed_record_holds_back_its_key
            a_joining_member_gets_its_share
            a_known_partition_is_used
            a_late_commit_is_fenced
            a_member_that_closes_is_replaced
            a_message_reads_back_as_it_was
            a_paused_partition_waits
            a_poll_may_be_cancelled
            a_record_reads_back_as_it_was
            a_silent_member_learns_of_its_loss
            a_too_large_record_is_refused
            a_waiting_poll_is_woken
            an_ended_assignment_stays_ended
            an_unknown_topic_cannot_be_read
            an_unknown_topic_is_refused
            awaited_calls_keep_their_order
            committed_records_do_not_come_again
            concurrent_publishers_lose_nothing
            each_group_gets_everything
            ends_are_where_the_next_records_will_stand
            earliest_starts_with_the_oldest
            keys_choose_partitions_as_in_kafka
            latest_is_kept_after_a_crash
            latest_starts_with_the_next
            members_come_and_go
            metadata_comes_back_with_the_partition
            no_poll_gives_more_than_asked
            released_partitions_go_on_from_the_commit
            results_come_in_the_order_of_the_batch
            seeking_goes_back_and_forth
            topics_are_created_once
        );
    };
    (@cases $name:ident, $harness:expr, $($case:ident)*) => {
        mod $name {
            #[allow(unused_imports, reason = "the harness may be made of paths alone")]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let harness = $harness;
                    $crate::testkit::broker::$case(&harness).await;
                }
            )*
        }
    };
}

/// A name that nobody else uses.
fn unique(name: &str) -> Arc<str> {
    format!("{name}-{}", Uuid::now_v7().simple()).into()
}

/// A new topic.
async fn topic<H: Harness>(harness: &H, partitions: u32) -> Arc<str> {
    let topic = unique("topic");
    let partitions = NonZeroU32::new(partitions).expect("a topic has a partition");
    let created = harness.topics().create(&topic, partitions).await;
    created.expect("a new topic can be created");
    topic
}

/// Publishes records that the broker must take.
async fn publish<H: Harness>(harness: &H, batch: Vec<Record>) -> Vec<Appended> {
    let results = harness.publisher().publish(batch).await;
    all_appended(results)
}

fn all_appended(results: Vec<Result<Appended, PublishError>>) -> Vec<Appended> {
    results
        .into_iter()
        .map(|result| result.expect("the record is acceptable"))
        .collect()
}

/// Records `from..to` of `topic`, with their numbers as payloads.
fn numbered(topic: &Arc<str>, from: u32, to: u32) -> Vec<Record> {
    (from..to).map(|n| record(topic, n)).collect()
}

fn record(topic: &Arc<str>, n: u32) -> Record {
    Record::new(Arc::clone(topic), n.to_string())
}

/// Puts `record` into `partition`.
fn into_partition(mut record: Record, partition: u32) -> Record {
    record.partition = Some(partition);
    record
}

/// The number that is the payload of `record`.
fn number(record: &Record) -> u32 {
    let payload = record.payload.as_deref().expect("a payload");
    let text = std::str::from_utf8(payload).expect("digits");
    text.parse().expect("a number")
}
