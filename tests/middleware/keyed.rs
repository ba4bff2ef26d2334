use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bowline::adaptive::Adaptive;
use bowline::breaker::{Breaker, Window};
use bowline::bulkhead::Bulkhead;
use bowline::classify::{Failure, Outcome};
use bowline::keyed::{Config, Evict, Overflow, Registry};
use bowline::rate::{Rate, RateLimiter};
use tokio::time::{Instant, advance};

use super::SECOND;

/// How many values are alive, and how many were made.
#[derive(Debug, Default)]
struct Count {
    alive: AtomicUsize,
    made: AtomicUsize,
}

/// A handle to a value that is idle unless it is told to be busy, and nobody else holds it.
#[derive(Debug, Clone)]
struct Value(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    count: Arc<Count>,
    number: usize,
    busy: AtomicBool,
}

impl Value {
    fn new(count: &Arc<Count>) -> Self {
        count.alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Inner {
            number: count.made.fetch_add(1, Ordering::Relaxed),
            count: Arc::clone(count),
            busy: AtomicBool::new(false),
        }))
    }

    fn set_busy(&self, busy: bool) {
        self.0.busy.store(busy, Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.count.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Evict for Value {
    const OVERFLOW: Overflow = Overflow::Fresh;

    fn is_idle(&self, _: Instant) -> bool {
        Arc::strong_count(&self.0) == 1 && !self.0.busy.load(Ordering::Relaxed)
    }
}

fn registry(capacity: u32) -> (Registry<u64, Value>, Arc<Count>) {
    let count = Arc::new(Count::default());
    let counted = Arc::clone(&count);
    let registry = Registry::builder(move |_| Value::new(&counted)).capacity(capacity);
    (registry.build().expect("fine bounds"), count)
}

fn alive(count: &Count) -> usize {
    count.alive.load(Ordering::Relaxed)
}

#[test]
fn a_million_keys_need_no_more_memory_than_the_capacity() {
    let (registry, count) = registry(1_000);
    for key in 0..1_000_000 {
        let _value = registry.get(&key);
        assert!(registry.len() <= 1_000);
        // The one that is held is kept, or is the last that was evicted.
        assert!(alive(&count) <= 1_001);
    }
    assert_eq!((registry.len(), registry.overflowed()), (1_000, 0));
    assert_eq!(count.made.load(Ordering::Relaxed), 1_000_000);
    let mut keys: Vec<_> = registry.entries().iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 1_000);
    drop(registry);
    assert_eq!(alive(&count), 0);
}

#[test]
fn a_key_is_made_once_however_many_threads_ask() {
    const THREADS: usize = 8;
    let (registry, count) = registry(10_000);
    let barrier = Barrier::new(THREADS);
    let ask = || {
        (0..2_000u64)
            .map(|key| {
                if key.is_multiple_of(50) {
                    barrier.wait();
                }
                registry.get(&key).0.number
            })
            .collect::<Vec<_>>()
    };
    let seen: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(count.made.load(Ordering::Relaxed), 2_000);
    assert!(seen.iter().all(|numbers| *numbers == seen[0]));
}

#[test]
fn threads_never_go_beyond_the_capacity() {
    let (registry, count) = registry(100);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (registry, count) = (&registry, &count);
            scope.spawn(move || {
                for step in 0..5_000u64 {
                    let key = step.wrapping_mul(thread * 2 + 1) % 400;
                    let value = registry.get(&key);
                    value.set_busy(step % 3 == 0);
                    if step % 7 == 0 {
                        drop(registry.remove(&key));
                    }
                    assert!(registry.len() <= 100);
                    // Each thread holds one, and may have one that it evicts.
                    assert!(alive(count) <= 100 + 16);
                }
            });
        }
    });
    let entries = registry.entries();
    assert_eq!(entries.len(), registry.len());
    entries.iter().for_each(|(_, value)| value.set_busy(false));
    drop(entries);
    let len = registry.len();
    assert_eq!(
        (registry.evict_idle(), registry.len(), alive(&count)),
        (len, 0, 0)
    );
}

