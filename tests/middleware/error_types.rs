//! The error types that a service may have, and what patterns make of a refusal inside them.

use std::error::Error as StdError;
use std::io;

use bowline::breaker::{Breaker, State};
use bowline::broker::PublishError;
use bowline::bulkhead::Bulkhead;
use bowline::discovery::client;
use bowline::error::{BoxError, Error, Rejected, look_into, look_into_error, rejected};
use bowline::pipeline::Pipeline;
use bowline::retry::Retry;
use tokio::time::Instant;
use tower::{Service as _, ServiceBuilder, service_fn};

use super::SECOND;

#[derive(Debug, thiserror::Error)]
enum Transparent {
    #[error("not found")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] Rejected),
}

#[derive(Debug, thiserror::Error)]
enum Sourced {
    #[error("not found")]
    NotFound,
    #[error("it was not tried")]
    Refused(#[from] Rejected),
}

/// No `Error` at all; it makes itself known.
#[derive(Debug)]
struct Plain(Option<Rejected>);

/// Nobody has told the library of it.
#[derive(Debug)]
struct Unknown;

impl From<Rejected> for Plain {
    fn from(rejected: Rejected) -> Self {
        look_into(|plain: &Self| plain.0.as_ref().map(|rejected| rejected as _));
        Self(Some(rejected))
    }
}

impl From<Rejected> for Unknown {
    fn from(_: Rejected) -> Self {
        Self
    }
}

fn make_known() {
    look_into(|error: &Transparent| match error {
        Transparent::Refused(refused) => Some(refused),
        Transparent::NotFound => None,
    });
    look_into(|error: &Sourced| Some(error));
}

/// Twenty calls that a full bulkhead refuses: the breaker, and how many attempts it saw.
async fn refused<E: From<Rejected> + 'static>() -> (State, u32, u64) {
    let bulkhead = Bulkhead::builder("full").limit(1).build().unwrap();
    let _held = bulkhead.try_acquire().expect("a place");
    let pipeline = Pipeline::builder("upstream")
        .retry(Retry::builder().attempts(3).build().unwrap())
        .breaker(Breaker::builder("upstream").build().unwrap())
        .bulkhead(bulkhead.clone())
        .build()
        .unwrap();
    for _ in 0..20 {
        let refused = pipeline.run(|_| async { Ok::<(), E>(()) }).await;
        assert!(refused.is_err());
    }
    let breaker = pipeline.breaker().expect("it has one").snapshot();
    (
        breaker.state,
        breaker.failures,
        bulkhead.snapshot().rejected,
    )
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_any_error_type_opens_no_outer_breaker_and_is_not_tried_again() {
    make_known();
    let quiet = (State::Closed, 0, 20);
    assert_eq!(refused::<Transparent>().await, quiet);
    assert_eq!(refused::<Sourced>().await, quiet);
    assert_eq!(refused::<Plain>().await, quiet);
    assert_eq!(refused::<Error>().await, quiet);
    assert_eq!(refused::<client::Error>().await, quiet);
    assert_eq!(refused::<client::TransportError>().await, quiet);
    assert_eq!(refused::<PublishError>().await, quiet);
    assert_eq!(refused::<io::Error>().await, quiet);
    assert_eq!(refused::<Box<dyn StdError>>().await, quiet);
    assert_eq!(refused::<BoxError>().await, quiet);
    assert_eq!(refused::<Rejected>().await, quiet);
    let (state, failures, _) = refused::<Unknown>().await;
    assert_eq!((state, failures), (State::Open, 20), "as it is documented");
}

#[tokio::test(start_paused = true)]
async fn a_failure_beside_the_refusals_in_an_own_error_type_counts() {
    make_known();
    let breaker = Breaker::builder("upstream").consecutive_failures(2);
    let breaker = breaker.build().unwrap();
    for _ in 0..2 {
        let missing = breaker.call(|| async { Err::<(), _>(Transparent::NotFound) });
        assert!(matches!(missing.await, Err(Transparent::NotFound)));
    }
    assert_eq!(breaker.state(), State::Open);
    let late = || async { Err::<(), _>(Sourced::from(Rejected::elapsed(SECOND))) };
    breaker.reset();
    for _ in 0..2 {
        assert!(breaker.call(late).await.is_err());
    }
    assert_eq!(breaker.state(), State::Open, "too slow is a failure");
    assert!(rejected(&Sourced::NotFound).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_an_open_breaker_whose_refusal_is_in_an_own_error_type() {
    make_known();
    let breaker = Breaker::builder("upstream")
        .consecutive_failures(1)
        .open_for(bowline::backoff::Backoff::constant(SECOND))
        .build()
        .unwrap();
    let failed = breaker.call(|| async { Err::<(), _>(Transparent::NotFound) });
    assert!(failed.await.is_err());
    let wait = breaker.snapshot().retry_after.expect("it is open");
    let retry = Retry::builder().attempts(2).build().unwrap();
    let mut stack = ServiceBuilder::new()
        .layer(retry.layer())
        .layer(breaker.layer())
        .service(service_fn(|(): ()| async { Ok::<_, Transparent>(()) }));
    let began = Instant::now();
    stack.call(()).await.expect("the second attempt passes");
    assert!(began.elapsed() >= wait);
}

/// Of another module, say; a `?` or an own variant puts it inside of others.
#[derive(Debug, thiserror::Error)]
enum Outer {
    #[error(transparent)]
    Inner(#[from] Inner),
    #[error(transparent)]
    Refused(#[from] Rejected),
}

#[derive(Debug, thiserror::Error)]
enum Inner {
    #[error("not found")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] Rejected),
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_found_where_a_transparent_error_is_boxed_or_nested() {
    look_into_error(|error: &Inner| match error {
        Inner::Refused(refused) => Some(refused),
        Inner::NotFound => None,
    });
    look_into_error(|error: &Outer| match error {
        Outer::Refused(refused) => Some(refused),
        Outer::Inner(inner) => Some(inner),
    });
    let full = Rejected::bulkhead_full("a");
    let nested = || Outer::from(Inner::from(full.clone()));
    let boxed: BoxError = nested().into();
    let io = io::Error::other(Inner::from(full.clone()));
    assert_eq!(rejected(&Inner::from(full.clone())), Some(&full));
    assert_eq!(rejected(&Outer::from(full.clone())), Some(&full));
    assert_eq!(rejected(&nested()), Some(&full));
    assert_eq!(rejected(&boxed), Some(&full));
    assert_eq!(rejected(&io), Some(&full));
    assert!(rejected(&Outer::from(Inner::NotFound)).is_none());

    let bulkhead = Bulkhead::builder("full").limit(1).build().unwrap();
    let _held = bulkhead.try_acquire().expect("a place");
    let breaker = Breaker::builder("upstream").consecutive_failures(1);
    let breaker = breaker.build().unwrap();
    let refused = breaker.call(|| async {
        let inner: Result<(), Inner> = bulkhead.call(|| async { Ok(()) }).await;
        Ok::<_, BoxError>(inner?)
    });
    assert!(refused.await.is_err());
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn an_error_that_stands_for_itself_has_an_end_and_its_source() {
    #[derive(Debug, thiserror::Error)]
    #[error("it was not tried")]
    struct Itself(#[source] Rejected);
    look_into_error(|error: &Itself| Some(error));
    let full = Rejected::bulkhead_full("a");
    assert_eq!(rejected(&Itself(full.clone())), Some(&full));
    let boxed: BoxError = Itself(full.clone()).into();
    assert_eq!(rejected(&boxed), Some(&full));

    // At the same address as what it holds.
    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Wrapped(Rejected);
    look_into_error(|error: &Wrapped| Some(&error.0));
    let boxed: BoxError = Wrapped(full.clone()).into();
    assert_eq!(rejected(&boxed), Some(&full));
}

#[test]
fn the_first_look_for_a_type_holds() {
    #[derive(Debug)]
    struct Twice(Rejected);
    look_into(|twice: &Twice| Some(&twice.0));
    look_into(|_: &Twice| None);
    assert!(rejected(&Twice(Rejected::bulkhead_full("a"))).is_some());
}

#[test]
fn the_errors_of_this_library_keep_the_refusal_they_are_made_from() {
    let limited = || Rejected::rate_limited("a", SECOND);
    let error = Error::from(limited());
    assert_eq!(error.to_string(), "rate call: throttled");
    assert_eq!(rejected(&error), Some(&limited()));
    let error = io::Error::from(limited());
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert_eq!(rejected(&error), Some(&limited()));
    let error = client::Error::from(limited());
    assert_eq!(
        (error.service(), error.kind()),
        ("a", client::Kind::Rejected)
    );
    assert_eq!(error.sent(), client::Sent::No);
    assert_eq!(error.rejected(), Some(&limited()));
    let late = client::Error::from(Rejected::elapsed(SECOND));
    assert_eq!(late.sent(), client::Sent::Unknown);
}
