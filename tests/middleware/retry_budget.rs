//! Which calls pay into the budget of a retry, and how much.

use std::future::pending;
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::Breaker;
use bowline::budget::RetryBudget;
use bowline::bulkhead::Bulkhead;
use bowline::classify::{Failure, Outcome};
use bowline::error::{BoxError, Rejected};
use bowline::pipeline::Pipeline;
use bowline::retry::{Builder, Decision, Retry};
use tokio::time::sleep;
use tokio_test::assert_pending;
use tower::{Layer, ServiceExt, service_fn};

use super::SECOND;

type Answer = Result<(), BoxError>;

/// A retry for each call, and none that is free; a second between attempts, three of them.
fn policy() -> Builder {
    let budget = RetryBudget::builder("upstream").ratio(1.0).floor(0);
    let budget = budget.ttl(60 * 60 * SECOND).build().unwrap();
    Retry::builder()
        .attempts(3)
        .backoff(Backoff::constant(SECOND).jitter(Jitter::None))
        .deadline(10 * SECOND)
        .budget(budget)
}

/// How many retries there are in its budget.
fn balance(retry: &Retry) -> f64 {
    retry.budget().unwrap().snapshot().balance
}

fn down() -> Answer {
    Err("down".into())
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_refused_calls_saves_nothing_for_a_storm_after_it() {
    let breaker = Breaker::builder("upstream").build().unwrap();
    let bulkhead = Bulkhead::builder("upstream").limit(1).build().unwrap();
    let retry = policy().build().unwrap();
    let pipeline = Pipeline::builder("upstream")
        .retry(retry.clone())
        .breaker(breaker.clone())
        .bulkhead(bulkhead.clone())
        .build()
        .unwrap();
    breaker.force_open();
    for _ in 0..5_000 {
        assert!(pipeline.run(|_| async { Answer::Ok(()) }).await.is_err());
    }
    breaker.reset();
    let taken = bulkhead.try_acquire().unwrap();
    for _ in 0..5_000 {
        assert!(pipeline.run(|_| async { Answer::Ok(()) }).await.is_err());
    }
    assert_eq!(balance(&retry), 0.0);
    drop(taken);
    assert!(pipeline.run(|_| async { Answer::Ok(()) }).await.is_ok());
    assert_eq!(balance(&retry), 1.0);
}

#[tokio::test(start_paused = true)]
async fn no_refusal_pays_and_every_answer_does_whatever_it_is() {
    for (result, pays) in [
        (Ok(()), true),
        (Err(Rejected::elapsed(SECOND).into()), true),
        (Err(Rejected::bulkhead_full("inner").into()), false),
        (Err(Rejected::queue_timeout("inner", SECOND).into()), false),
        (Err(Rejected::rate_limited("inner", SECOND).into()), false),
        (Err(Rejected::limit_exceeded("inner", 1).into()), false),
        (Err(Rejected::no_instances("inner").into()), false),
        (Err(Rejected::circuit_open("inner", None).into()), false),
        (
            Err(Rejected::circuit_open("inner", 60 * SECOND).into()),
            false,
        ),
        (Err(BoxError::from("down")), true),
    ] {
        let retry = policy().attempts(1).build().unwrap();
        let what = format!("{result:?}");
        let is_ok = result.is_ok();
        let mut result = Some(result);
        let answer = retry.run(|_| std::future::ready(result.take().unwrap()));
        assert_eq!(answer.await.is_ok(), is_ok);
        assert_eq!(balance(&retry), f64::from(u8::from(pays)), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_pays_once_and_before_it_asks_for_its_first_retry() {
    let retry = policy().build().unwrap();
    let mut attempts = 0;
    let run = retry.run(|attempt| {
        attempts = attempt;
        async { down() }
    });
    assert!(run.await.is_err());
    // What it paid in itself has bought the second attempt; nothing is left for the third.
    assert_eq!((attempts, balance(&retry)), (2, 0.0));

    // Refused at first and let through later: it pays then.
    let run = retry.run(|attempt| async move {
        match attempt {
            1 => Err(Rejected::circuit_open("inner", SECOND).into()),
            _ => Answer::Ok(()),
        }
    });
    assert!(run.await.is_ok());
    assert_eq!(balance(&retry), 1.0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_ran_out_of_time_pays_and_a_call_that_was_dropped_does_not() {
    let retry = policy().attempts(1).build().unwrap();
    assert!(retry.run(|_| pending::<Answer>()).await.is_err());
    assert_eq!(balance(&retry), 1.0);
    let retry = policy()
        .attempts(1)
        .attempt_timeout(SECOND)
        .build()
        .unwrap();
    assert!(retry.run(|_| pending::<Answer>()).await.is_err());
    assert_eq!(balance(&retry), 1.0);

    let retry = policy().build().unwrap();
    let mut run = tokio_test::task::spawn(retry.run(|_| pending::<Answer>()));
    assert_pending!(run.poll());
    drop(run);
    assert_eq!(balance(&retry), 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_ignored_answer_pays_and_an_ignored_error_does_not() {
    let retry = policy().build().unwrap();
    let ignore = |_: Result<&(), &BoxError>| Outcome::Ignored;
    assert!(retry.run_with(&ignore, |_| async { down() }).await.is_err());
    assert_eq!(balance(&retry), 0.0);
    let answered = retry.run_with(&ignore, |_| async { Answer::Ok(()) });
    assert!(answered.await.is_ok());
    assert_eq!(balance(&retry), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_takes_refusals_for_failures_pays_nothing_for_them() {
    let retry = policy().build().unwrap();
    let all = |_: Result<&(), &BoxError>| Outcome::Failure(Failure::Transient);
    let full = || async { Answer::Err(Rejected::bulkhead_full("inner").into()) };
    assert!(retry.run_with(&all, |_| full()).await.is_err());
    assert_eq!(balance(&retry), 0.0);
    // Nor does a predicate that forces another attempt, for which the budget must pay.
    let force = |(): &(), _: Result<&(), &BoxError>| Decision::Retry;
    let layer = retry.layer().with_predicate(force);
    assert!(
        layer
            .layer(service_fn(move |()| full()))
            .oneshot(())
            .await
            .is_err()
    );
    let refused = retry.snapshot();
    assert_eq!((refused.retries, refused.refused), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_slow_pays_as_one_that_answered_at_once() {
    let retry = policy().build().unwrap();
    let slow = retry.run(|_| async {
        sleep(SECOND).await;
        Answer::Ok(())
    });
    assert!(slow.await.is_ok());
    assert!(retry.run(|_| async { Answer::Ok(()) }).await.is_ok());
    assert_eq!(balance(&retry), 2.0);
    let waits = Duration::from_millis(1);
    let retry = policy().backoff(Backoff::constant(waits)).without_budget();
    assert!(
        retry
            .build()
            .unwrap()
            .run(|_| async { down() })
            .await
            .is_err()
    );
}