#[test]
fn when_all_are_busy_a_new_key_works_but_is_not_kept() {
    let (registry, count) = registry(50);
    for key in 0..50 {
        registry.get(&key).set_busy(true);
    }
    let numbers: Vec<_> = (0..3).map(|_| registry.get(&99).0.number).collect();
    assert_eq!(numbers, [50, 51, 52]);
    assert_eq!(registry.try_get(&99).unwrap_err().capacity, 50);
    assert!(registry.try_get(&7).is_ok());
    assert!(registry.find(&99).is_none());
    assert_eq!(
        (registry.len(), alive(&count), registry.overflowed()),
        (50, 50, 3)
    );
    // None of those that are kept was lost.
    assert!((0..50).all(|key| registry.find(&key).is_some_and(|v| v.0.number < 50)));

    // As soon as one is idle its place is free. It is found, if not at the first look.
    registry.find(&7).expect("kept").set_busy(false);
    assert!((0..2).any(|_| registry.try_get(&99).is_ok()));
    assert!(registry.find(&7).is_none());
    assert_eq!(registry.len(), 50);
}

/// As [`Value`], but keys that find no room share one.
#[derive(Debug, Clone)]
struct Bound(Value);

impl Evict for Bound {
    fn is_idle(&self, now: Instant) -> bool {
        self.0.is_idle(now)
    }
}

#[test]
fn when_all_are_busy_what_bounds_something_is_shared_by_all_new_keys() {
    let count = Arc::new(Count::default());
    let registry = |overflow: Option<Bound>| {
        let counted = Arc::clone(&count);
        let builder = Registry::builder(move |_: &u64| Bound(Value::new(&counted)));
        let builder = builder.capacity(50);
        let builder = match overflow {
            Some(value) => builder.overflow(value),
            None => builder,
        };
        let registry = builder.build().unwrap();
        (0..50).for_each(|key| registry.get(&key).0.set_busy(true));
        registry
    };
    let number = |value: &Bound| value.0.0.number;
    let unset = registry(None);
    assert!(unset.overflow().is_none());
    let numbers: Vec<_> = (60..70).map(|key| number(&unset.get(&key))).collect();
    assert_eq!(numbers, [50; 10]);
    assert_eq!(
        (unset.len(), alive(&count), unset.overflowed()),
        (50, 51, 10)
    );
    assert_eq!(unset.overflow().map(|value| number(&value)), Some(50));
    // None of them is taken for kept, and each is as soon as there is room.
    assert!((60..70).all(|key| unset.find(&key).is_none()));
    assert!(unset.try_get(&60).is_err());
    unset.find(&7).unwrap().0.set_busy(false);
    assert!((0..2).any(|_| number(&unset.get(&60)) == 51));
    drop(unset);

    let set = registry(Some(Bound(Value::new(&count))));
    let given = number(&set.overflow().unwrap());
    assert!((60..70).all(|key| number(&set.get(&key)) == given));
}

#[test]
fn a_capacity_that_is_lowered_takes_what_is_idle_and_then_what_becomes_so() {
    let (registry, count) = registry(1_000);
    for key in 0..1_000 {
        registry.get(&key).set_busy(key < 40);
    }
    let bounds = |capacity| {
        let mut config = registry.config();
        config.capacity = capacity;
        config
    };
    assert!(registry.reconfigure(bounds(0)).is_err());
    assert_eq!(registry.config().capacity, 1_000);
    registry.reconfigure(bounds(500)).unwrap();
    assert_eq!((registry.len(), alive(&count)), (500, 500));
    registry.reconfigure(bounds(10)).unwrap();
    assert_eq!((registry.len(), registry.config().capacity), (40, 10));
    assert!(registry.try_get(&5_000).is_err());
    // What is idle now makes room until the new capacity holds; only then for new keys.
    (0..40).for_each(|key| registry.find(&key).unwrap().set_busy(false));
    while registry.len() > 10 {
        let before = registry.len();
        drop(registry.try_get(&6_000));
        assert!(registry.len() < before, "{before}");
    }
    assert!((0..100).all(|key| registry.try_get(&key).is_ok() && registry.len() <= 10));
    registry.reconfigure(bounds(20)).unwrap();
    (0..20).for_each(|key| registry.get(&key).set_busy(true));
    assert_eq!((registry.len(), alive(&count)), (20, 20));
}

