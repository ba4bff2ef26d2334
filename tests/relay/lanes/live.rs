//! Lanes whose number changes under relays that run.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bowline::broker::{Memory, Polled, Start, Subscriber as _, Topics as _};
use bowline::outbox::relay::Config;
use bowline::outbox::{self, Relay, Store as _};
use bowline::shutdown::Shutdown;
use tokio::time::{sleep, timeout};

use super::{fresh, number};
use crate::log::{MANY, TOPIC, committed};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const WRITERS: usize = 4;

/// Relays on two nodes, of which some are killed, while rows are written and the lanes become more and
/// fewer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_go_on_in_order_from_four_lanes_to_eight_and_to_three() {
    let (_, whole) = fresh("lanes_live").await;
    let broker = Memory::new();
    broker.create(TOPIC, NonZeroU32::MIN).await.unwrap();
    let shutdown = Shutdown::new();
    let relay = |lane| {
        let relay = Relay::builder(whole.lane(lane), broker.clone())
            .window(NonZeroUsize::new(10).unwrap())
            .lease(Config::LEASE_MIN)
            .poll(Duration::from_millis(50))
            .build()
            .unwrap();
        tokio::spawn(relay.run(shutdown.token()))
    };
    let node = || (0..8).map(relay).collect::<Vec<_>>();
    let (mut one, mut other) = (node(), node());
    let is_written = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(whole.clone(), writer, Arc::clone(&is_written))))
        .collect();
    for lanes in [4, 8, 3] {
        whole.set_lanes(number(lanes)).await.unwrap();
        let nodes = [&mut one, &mut other];
        for (lane, relays) in [1, 2].into_iter().zip(nodes) {
            relays[lane].abort();
            relays[lane] = relay(u32::try_from(lane).unwrap());
        }
        let changed = async {
            while whole.lanes().await.unwrap() != number(lanes) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, changed).await.expect("they come to it");
        sleep(Duration::from_millis(300)).await;
    }
    is_written.store(true, Ordering::Relaxed);
    let mut expected: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (writer, written) in writers.into_iter().enumerate() {
        for number in 0..written.await.unwrap() {
            let of_key = expected.entry(key(writer, number)).or_default();
            of_key.push(number);
        }
    }
    let drained = async {
        while whole.status().await.unwrap().pending > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("they go on");
    shutdown.trigger();
    for relay in one.into_iter().chain(other) {
        relay.await.unwrap().unwrap();
    }
    assert_eq!(published(&broker).await, expected);
}

/// Each key has one writer.
fn key(writer: usize, number: usize) -> usize {
    writer + WRITERS * (number % 5)
}

/// Writes until told; how many rows.
async fn write(store: outbox::Postgres, writer: usize, is_written: Arc<AtomicBool>) -> usize {
    let mut number = 0;
    while !is_written.load(Ordering::Relaxed) {
        let key = key(writer, number);
        committed(&store, &format!("{key}/{number}"), &key.to_string()).await;
        number += 1;
        sleep(Duration::from_millis(2)).await;
    }
    number
}

/// What the broker has, by key, without copies.
async fn published(broker: &Memory) -> BTreeMap<usize, Vec<usize>> {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(TOPIC)];
    let subscribed = subscriber.subscribe("check", &topics, Start::Earliest);
    subscribed.await.unwrap();
    let mut seen: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    while let Ok(polled) = timeout(Duration::from_millis(200), subscriber.poll(MANY)).await {
        let Polled::Records(records) = polled.unwrap() else {
            continue;
        };
        for received in records {
            let payload = received.record.payload.unwrap();
            let (key, number) = std::str::from_utf8(&payload)
                .unwrap()
                .split_once('/')
                .unwrap();
            let of_key = seen.entry(key.parse().unwrap()).or_default();
            let number = number.parse().unwrap();
            if !of_key.contains(&number) {
                of_key.push(number);
            }
        }
    }
    seen
}
