//! What a recorder sees of the patterns that bound something.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::adaptive::Adaptive;
use bowline::bulkhead::Bulkhead;
use bowline::chaos::Chaos;
use bowline::classify::{Failure, Outcome};
use bowline::keyed::Registry;
use bowline::rate::{Rate, RateLimiter};
use bowline::retry::Retry;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};

use super::SECOND;

/// All that was shown so far, by the metric and its labels but the first, which is the name of the pattern.
/// A debugging recorder forgets its gauges as soon as one looks at them.
#[derive(Debug, Default)]
pub(super) struct Seen {
    numbers: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    seconds: Mutex<BTreeMap<String, Arc<Seconds>>>,
}

#[derive(Debug, Default)]
struct Seconds(Mutex<Vec<f64>>);

impl HistogramFn for Seconds {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

fn series(key: &Key) -> String {
    let labels = key.labels().skip(1).map(|label| label.value());
    let all: Vec<_> = std::iter::once(key.name()).chain(labels).collect();
    all.join(" ")
}

impl Seen {
    fn number(&self, key: &Key) -> Arc<AtomicU64> {
        let mut numbers = self.numbers.lock().unwrap();
        Arc::clone(numbers.entry(series(key)).or_default())
    }

    fn read(&self, series: &str) -> u64 {
        self.numbers.lock().unwrap()[series].load(Ordering::Relaxed)
    }

    pub(super) fn gauge(&self, series: &str) -> f64 {
        f64::from_bits(self.read(series))
    }