#[test]
fn a_handle_stays_valid_and_keeps_its_key() {
    let (registry, count) = registry(2);
    let held = registry.get(&1);
    for key in 2..100 {
        drop(registry.get(&key));
    }
    assert_eq!(registry.get(&1).0.number, held.0.number);
    let removed = registry.remove(&1).expect("kept");
    assert_eq!(removed.0.number, held.0.number);
    assert_ne!(registry.get(&1).0.number, held.0.number);
    assert_eq!(registry.remove(&1_000).map(|v| v.0.number), None);
    drop(registry);
    assert_eq!(alive(&count), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_leaves_also_while_there_is_room() {
    let count = Arc::new(Count::default());
    let counted = Arc::clone(&count);
    let registry = Registry::builder(move |_: &u64| Value::new(&counted)).idle(60 * SECOND);
    let registry = registry.build().unwrap();
    for key in 0..1_000 {
        registry.get(&key).set_busy(key % 10 == 0);
    }
    let ask = |keys: std::ops::Range<u64>| keys.for_each(|key| drop(registry.get(&key)));
    let begin = registry.len();
    advance(59 * SECOND).await;
    // New keys in all shards; the first five hundred are asked for again.
    ask(10_000..11_000);
    assert_eq!(registry.len(), begin + 1_000);
    for round in 1..4 {
        advance(60 * SECOND).await;
        ask(0..500);
        ask(round * 100_000..round * 100_000 + 1_000);
    }
    let kept = |keys: std::ops::Range<u64>| keys.filter(|k| registry.find(k).is_some()).count();
    assert_eq!(kept(0..500), 500);
    let first = |key: u64| {
        registry
            .find(&key)
            .is_some_and(|value| value.0.number < 1_000)
    };
    assert!((0..500).all(first));
    // Only the busy ones.
    assert_eq!(kept(500..1_000), 50);
    assert_eq!(kept(10_000..11_000), 0);
    assert_eq!(alive(&count), registry.len());
}

#[test]
fn a_key_may_be_looked_up_by_what_it_borrows_as() {
    let registry = Registry::builder(|host: &String| Named(host.as_str().into()));
    let registry: Registry<String, Named> = registry.build().unwrap();
    assert_eq!(&*registry.get("a.example").0, "a.example");
    assert_eq!(&*registry.get(&"a.example".to_owned()).0, "a.example");
    assert!(registry.find("b.example").is_none());
    assert_eq!(registry.len(), 1);
}

#[derive(Debug, Clone)]
struct Named(Arc<str>);

impl Evict for Named {
    fn is_idle(&self, _: Instant) -> bool {
        true
    }
}

#[test]
fn a_panic_while_a_value_is_made_takes_no_place() {
    let registry = Registry::builder(|key: &u64| {
        assert!(*key != 13, "no");
        Named("x".into())
    });
    let registry = registry.capacity(1).build().unwrap();
    for _ in 0..3 {
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| registry.get(&13)));
        assert!(asked.is_err());
    }
    assert!(registry.is_empty());
    assert!(registry.try_get(&1).is_ok());
    assert_eq!(registry.len(), 1);
}

#[test]
fn a_registry_lists_every_problem() {
    let builder = Registry::builder(|_: &u64| Named("x".into()));
    let error = builder
        .capacity(0)
        .idle(Duration::ZERO)
        .build()
        .unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["capacity", "idle"]);
    assert!(Config::default().check().is_ok());
}

fn breakers(window: Window) -> Registry<u64, Breaker> {
    let policy = Breaker::builder("host").window(window).minimum_calls(2);
    let registry = Registry::builder(move |_| policy.clone().build().expect("a fine policy"));
    registry.capacity(3).build().unwrap()
}

fn record(breaker: &Breaker, outcome: Outcome) {
    breaker.try_acquire().expect("it passes").record(outcome);
}

