//! The broker on Redis: what the suite of all brokers does not know of.

#![cfg(feature = "redis")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod consuming;
mod groups;
mod outages;
mod publishing;
mod retention;

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{
    Assigned, Assignment, Commit, Polled, Publisher as _, Received, Record, Redis, RedisSubscriber,
    Start, Subscriber as _, Topics as _,
};
use bowline_test_services::shared;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

type Server = bowline_test_services::Redis;

const PATIENCE: Duration = Duration::from_secs(60);
const MAX: NonZeroUsize = NonZeroUsize::new(100).unwrap();
const ONE: NonZeroU32 = NonZeroU32::MIN;

/// A server that this test alone may stop.
async fn own_server() -> Arc<Server> {
    let started = spawn_blocking(Server::start).await.unwrap();
    Arc::new(started.expect("a server"))
}

/// Steers `server` without keeping the runtime from its work.
async fn steer(server: &Arc<Server>, how: fn(&Server) -> Result<(), bowline_test_services::Error>) {
    let server = Arc::clone(server);
    let steered = spawn_blocking(move || how(&server)).await.unwrap();
    steered.expect("the server obeys");
}

/// A broker for this test alone, on the server of this process, and what its keys begin with.
async fn own_broker() -> (Redis, String) {
    let url = shared_url().await;
    let prefix = uuid::Uuid::now_v7().simple().to_string();
    let broker = Redis::connect(&url).await.expect("a server");
    (broker.with_prefix(&prefix), format!("{{{prefix}}}"))
}

async fn shared_url() -> String {
    let server = spawn_blocking(shared::redis).await.unwrap();
    server.expect("a server").url()
}

/// A broker with topic `t` of `partitions` partitions, on a server that this test alone may stop.
async fn broker_on(server: &Server, partitions: u32) -> Redis {
    let broker = Redis::connect(&server.url()).await.expect("a server");
    let partitions = NonZeroU32::new(partitions).unwrap();
    broker.create("t", partitions).await.expect("a new topic");
    broker
}

/// Asks the server at `url` something, past the broker.
async fn ask<T: redis::FromRedisValue>(url: &str, command: &str) -> T {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query_async(&mut connection).await.unwrap()
}

async fn joined(broker: &Redis, group: &str) -> RedisSubscriber {
    let mut subscriber = broker.subscriber();
    let topics = ["t".into()];
    let joined = subscriber.subscribe(group, &topics, Start::Earliest).await;
    joined.expect("the topic exists");
    subscriber
}

/// A member that owns everything, and what it owns.
async fn owner(broker: &Redis, group: &str) -> (RedisSubscriber, Vec<Assigned>) {
    let mut subscriber = joined(broker, group).await;
    match poll(&mut subscriber).await {
        Polled::Assigned(mine) => (subscriber, mine),
        other => panic!("expected an assignment: {other:?}"),
    }
}

/// The next thing that a poll says, past transient errors.
async fn poll(subscriber: &mut RedisSubscriber) -> Polled {
    let polled = async {
        loop {
            match subscriber.poll(MAX).await {
                Ok(polled) => return polled,
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
        }
    };
    timeout(PATIENCE, polled).await.expect("something comes")
}

/// The next `count` records.
async fn read(subscriber: &mut RedisSubscriber, count: usize) -> Vec<Received> {
    let mut all = Vec::new();
    while all.len() < count {
        match poll(subscriber).await {
            Polled::Records(records) => all.extend(records),
            other => panic!("expected records: {other:?}"),
        }
    }
    all
}

async fn read_numbers(subscriber: &mut RedisSubscriber, count: usize) -> Vec<u32> {
    let records = read(subscriber, count).await;
    records.iter().map(|read| number(&read.record)).collect()
}

async fn commit(subscriber: &mut RedisSubscriber, assignment: &Assignment, next: u64) {
    let commit = Commit::new(assignment.clone(), next);
    subscriber.commit(&[commit]).await.expect("ours");
}

/// Record number `n` of topic `t`.
fn numbered(n: u32) -> Record {
    Record::new("t", n.to_string())
}

async fn publish(broker: &Redis, numbers: std::ops::Range<u32>) {
    for result in broker.publish(numbers.map(numbered).collect()).await {
        result.expect("acceptable");
    }
}

fn number(record: &Record) -> u32 {
    let payload = record.payload.as_deref().unwrap();
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}
