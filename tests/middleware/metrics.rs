//! What a recorder sees.

use std::collections::HashMap;

use bowline::breaker::{Breaker, State};
use bowline::classify::{Failure, Outcome};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

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

fn ones(series: &HashMap<String, f64>) -> Vec<&str> {
    let ones = series.iter().filter(|(_, value)| **value == 1.0);
    ones.map(|(state, _)| &**state).collect()
}

#[tokio::test(start_paused = true)]
async fn exactly_one_state_is_shown_and_each_outcome_is_counted_once() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let breaker = Breaker::builder("billing").consecutive_failures(2);
    let breaker = breaker.build().unwrap();
    assert_eq!(ones(&series(&seen, "bowline.breaker.state")), ["closed"]);

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
    breaker.disable();
    assert_eq!(ones(&series(&seen, "bowline.breaker.state")), ["disabled"]);
    drop(breaker);
    assert!(ones(&series(&seen, "bowline.breaker.state")).is_empty());
}
