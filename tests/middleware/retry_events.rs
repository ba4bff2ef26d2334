//! What retries and hedges tell as they go.

use std::fmt::{Debug, Write as _};
use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::budget::RetryBudget;
use bowline::classify::{Failure, Outcome};
use bowline::error::BoxError;
use bowline::hedge::{Delay, Hedge};
use bowline::retry::{Builder, Retry};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::SECOND;
use super::hedge::{Answer, after};

/// All events of ours, each as a line.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl<S: Subscriber> Layer<S> for Seen {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let of = event.metadata();
        if of.name().starts_with("bowline.") {
            assert_eq!(
                *of.level(),
                Level::DEBUG,
                "one for a call: no more than that"
            );
            let mut line = Line(of.name().to_owned());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }
}

impl Seen {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let seen = Self::default();
        let subscriber = tracing_subscriber::registry().with(seen.clone());
        (seen, tracing::subscriber::set_default(subscriber))
    }

    /// Those since it was last asked.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A second between attempts, two of them, ten seconds in all.
fn policy() -> Builder {
    Retry::builder()
        .name("billing")
        .attempts(2)
        .backoff(Backoff::constant(SECOND).jitter(Jitter::None))
        .deadline(10 * SECOND)
}

fn down<T>(_: T) -> std::future::Ready<Result<(), BoxError>> {
    ready(Err("down".into()))
}

fn exhausted(attempt: u32, reason: &str) -> String {
    format!("bowline.retry.exhausted retry=\"billing\" attempt={attempt} reason=\"{reason}\"")
}

