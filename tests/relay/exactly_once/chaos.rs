//! Two processes that relay, are stopped past their leases, killed and started again, as a seed says.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::pin;
use std::time::Duration;

use bowline::broker::{Memory as Log, Topics as _};
use bowline::message::Message;
use bowline::outbox::{Memory, Store as _};
use bowline::shutdown::Shutdown;
use bowline::testkit::faults::{Fault, Faults};
use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};

use super::faulty::Broker;
use super::{MAX_RECORD, drain, memory, outbox, payloads, relay};

const SEEDS: u64 = 300;
const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// How long things go wrong.
const CHAOS: Duration = Duration::from_secs(15);

/// What has to be seen, by topic and key; rows without a key have no order.
type Expected = BTreeMap<(&'static str, Option<u8>), Vec<String>>;

/// Writes rows until the end of the chaos.
async fn write(mut random: Rng, outbox: Memory, until: Instant) -> Expected {
    let mut expected = Expected::new();
    let mut number = 0;
    while Instant::now() < until {
        let mut tx = outbox.begin();
        for _ in 0..random.u32(1..8) {
            number += 1;
            let (topic, kind) = match random.u8(0..8) {
                0..4 => ("here", "here.event"),
                4..6 => ("ill", "ill.event"),
                _ => ("late", "late.event"),
            };
            let key = random.choice([None, Some(0), Some(1), Some(2)]).flatten();
            let mut payload = format!("{number}");
            if random.u8(0..20) == 0 {
                payload = "x".repeat(2 * MAX_RECORD);
            } else {
                let of_key = expected.entry((topic, key)).or_default();
                // So that the rows of each key can be told from others.
                payload = format!("{payload}/{key:?}");
                of_key.push(payload.clone());
            }
            let mut message = Message::new(kind, payload);
            if let Some(key) = key {
                message = message.with_key(key.to_string());
            }
            outbox.enqueue(&mut tx, &message).unwrap();
        }
        tx.commit();
        sleep(Duration::from_secs(2).mul_f64(random.f64())).await;
    }
    expected
}

/// A process that relays, and lives again.
async fn relays(mut random: Rng, outbox: Memory, broker: Broker, until: Instant) {
    while Instant::now() < until {
        let faults: Vec<_> = (0..2)
            .map(|_| {
                let fault = match random.u8(0..4) {
                    0 => Fault::Fail,
                    1 => Fault::Drop,
                    2 => Fault::Hang,
                    _ => Fault::Delay(Duration::from_secs(3).mul_f64(random.f64())),
                };
                Faults::at(random.u64(1..60), fault)
            })
            .collect();
        let store = faults[1].wrap(faults[0].wrap(outbox.clone()));
        let transactions = faults[1].wrap(faults[0].wrap(broker.clone()));
        let shutdown = Shutdown::new();
        let window = NonZeroUsize::new(random.usize(1..12)).unwrap();
        let relay = relay(store, transactions).window(window).build().unwrap();
        let mut running = pin!(relay.run(shutdown.token()));
        loop {
            let time = Duration::from_secs(3).mul_f64(random.f64());
            if let Ok(ended) = timeout(time, running.as_mut()).await {
                ended.unwrap();
                break;
            }
            match random.u8(0..6) {
                // Killed.
                0..2 => break,
                2 => shutdown.trigger(),
                // Stopped for a while, and it does not notice.
                3..5 => sleep(Duration::from_secs(4).mul_f64(random.f64())).await,
                _ => {}
            }
            if Instant::now() > until {
                break;
            }
        }
    }
}

async fn operate(mut random: Rng, outbox: Memory, until: Instant) {
    while Instant::now() < until {
        sleep(Duration::from_secs(2).mul_f64(random.f64())).await;
        for parked in outbox.parked(MANY).await.unwrap() {
            let id = parked.entry.id;
            match random.u8(0..3) {
                0 => outbox.retry(id).await.unwrap(),
                1 => outbox.discard(id).await.unwrap(),
                _ => {}
            }
        }
    }
}

async fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let (outbox, log) = (outbox(), memory().await);
    let most = Duration::from_secs(3).mul_f64(random.f64());
    let room = random.choice([81, 120, 4_096]).unwrap();
    let broker = Broker::new(log.clone())
        .with_max_metadata(room)
        .with_delays(most, random.fork());
    let until = Instant::now() + CHAOS;
    let health = {
        let (mut random, broker, log) = (random.fork(), broker.clone(), log.clone());
        async move {
            while Instant::now() < until {
                sleep(Duration::from_secs(3).mul_f64(random.f64())).await;
                match random.u8(0..4) {
                    0 | 1 => broker.fails_for("ill"),
                    2 => broker.is_well(),
                    _ => drop(log.create("late", NonZeroU32::MIN).await.unwrap()),
                }
            }
        }
    };
    let (expected, ..) = tokio::join!(
        write(random.fork(), outbox.clone(), until),
        relays(random.fork(), outbox.clone(), broker.clone(), until),
        relays(random.fork(), outbox.clone(), broker.clone(), until),
        operate(random.fork(), outbox.clone(), until),
        health,
    );
    // All is well again.
    broker.is_well();
    log.create("late", NonZeroU32::MIN).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let discarded = async {
        loop {
            for parked in outbox.parked(MANY).await.unwrap() {
                outbox.discard(parked.entry.id).await.unwrap();
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = drain(&outbox, broker) => {}
        () = discarded => {}
    }
    check(&log, expected, seed).await;
}

async fn check(log: &Log, expected: Expected, seed: u64) {
    for topic in ["here", "ill", "late"] {
        let seen = payloads(log, topic).await;
        let mut count = 0;
        for ((_, key), mut rows) in expected.clone().into_iter().filter(|(of, _)| of.0 == topic) {
            let of_key = format!("/{key:?}");
            let of_key = seen.iter().filter(|payload| payload.ends_with(&of_key));
            let mut of_key: Vec<_> = of_key.cloned().collect();
            if key.is_none() {
                of_key.sort_unstable();
                rows.sort_unstable();
            }
            assert_eq!(of_key, rows, "seed {seed}, {topic}, {key:?}");
            count += rows.len();
        }
        assert_eq!(seen.len(), count, "seed {seed}, {topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_row_is_seen_once_and_in_order_whatever_happens() {
    let (from, to) = match std::env::var("BOWLINE_SEED") {
        Ok(seed) => (seed.parse().unwrap(), seed.parse::<u64>().unwrap() + 1),
        Err(_) => (0, SEEDS),
    };
    for seed in from..to {
        println!("BOWLINE_SEED={seed}");
        Box::pin(run(seed)).await;
    }
}