#[tokio::test(start_paused = true)]
async fn a_tripped_breaker_is_never_evicted() {
    const FAILED: Outcome = Outcome::Failure(Failure::Transient);
    let breakers = breakers(Window::Time(10 * SECOND));
    let tripped = 1;
    record(&breakers.get(&tripped), FAILED);
    record(&breakers.get(&tripped), FAILED);
    breakers.get(&2).disable();
    for key in 100..2_000 {
        record(&breakers.get(&key), Outcome::Success);
        if key % 100 == 0 {
            // Open, then half-open, with an empty window either way.
            advance(SECOND).await;
        }
        assert!(
            breakers
                .find(&tripped)
                .is_some_and(|b| b.snapshot().opened == 1)
        );
    }
    assert_eq!((breakers.evict_idle(), breakers.len()), (1, 2));
    // Closed by its probes it may go.
    for _ in 0..3 {
        record(&breakers.get(&tripped), Outcome::Success);
    }
    assert_eq!((breakers.evict_idle(), breakers.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_is_idle_when_its_failures_have_aged_out() {
    let timed = breakers(Window::Time(10 * SECOND));
    let counted = breakers(Window::Calls(10));
    for breakers in [&timed, &counted] {
        record(&breakers.get(&1), Outcome::Failure(Failure::Transient));
        record(&breakers.get(&2), Outcome::Success);
        drop(breakers.get(&3).subscribe());
        assert_eq!((breakers.evict_idle(), breakers.len()), (2, 1));
    }
    // Somebody holds or listens to these.
    let listened = (timed.get(&4).subscribe(), timed.get(&5));
    assert_eq!(timed.evict_idle(), 0);
    drop(listened);
    assert_eq!(timed.evict_idle(), 2);
    advance(11 * SECOND).await;
    assert_eq!((timed.evict_idle(), counted.evict_idle()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_limiter_is_idle_when_its_burst_is_full() {
    let each = RateLimiter::builder("user")
        .rate(Rate::per_second(10))
        .burst(2);
    let each = each.build().unwrap();
    let limiters = Registry::builder(move |_: &u64| each.fresh()).capacity(2);
    let limiters = limiters.build().unwrap();
    limiters.get(&1).try_acquire_many(2).unwrap();
    // Evicting it would give its user another burst.
    for key in 2..500 {
        drop(limiters.get(&key));
        assert!(limiters.get(&1).try_acquire().is_err());
    }
    advance(SECOND / 5 - Duration::from_nanos(1)).await;
    assert_eq!(limiters.evict_idle(), 1);
    advance(Duration::from_nanos(1)).await;
    let held = limiters.get(&1);
    assert_eq!(limiters.evict_idle(), 0);
    drop(held);
    assert_eq!(limiters.evict_idle(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bulkhead_is_idle_when_nobody_is_in_it() {
    let each = |_: &u64| Bulkhead::builder("user").limit(1).queue(1).build();
    let bulkheads = Registry::builder(move |key| each(key).unwrap()).capacity(2);
    let bulkheads = bulkheads.build().unwrap();
    let permit = bulkheads.get(&1).try_acquire().unwrap();
    // Evicting it would give its user another place.
    for key in 2..500 {
        drop(bulkheads.get(&key));
        assert!(bulkheads.get(&1).try_acquire().is_err());
    }
    let one = bulkheads.get(&1);
    let waits = one.acquire();
    drop(permit);
    assert_eq!(bulkheads.evict_idle(), 1);
    assert!(bulkheads.find(&1).is_some());
    drop(waits.await);
    drop(one);
    assert_eq!(bulkheads.evict_idle(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_is_idle_when_what_it_has_learned_is_old() {
    let each = |_: &u64| Adaptive::builder("user").build();
    let limits = Registry::builder(move |key| each(key).unwrap());
    let limits = limits.build().unwrap();
    let taught = limits.get(&1).try_acquire().unwrap();
    drop(limits.get(&2));
    assert_eq!((limits.evict_idle(), limits.len()), (1, 1));
    taught.record(Outcome::Failure(Failure::Transient));
    advance(bowline::adaptive::Config::FORGET - Duration::from_nanos(1)).await;
    assert_eq!(limits.evict_idle(), 0);
    advance(Duration::from_nanos(1)).await;
    let running = limits.get(&1).try_acquire().unwrap();
    assert_eq!(limits.evict_idle(), 0);
    running.record(Outcome::Ignored);
    assert_eq!(limits.evict_idle(), 1);
}
