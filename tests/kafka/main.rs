//! Kafka that fails: refusals, outages, and members that die.

#![cfg(feature = "kafka")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod bad_input;
mod cluster;
mod consuming;
mod ends;
mod interop;
mod outages;
mod raw;
mod refusals;
mod static_members;
mod transactions;
mod unfinished;
mod windows;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka::{Config, Publisher, Topics};
use bowline::broker::{Record, Topics as _};
use bowline_test_services::Kafka;
use tokio::task::spawn_blocking;

/// A broker that this test alone may stop.
async fn own_broker() -> Arc<Kafka> {
    let started = spawn_blocking(Kafka::start).await.unwrap();
    Arc::new(started.expect("a broker"))
}

/// Steers `broker` without keeping the runtime from its work.
async fn steer(broker: &Arc<Kafka>, how: fn(&Kafka) -> Result<(), bowline_test_services::Error>) {
    let broker = Arc::clone(broker);
    let steered = spawn_blocking(move || how(&broker)).await.unwrap();
    steered.expect("the broker obeys");
}

fn config(broker: &Kafka) -> Config {
    Config::new(broker.address()).with_message_timeout(Duration::from_secs(3))
}

async fn topic(config: &Config, partitions: u32) -> Arc<str> {
    let name: Arc<str> = format!("topic-{}", uuid::Uuid::now_v7().simple()).into();
    let partitions = NonZeroU32::new(partitions).unwrap();
    let topics = Topics::new(config).unwrap();
    topics.create(&name, partitions).await.expect("a new topic");
    name
}

fn publisher(config: &Config) -> Publisher {
    Publisher::new(config).unwrap()
}

/// Record number `n` of `topic`, with one of `keys` keys.
fn numbered(topic: &Arc<str>, n: u32, keys: u32) -> Record {
    Record::new(Arc::clone(topic), n.to_string()).with_key((n % keys).to_string())
}

fn number(record: &Record) -> u32 {
    let payload = record.payload.as_deref().unwrap();
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}
