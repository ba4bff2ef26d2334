//! What a recorder sees of a consumer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bowline::consumer::Order;
use bowline::error::Kind;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::script::{Attempts, Script, run, run_with, secs, soon};

/// All that was shown so far, by the metric and its labels but the first, which is the group.
#[derive(Debug, Default)]
struct Seen(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Seen {
    fn number(&self, key: &Key) -> Arc<AtomicU64> {
        let name = key.name().strip_prefix("bowline.consumer.").unwrap();
        let labels = key.labels().skip(1).map(|label| label.value());
        let all: Vec<_> = std::iter::once(name).chain(labels).collect();
        Arc::clone(self.0.lock().unwrap().entry(all.join(" ")).or_default())
    }

    fn read(&self, series: &str) -> u64 {
        self.0.lock().unwrap()[series].load(Ordering::Relaxed)
    }

    fn gauge(&self, series: &str) -> f64 {
        f64::from_bits(self.read(series))
    }
}

impl Recorder for Seen {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_records_commits_and_partitions_is_counted() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let script = Script::default();
    let handler = Attempts::default().handler(|_, offset, before| async move {
        match (offset, before) {
            (1, 0..3) => Err("no".into()),
            _ => Ok(()),
        }
    });
    let _running = run(&script, handler);
    script.assign(&[(0, 1), (1, 1)]);
    script.fail_commit(Kind::Timeout);
    script.records(0, 1, 0..5);
    secs(60).await;
    script.revoke(&[(0, 1)]);
    soon().await;
    script.take_away(&[(1, 1)]);
    script.records(1, 1, 0..1);
    secs(60).await;
    script.assign(&[(1, 2)]);
    soon().await;
    script.lose(&[(1, 2)]);
    soon().await;
    let counts = ["done", "failed_attempts"].map(|name| seen.read(name));
    assert_eq!(counts, [6, 3]);
    let commits = ["committed", "failed", "fenced"];
    let commits = commits.map(|outcome| seen.read(&format!("commits {outcome}")));
    assert!(commits[0] > 0, "{commits:?}");
    assert_eq!(commits[1..], [1, 1]);
    let changes = ["assigned", "revoked", "lost"];
    let changes = changes.map(|change| seen.read(&format!("partitions {change}")));
    assert_eq!(changes, [3, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn gauges_follow_a_partition_and_are_zero_once_it_is_gone() {
    const GAUGES: [&str; 5] = ["backlog", "in_flight", "lag", "paused", "oldest_age"];
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let script = Script::default();
    let handler = Attempts::default().handler(|_, _, _| std::future::pending());
    let running = run(&script, handler);
    let shown =
        |partition: u32| GAUGES.map(|name| seen.gauge(&format!("{name} tasks {partition}")));
    script.end(0, 30);
    script.assign(&[(0, 1), (1, 1)]);
    soon().await;
    assert_eq!([shown(0), shown(1)], [[0.0; 5]; 2]);
    script.records(0, 1, 0..4);
    secs(21).await;
    assert_eq!(shown(0), [4.0, 1.0, 30.0, 1.0, 19.0]);
    assert_eq!(shown(1), [0.0; 5]);
    script.lose(&[(0, 1)]);
    soon().await;
    assert_eq!(shown(0), [0.0; 5], "it was lost");

    script.records(1, 1, 0..2);
    secs(10).await;
    assert_eq!(shown(1)[..2], [2.0, 1.0]);
    running.ended.abort();
    soon().await;
    assert_eq!(shown(1), [0.0; 5], "the consumer is gone");
}

/// Each member shows its own share: a partition that moves inside of one process is counted once.
#[tokio::test(start_paused = true)]
async fn a_partition_that_comes_back_is_not_counted_twice() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let script = Script::default();
    let handler = Attempts::default().handler(|_, _, _| std::future::pending());
    let _running = run_with(&script, handler, |builder| builder.with_order(Order::None));
    for epoch in 1..4 {
        script.assign(&[(0, epoch)]);
        script.records(0, epoch, 0..3);
        secs(6).await;
        assert_eq!(seen.gauge("in_flight tasks 0"), 3.0);
        script.lose(&[(0, epoch)]);
        soon().await;
    }
    assert_eq!(seen.gauge("in_flight tasks 0"), 0.0);
}
