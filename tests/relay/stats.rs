//! What a relay shows of itself and of its outbox.

use std::num::NonZeroU32;
use std::time::Duration;

use bowline::broker::{self, Topics as _};
use bowline::outbox::{Memory, Relay, Routing};
use bowline::shutdown::Shutdown;
use tokio::time::sleep;

use crate::topics::{enqueue, first_word};

async fn outbox() -> (Memory, broker::Memory) {
    let outbox = Memory::new().with_routing(Routing::by(first_word));
    let broker = broker::Memory::new();
    broker.create("here", NonZeroU32::MIN).await.unwrap();
    for number in 0..20 {
        enqueue(&outbox, "here.event", number);
    }
    for number in 0..5 {
        enqueue(&outbox, "missing.event", number);
    }
    (outbox, broker)
}

#[tokio::test(start_paused = true)]
async fn what_a_relay_has_done_is_shown_when_it_has_ended() {
    let (outbox, broker) = outbox().await;
    let relay = Relay::builder(outbox, broker.clone()).build().unwrap();
    let stats = relay.stats();
    assert_eq!(stats.snapshot().latency.count(), 0);
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.run(shutdown.token()));
    sleep(Duration::from_secs(1)).await;
    let shown = stats.snapshot();
    assert_eq!((shown.published, shown.aside, shown.parked), (20, 5, 0));
    broker.create("missing", NonZeroU32::MIN).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    let shown = stats.snapshot();
    assert_eq!((shown.published, shown.aside, shown.windows), (25, 5, 2));
    let latency = shown.latency;
    assert_eq!(latency.count(), 25);
    assert!(latency.p50() <= latency.p99() && latency.p99() <= latency.max());
}

#[cfg(feature = "metrics")]
mod metrics {
    use std::collections::HashMap;

    use bowline::outbox::Store as _;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

    use super::*;

    /// What was shown until now, by name and label; of a histogram how many values there were.
    type Shown = HashMap<String, f64>;

    /// Adds what has changed since the last look.
    fn look(seen: &Snapshotter, shown: &mut Shown) {
        for (key, _, _, value) in seen.snapshot().into_vec() {
            let mut name = key.key().name().to_owned();
            for label in key.key().labels() {
                if label.key() == "outbox" {
                    assert_eq!(label.value(), "orders");
                } else {
                    name = format!("{name} {}", label.value());
                }
            }
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(level) => level.into_inner(),
                DebugValue::Histogram(values) => values.len() as f64,
            };
            *shown.entry(name).or_default() += value;
        }
    }

    fn assert_shown(seen: &Snapshotter, shown: &mut Shown, expected: &[(&str, f64)]) {
        look(seen, shown);
        for (name, value) in expected {
            let name = format!("bowline.outbox.{name}");
            assert_eq!(shown.get(&name), Some(value), "{name} of {shown:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_outbox_shows_in_metrics() {
        let mut shown = Shown::new();
        let recorder = DebuggingRecorder::new();
        let seen = recorder.snapshotter();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        let (outbox, broker) = outbox().await;
        let relay = Relay::builder(outbox.clone(), broker).name("orders");
        let relay = relay.build().unwrap();
        let shutdown = Shutdown::new();
        let relay = tokio::spawn(relay.run(shutdown.token()));
        sleep(Duration::from_secs(15)).await;
        assert_shown(
            &seen,
            &mut shown,
            &[
                ("rows published", 20.0),
                ("rows aside", 5.0),
                ("rows parked", 0.0),
                ("windows", 1.0),
                ("latency", 20.0),
                ("leases taken", 1.0),
                ("behind", 5.0),
                ("aside", 5.0),
                ("parked", 0.0),
                ("halted", 0.0),
            ],
        );
        outbox.halt("a look").await.unwrap();
        sleep(Duration::from_secs(5)).await;
        // Nobody looks any more.
        let ended = [("halted", 1.0), ("behind", 0.0), ("leases ended", 1.0)];
        assert_shown(&seen, &mut shown, &ended);
        outbox.resume().await.unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_shown(&seen, &mut shown, &[("halted", 0.0), ("behind", 5.0)]);
        shutdown.trigger();
        relay.await.unwrap().unwrap();
    }
}