#[tokio::test(start_paused = true)]
async fn each_retry_is_told_of_once_and_so_is_its_end() {
    let (seen, _guard) = Seen::begin();
    let retry = policy().build().unwrap();
    assert!(retry.run(|_| ready(Ok::<_, BoxError>(()))).await.is_ok());
    assert!(seen.take().is_empty());
    assert!(retry.run(down).await.is_err());
    let tried = "bowline.retry.attempt retry=\"billing\" attempt=2 wait=1s";
    assert_eq!(seen.take(), [tried.to_owned(), exhausted(2, "attempts")]);
    let mended = retry.run(|attempt| {
        ready(if attempt == 1 {
            Err(BoxError::from("down"))
        } else {
            Ok(())
        })
    });
    assert!(mended.await.is_ok());
    assert_eq!(seen.take(), [tried]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_without_a_retry_says_why() {
    let (seen, _guard) = Seen::begin();
    let retry = policy().build().unwrap();
    assert!(
        retry
            .run(|_| pending::<Result<(), BoxError>>())
            .await
            .is_err()
    );
    assert_eq!(seen.take(), [exhausted(1, "deadline")]);

    let slowly = Backoff::constant(10 * SECOND).jitter(Jitter::None);
    let retry = policy().backoff(slowly).build().unwrap();
    assert!(retry.run(down).await.is_err());
    assert_eq!(seen.take(), [exhausted(1, "deadline")]);

    let retry = policy().backoff_fn(|| [Duration::ZERO; 0]).build().unwrap();
    assert!(retry.run(down).await.is_err());
    assert_eq!(seen.take(), [exhausted(1, "attempts")]);

    let throttled = |_: Result<&(), &BoxError>| {
        let retry_after = Some(60 * SECOND);
        Outcome::Failure(Failure::Throttled { retry_after })
    };
    let retry = policy().build().unwrap();
    assert!(retry.run_with(&throttled, down).await.is_err());
    assert_eq!(seen.take(), [exhausted(1, "retry-after")]);

    let nothing = RetryBudget::builder("none").ratio(0.5).floor(0);
    let retry = policy().budget(nothing.build().unwrap()).build().unwrap();
    assert!(retry.run(down).await.is_err());
    assert_eq!(seen.take(), [exhausted(1, "budget")]);

    // What is returned as it is could not have been tried again.
    let permanent = |_: Result<&(), &BoxError>| Outcome::Failure(Failure::Permanent);
    assert!(retry.run_with(&permanent, down).await.is_err());
    assert!(seen.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hedge_tells_of_the_attempts_it_begins_and_of_those_it_may_not() {
    let (seen, _guard) = Seen::begin();
    let budget = RetryBudget::builder("one")
        .ratio(0.0)
        .floor(1)
        .throttled_cost(1);
    let hedge = Hedge::builder("search")
        .delay(Delay::fixed(SECOND / 2))
        .attempts(3);
    let hedge = hedge.budget(budget.build().unwrap()).build().unwrap();
    let slow = hedge.run(|_| after(60, Answer::Ok(1)));
    assert!(slow.await.is_ok());
    let begun = "bowline.hedge.attempt hedge=\"search\" attempt=2 reason=\"delay\"";
    assert_eq!(
        seen.take(),
        [begun, "bowline.hedge.refused hedge=\"search\""]
    );
}

#[cfg(feature = "metrics")]
mod metrics {
    use std::collections::HashMap;

    use bowline::error::Rejected;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    /// All that was counted since the last time, and the gauges that were set.
    fn take(seen: &Snapshotter) -> HashMap<String, f64> {
        let all = seen.snapshot().into_vec().into_iter();
        let line = all.map(|(key, _, _, value)| {
            let labels = key.key().labels().map(|label| label.value());
            let labels = labels.collect::<Vec<_>>().join(" ");
            let value = match value {
                DebugValue::Counter(count) => f64::from(u32::try_from(count).unwrap()),
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(_) => panic!("no histogram was expected"),
            };
            (format!("{} {labels}", key.key().name()), value)
        });
        line.collect()
    }

    fn shows(seen: &Snapshotter, expected: &[(&str, f64)]) {
        let all = take(seen);
        for (series, value) in expected {
            let series = format!("bowline.{series}");
            assert_eq!(all.get(&series), Some(value), "{series} in {all:?}");
        }
    }

    async fn answer(answer: u32) -> Result<(), BoxError> {
        match answer {
            0 => Ok(()),
            1 => Err("down".into()),
            2 => Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied).into()),
            3 => Err(Rejected::bulkhead_full("inner").into()),
            _ => pending().await,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_call_of_a_retry_is_counted_once_by_its_end_and_each_retry_too() {
        let recorder = DebuggingRecorder::new();
        let seen = recorder.snapshotter();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        let retry = policy().build().unwrap();
        let service = retry.layer().layer(service_fn(answer));
        for answer in [0, 0, 0, 1, 2, 2, 3, 4] {
            drop(service.clone().oneshot(answer).await);
        }
        let mut dropped = tokio_test::task::spawn(service.clone().oneshot(4));
        assert!(dropped.poll().is_pending());
        drop(dropped);
        while retry.budget().unwrap().try_withdraw() {}
        drop(service.oneshot(1).await);
        shows(
            &seen,
            &[
                ("retry.calls billing success", 3.0),
                ("retry.calls billing failure", 2.0),
                ("retry.calls billing ignored", 1.0),
                ("retry.calls billing exhausted", 3.0),
                ("retry.retries billing", 1.0),
                ("retry.exhausted billing attempts", 1.0),
                ("retry.exhausted billing deadline", 1.0),
                ("retry.exhausted billing budget", 1.0),
                ("retry.exhausted billing retry-after", 0.0),
                // Twice, of the last one: by hand, and by the call.
                ("budget.refused billing", 2.0),
            ],
        );
        assert_eq!(retry.snapshot().given_up, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_shows_its_balance_and_what_it_grants_and_refuses() {
        let recorder = DebuggingRecorder::new();
        let seen = recorder.snapshotter();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        let budget = RetryBudget::builder("billing").ratio(0.5).floor(2);
        let budget = budget.build().unwrap();
        shows(&seen, &[("budget.balance billing", 2.0)]);
        budget.deposit();
        // A look begins the gauge anew: what is seen is the change.
        shows(&seen, &[("budget.balance billing", 0.5)]);
        assert!(budget.try_withdraw());
        assert!(budget.try_withdraw());
        assert!(!budget.try_withdraw());
        shows(
            &seen,
            &[
                ("budget.balance billing", -2.0),
                ("budget.withdrawn billing", 2.0),
                ("budget.refused billing", 1.0),
            ],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_hedge_counts_what_it_begins_wins_and_may_not_begin() {
        let recorder = DebuggingRecorder::new();
        let seen = recorder.snapshotter();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        let hedge = Hedge::builder("search").delay(Delay::fixed(SECOND));
        let hedge = hedge.build().unwrap();
        let won =
            hedge.run(|attempt| after(if attempt == 1 { 60 } else { 0 }, Answer::Ok(attempt)));
        assert_eq!(won.await.unwrap(), 2);
        while hedge.budget().unwrap().try_withdraw() {}
        let failed = hedge.run(|_| ready(Answer::Err("down".into())));
        assert!(failed.await.is_err());
        shows(
            &seen,
            &[
                ("hedge.started search", 1.0),
                ("hedge.won search", 1.0),
                ("hedge.refused search", 1.0),
                ("budget.refused search", 2.0),
            ],
        );
    }
}