    /// Whatever was counted, by the last label.
    fn counts(&self, metric: &str) -> Vec<(String, u64)> {
        let numbers = self.numbers.lock().unwrap();
        let counts = numbers.iter().filter_map(|(series, number)| {
            let label = series.strip_prefix(metric)?.trim_start();
            Some((label.to_owned(), number.load(Ordering::Relaxed)))
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn seconds(&self, metric: &str) -> Vec<f64> {
        let seconds = Arc::clone(&self.seconds.lock().unwrap()[metric]);
        let seconds = seconds.0.lock().unwrap();
        seconds.clone()
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

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut seconds = self.seconds.lock().unwrap();
        Histogram::from_arc(Arc::clone(seconds.entry(series(key)).or_default()))
    }
}

fn expected(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    let counts = counts.iter();
    counts.map(|(of, n)| ((*of).to_owned(), *n)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_gauges_of_a_bulkhead_fall_whichever_way_a_call_ends() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let policy = Bulkhead::builder("reports").limit(1).queue(2);
    let bulkhead = policy.max_wait(SECOND).build().unwrap();
    let shown = || {
        let gauges = ["bowline.bulkhead.running", "bowline.bulkhead.queued"];
        gauges.map(|gauge| seen.gauge(gauge))
    };
    assert_eq!(shown(), [0.0, 0.0]);
    let permit = bulkhead.try_acquire().unwrap();
    let (mut first, mut second) = (spawn(bulkhead.acquire()), spawn(bulkhead.acquire()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert!(bulkhead.try_acquire().is_err());
    assert_ready_err!(spawn(bulkhead.acquire()).poll());
    assert_eq!(shown(), [1.0, 2.0]);

    advance(SECOND / 4).await;
    drop(permit);
    let permit = assert_ready_ok!(first.poll());
    assert_eq!(shown(), [1.0, 1.0]);
    advance(SECOND).await;
    assert_ready_err!(second.poll());
    assert_eq!(shown(), [1.0, 0.0]);
    assert_eq!(seen.seconds("bowline.bulkhead.wait"), [0.25, 1.25]);

    // Given up, before and after its turn had come.
    for turn in [false, true] {
        let mut waits = spawn(bulkhead.acquire());
        assert_pending!(waits.poll());
        if turn {
            bulkhead.resize(2).unwrap();
        }
        drop(waits);
        assert_eq!(shown(), [1.0, 0.0]);
    }
    // The permit outlives the bulkhead, and another one takes nothing over from it.
    drop((first, second));
    drop(bulkhead);
    let other = Bulkhead::builder("other").build().unwrap();
    drop((permit, other));
    assert_eq!(shown(), [0.0, 0.0]);
}

#[tokio::test(start_paused = true)]
async fn each_call_of_a_bulkhead_is_counted_once() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let policy = Bulkhead::builder("reports").limit(1).queue(1);
    let bulkhead = policy.max_wait(SECOND).build().unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    let mut waits = spawn(bulkhead.acquire());
    assert_pending!(waits.poll());
    assert!(bulkhead.try_acquire().is_err());
    assert_ready_err!(spawn(bulkhead.acquire()).poll());
    advance(2 * SECOND).await;
    assert_ready_err!(waits.poll());
    drop(waits);
    let mut waits = spawn(bulkhead.acquire());
    assert_pending!(waits.poll());
    drop(waits);
    let mut waits = spawn(bulkhead.acquire());
    assert_pending!(waits.poll());
    drop(permit);
    drop(assert_ready_ok!(waits.poll()));
    let all = [
        ("admitted", 2),
        ("full", 2),
        ("given_up", 1),
        ("timed_out", 1),
    ];
    assert_eq!(seen.counts("bowline.bulkhead.calls"), expected(&all));
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_shows_where_it_stands() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let policy = Adaptive::builder("search").initial(20);
    let policy = policy.window(10, Duration::from_nanos(1));
    let limit = policy.build().unwrap();
    let shown = || {
        let gauges = ["bowline.adaptive.limit", "bowline.adaptive.running"];
        gauges.map(|gauge| seen.gauge(gauge))
    };
    assert_eq!(shown(), [20.0, 0.0]);
    let permits: Vec<_> = (0..20).map(|_| limit.try_acquire().unwrap()).collect();
    assert!(limit.try_acquire().is_err());
    assert_eq!(shown(), [20.0, 20.0]);
    advance(SECOND).await;
    for permit in permits {
        permit.record(Outcome::Failure(Failure::Transient));
    }
    assert_eq!(shown(), [18.0, 0.0]);
    drop(limit.try_acquire().unwrap());
    limit.try_acquire().unwrap().record(Outcome::Ignored);
    limit.try_acquire().unwrap().record(Outcome::Success);
    let all = [
        ("cancelled", 1),
        ("dropped", 20),
        ("ignored", 1),
        ("rejected", 1),
        ("success", 1),
    ];
    assert_eq!(seen.counts("bowline.adaptive.calls"), expected(&all));

    // Permits that outlive it move no limit that is shown.
    let late: Vec<_> = (0..10).map(|_| limit.try_acquire().unwrap()).collect();
    drop(limit);
    assert_eq!(shown(), [0.0, 10.0]);
    advance(SECOND).await;
    for permit in late {
        permit.record(Outcome::Failure(Failure::Transient));
    }
    assert_eq!(shown(), [0.0, 0.0]);
}

#[tokio::test(start_paused = true)]
async fn the_gauges_of_patterns_that_share_a_name_add_up() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let limit = |initial| {
        Adaptive::builder("search")
            .initial(initial)
            .build()
            .unwrap()
    };
    let shown = || seen.gauge("bowline.adaptive.limit");
    let (old, new) = (limit(20), limit(30));
    assert_eq!(shown(), 50.0);
    drop(old);
    assert_eq!(shown(), 30.0);
    drop(new);
    assert_eq!(shown(), 0.0);

    let chaos = || Chaos::builder("search").build().unwrap();
    let shown = || seen.gauge("bowline.chaos.enabled");
    let (old, new) = (chaos(), chaos());
    assert_eq!(shown(), 0.0);
    old.enable();
    new.enable();
    old.enable();
    assert_eq!(shown(), 2.0);
    old.disable();
    assert_eq!(shown(), 1.0);
    drop(old);
    assert_eq!(shown(), 1.0);
    drop(new);
    assert_eq!(shown(), 0.0);

    let retry = || Retry::builder().build().unwrap();
    let shown = || seen.gauge("bowline.budget.balance");
    let (empty, full) = (retry(), retry());
    assert_eq!(shown(), 20.0);
    while empty.budget().unwrap().try_withdraw() {}
    assert_eq!(shown(), 10.0);
    drop(empty);
    assert_eq!(shown(), 10.0);
    drop(full);
    assert_eq!(shown(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn each_call_of_a_rate_limiter_is_counted_by_what_became_of_it() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let policy = RateLimiter::builder("mail")
        .rate(Rate::per_second(1))
        .burst(2);
    let limiter = policy.max_wait(2 * SECOND).build().unwrap();
    limiter.try_acquire().unwrap();
    limiter.acquire().await.unwrap();
    limiter.acquire().await.unwrap();
    let (one, two) = (limiter.reserve().unwrap(), limiter.reserve().unwrap());
    assert!(limiter.reserve().is_err());
    drop((one, two));
    assert!(limiter.try_acquire().is_err());
    assert!(limiter.try_acquire_many(3).is_err());
    // The limiters of all users are one in a recorder.
    limiter.fresh().try_acquire().unwrap();
    let all = [
        ("allowed", 3),
        ("cancelled", 2),
        ("delayed", 3),
        ("rejected", 3),
    ];
    assert_eq!(seen.counts("bowline.rate.calls"), expected(&all));
    let _limiter = limiter.fresh();
    limiter.reserve().unwrap().wait().await;
    assert_eq!(seen.seconds("bowline.rate.wait").last(), Some(&1.0));
}

#[tokio::test(start_paused = true)]
async fn a_registry_shows_how_many_keys_it_keeps() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let each = RateLimiter::builder("user")
        .rate(Rate::per_second(1))
        .burst(1);
    let each = each.build().unwrap();
    let limiters = Registry::builder(move |_: &u32| each.fresh()).capacity(2);
    let limiters = limiters.name("users").build().unwrap();
    let size = || seen.gauge("bowline.keyed.size");
    let evicted = || seen.read("bowline.keyed.evicted");
    for key in 0..4 {
        drop(limiters.get(&key).try_acquire());
    }
    assert_eq!((size(), seen.read("bowline.keyed.overflowed")), (2.0, 2));
    advance(SECOND).await;
    for key in 4..7 {
        drop(limiters.get(&key));
    }
    assert_eq!((size(), evicted()), (2.0, 3));
    drop(limiters.remove(&6));
    assert_eq!((size(), evicted()), (1.0, 3));
    assert_eq!((limiters.evict_idle(), size(), evicted()), (1, 0.0, 4));
    drop(limiters.get(&8));
    drop(limiters);
    assert_eq!(size(), 0.0);
}
