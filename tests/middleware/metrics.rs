//! What a recorder sees.

use std::collections::HashMap;

use bowline::breaker::{Breaker, State};
use bowline::classify::{Failure, Outcome};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::metrics_limits::Seen;

/// All series of `metric`, by their labels but the first, which is the name of the pattern.
pub(super) fn series(snapshotter: &Snapshotter, metric: &str) -> HashMap<String, f64> {
    let all = snapshotter.snapshot().into_vec();
    let of_metric = all
        .into_iter()
        .filter(|(key, ..)| key.key().name() == metric);
    of_metric
        .map(|(key, _, _, value)| {
            let labels = key.key().labels().skip(1).map(|label| label.value());
            let value = match value {
                DebugValue::Counter(count) => f64::from(u32::try_from(count).unwrap()),
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(_) => panic!("no histogram was expected"),
            };
            (labels.collect::<Vec<_>>().join(","), value)
        })
        .collect()
}

/// How many breakers are in each state that one is in.
fn states(seen: &Seen) -> Vec<(&'static str, f64)> {
    let all = [
        "closed",
        "open",
        "half-open",
        "ramping-up",
        "forced-open",
        "disabled",
        "metrics-only",
    ];
    let shown = all.map(|state| (state, seen.gauge(&format!("bowline.breaker.state {state}"))));
    shown.into_iter().filter(|(_, n)| *n != 0.0).collect()
}

#[test]
fn breakers_of_one_name_are_counted_by_the_state_they_are_in() {
    let seen = Seen::default();
    let _guard = metrics::set_default_local_recorder(&seen);
    let build = || Breaker::builder("billing").build().unwrap();
    let old = build();
    assert_eq!(states(&seen), [("closed", 1.0)]);
    let new = build();
    old.force_open();
    assert_eq!(states(&seen), [("closed", 1.0), ("forced-open", 1.0)]);
    new.disable();
    new.reset();
    new.reset();
    assert_eq!(states(&seen), [("closed", 1.0), ("forced-open", 1.0)]);
    drop(old);
    assert_eq!(states(&seen), [("closed", 1.0)]);
    drop(new);
    assert_eq!(states(&seen), []);
}

#[tokio::test(start_paused = true)]
async fn each_outcome_of_a_breaker_is_counted_once() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let breaker = Breaker::builder("billing").consecutive_failures(2);
    let breaker = breaker.build().unwrap();

    let acquire = || breaker.try_acquire().unwrap();
    acquire().record(Outcome::Success);
    acquire().record(Outcome::Ignored);
    drop(acquire());
    let late = acquire();
    acquire().record(Outcome::Failure(Failure::Transient));
    acquire().record(Outcome::Failure(Failure::Permanent));
    assert_eq!(breaker.state(), State::Open);
    late.record(Outcome::Success);
    assert!(breaker.try_acquire().is_err());
    breaker.force_open();
    assert!(breaker.try_acquire().is_err());

    let calls = series(&seen, "bowline.breaker.calls");
    for (outcome, count) in [
        ("success", 1.0),
        ("ignored", 1.0),
        ("cancelled", 1.0),
        ("failure", 2.0),
        ("stale", 1.0),
        ("rejected", 2.0),
    ] {
        assert_eq!(
            calls.get(outcome).copied().unwrap_or(0.0),
            count,
            "{outcome}"
        );
    }
    breaker.reset();
    for _ in 0..1_000 {
        acquire().record(Outcome::Success);
    }
    // Also of those that a full window need not record.
    assert_eq!(series(&seen, "bowline.breaker.calls")["success"], 1_000.0);
}
