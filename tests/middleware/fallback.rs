use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

use bowline::breaker::Breaker;
use bowline::classify::{ErrorKind, Failure, Outcome};
use bowline::error::{BoxError, Rejected};
use bowline::fallback::Fallback;
use bowline::timeout::Timeout;
use tokio::sync::Semaphore;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service as _, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

use super::{SECOND, Service, Upstream, answer, refusal};

type Answer = Result<&'static str, BoxError>;

fn down() -> Answer {
    Err("down".into())
}

#[tokio::test(start_paused = true)]
async fn a_success_has_no_fallback_and_a_failure_has() {
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let fallback = Fallback::value("upstream", "instead");
    let mut service = mock::Spawn::new(fallback.layer().layer(mock));
    for (answer, expected, used) in [(Ok("world"), "world", 0), (Err("down"), "instead", 1)] {
        assert_ready_ok!(service.poll_ready());
        let mut call = tokio_test::task::spawn(service.call("hello"));
        assert_pending!(call.poll());
        answer!(upstream, "hello", answer);
        assert_eq!(assert_ready_ok!(call.poll()), expected);
        assert_eq!(fallback.snapshot().used, used);
    }
    assert_eq!(fallback.snapshot().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_an_inner_pattern_has_a_fallback() {
    let breaker = Breaker::builder("upstream").build().unwrap();
    breaker.force_open();
    let fallback = Fallback::value("upstream", "instead");
    let service = ServiceBuilder::new()
        .layer(fallback.layer())
        .layer(breaker.layer())
        .service(service_fn(|()| ready(Answer::Ok("never asked"))));
    assert_eq!(service.oneshot(()).await.unwrap(), "instead");

    let slow = ServiceBuilder::new()
        .layer(fallback.layer())
        .layer(Timeout::new(SECOND).unwrap().layer())
        .service(service_fn(|()| pending::<Answer>()));
    assert_eq!(slow.oneshot(()).await.unwrap(), "instead");
    assert_eq!(fallback.snapshot().used, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_ignored_is_passed_on() {
    let mistake = |result: Result<&&'static str, &BoxError>| match result {
        Ok(_) => Outcome::Success,
        Err(_) => ErrorKind::Validation.outcome(),
    };
    let fallback = Fallback::value("upstream", "instead");
    let layer = fallback.layer().with_classifier(mistake);
    let service = layer.layer(service_fn(|()| ready(down())));
    assert_eq!(service.oneshot(()).await.unwrap_err().to_string(), "down");
    assert_eq!(fallback.snapshot().used, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_a_failure_and_the_function_sees_it() {
    let empty = |result: Result<&&'static str, &BoxError>| match result {
        Ok(answer) if !answer.is_empty() => Outcome::Success,
        _ => Outcome::Failure(Failure::Transient),
    };
    let fallback = Fallback::from_fn("upstream", |failed: Answer| match failed {
        Ok(_) => Ok("was empty"),
        Err(error) => Err(format!("no fallback for: {error}").into()),
    });
    let layer = fallback.layer().with_classifier(empty);
    let service = layer.layer(service_fn(ready::<Answer>));
    let answer = service.clone().oneshot(Ok("")).await;
    assert_eq!(answer.unwrap(), "was empty");
    // Its own error is returned as it is.
    let error = service.oneshot(down()).await.unwrap_err();
    assert_eq!(error.to_string(), "no fallback for: down");
    let snapshot = fallback.snapshot();
    assert_eq!((snapshot.used, snapshot.failed), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_function_may_know_something_of_the_request() {
    let fallback = Fallback::keeping(
        "upstream",
        |request: &String| request.len(),
        |length, failed: Result<usize, BoxError>| if length > 3 { Ok(length) } else { failed },
    );
    // Requests need not be cloned: they are moved into the call.
    let down = service_fn(|_: String| ready(Err::<usize, BoxError>("down".into())));
    let service = fallback.layer().layer(down);
    assert_eq!(service.clone().oneshot("long".into()).await.unwrap(), 4);
    let error = service.oneshot("no".into()).await.unwrap_err();
    assert_eq!(error.to_string(), "down");
}

#[tokio::test(start_paused = true)]
async fn another_service_is_made_ready_only_when_it_is_needed() {
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let (other, mut standby): (Service, Upstream) = mock::pair();
    standby.allow(0);
    let fallback = Fallback::service("upstream", other);
    let mut service = mock::Spawn::new(fallback.layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    answer!(upstream, "hello", Err("down"));
    assert_pending!(call.poll());
    standby.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    answer!(standby, "hello", Err("down as well"));
    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(error.to_string(), "down as well");
    let snapshot = fallback.snapshot();
    assert_eq!((snapshot.used, snapshot.failed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_failed_call_is_gone_while_another_service_answers() {
    let places = Arc::new(Semaphore::new(1));
    let failing = service_fn(|()| ready(down()));
    let limited = ConcurrencyLimit::with_semaphore(failing, Arc::clone(&places));
    let standby = service_fn(|()| pending::<Answer>());
    let fallback = Fallback::service("upstream", standby);
    let mut service = fallback.layer().layer(limited);
    let call = service.ready().await.unwrap().call(());
    assert_eq!(places.available_permits(), 0);
    let mut call = tokio_test::task::spawn(call);
    assert_pending!(call.poll());
    assert_eq!(places.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_copied_has_no_fallback() {
    let standby = service_fn(|_: u32| ready(Answer::Ok("instead")));
    let fallback = Fallback::service("upstream", standby).with_requests(|n: &u32| {
        let is_even = n.is_multiple_of(2);
        is_even.then_some(*n)
    });
    let service = fallback.layer().layer(service_fn(|_: u32| ready(down())));
    assert_eq!(service.clone().oneshot(2).await.unwrap(), "instead");
    assert_eq!(service.oneshot(1).await.unwrap_err().to_string(), "down");
    assert_eq!(fallback.snapshot().used, 1);
}

#[tokio::test(start_paused = true)]
async fn the_value_is_cloned_only_when_it_is_needed() {
    struct Counted(Arc<AtomicU32>);

    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, Ordering::SeqCst);
            Self(Arc::clone(&self.0))
        }
    }

    let clones = Arc::new(AtomicU32::new(0));
    let fallback = Fallback::value("upstream", Counted(Arc::clone(&clones)));
    let fine =
        service_fn(|value: Option<Counted>| ready(value.ok_or_else(|| BoxError::from("down"))));
    let service = fallback.layer().layer(fine);
    let own = Counted(Arc::default());
    assert!(service.clone().oneshot(Some(own)).await.is_ok());
    assert_eq!(clones.load(Ordering::SeqCst), 0);
    assert!(service.oneshot(None).await.is_ok());
    assert_eq!(clones.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn without_tower_it_is_the_same() {
    let fallback = Fallback::value("upstream", "instead");
    assert_eq!(fallback.call(|| ready(down())).await.unwrap(), "instead");
    let fine = fallback.call(|| ready(Answer::Ok("world")));
    assert_eq!(fine.await.unwrap(), "world");

    let passing = Fallback::from_fn("upstream", |failed: Answer| failed);
    let refused = passing.call(|| ready(Err(Rejected::elapsed(SECOND).into())));
    let error = refused.await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(SECOND));
    assert_eq!(
        (fallback.snapshot().used, passing.snapshot().failed),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_on_and_an_error_of_readiness_is_passed_on() {
    let fallback = Fallback::value("upstream", "instead");
    let buggy = service_fn(|()| async { buggy() });
    let mut call = Box::pin(fallback.layer().layer(buggy).oneshot(()));
    let mut cx = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx)));
    assert!(polled.is_err());

    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    upstream.send_error("broken");
    let mut service = mock::Spawn::new(fallback.layer().layer(mock));
    assert!(assert_ready!(service.poll_ready()).is_err());
    assert_eq!(fallback.snapshot().used, 0);
}

fn buggy() -> Answer {
    panic!("a bug");
}

#[tokio::test(start_paused = true)]
async fn all_layers_of_a_fallback_count_together() {
    let fallback = Fallback::value("upstream", "instead");
    let failing = service_fn(|()| ready(down()));
    for layer in [fallback.layer(), fallback.clone().layer()] {
        assert_eq!(layer.layer(failing).oneshot(()).await.unwrap(), "instead");
    }
    assert_eq!(fallback.snapshot().used, 2);
}

#[tokio::test(start_paused = true)]
async fn a_function_may_be_judged_by_another_classifier() {
    let fallback = Fallback::value("upstream", "instead");
    let empty_too = |result: Result<&&'static str, &BoxError>| match result {
        Ok(&"") => Outcome::Failure(Failure::Permanent),
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Ignored,
    };
    for (answer, expected) in [
        (Ok(""), Some("instead")),
        (Ok("fine"), Some("fine")),
        (down(), None),
    ] {
        let answered = fallback.call_with(&empty_too, || ready(answer)).await;
        assert_eq!(answered.ok(), expected);
    }
    assert_eq!(fallback.snapshot().used, 1);
}
