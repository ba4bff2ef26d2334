//! Answers that are judged when their bodies end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Cancelled, Config, Reason, State};
use bowline::classify::HttpStatus;
use bowline::error::BoxError;
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::time::advance;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::SECOND;

#[derive(Debug, Clone, Copy)]
enum Ending {
    BreaksOff,
    Whole,
}

/// A body of two frames, the second of which may be an error.
struct Frames {
    left: u8,
    ending: Ending,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.left = self.left.saturating_sub(1);
        Poll::Ready(match (self.left, self.ending) {
            (2, _) => Some(Ok(Frame::data(Bytes::from_static(b"begin, ")))),
            (1, Ending::Whole) => Some(Ok(Frame::data(Bytes::from_static(b"end")))),
            (1, Ending::BreaksOff) => Some(Err("connection reset".into())),
            _ => None,
        })
    }
}

fn response(status: u16, ending: Ending) -> Response<Frames> {
    let body = Frames { left: 3, ending };
    Response::builder().status(status).body(body).unwrap()
}

fn breaker() -> Breaker {
    Breaker::builder("downloads")
        .consecutive_failures(1)
        .open_for(Backoff::constant(SECOND).jitter(Jitter::None))
        .probes(1)
        .build()
        .unwrap()
}

/// A call whose head is answered; its body is read to the end, or dropped after the first frame.
async fn call(breaker: &Breaker, status: u16, ending: Ending) -> Result<Bytes, BoxError> {
    let layer = breaker
        .layer()
        .with_classifier(HttpStatus)
        .record_on_body_end();
    let service = layer.layer(service_fn(async |()| {
        Ok::<_, BoxError>(response(status, ending))
    }));
    let answer = service.oneshot(()).await?;
    Ok(answer.into_body().collect().await?.to_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_after_a_good_head_is_a_failure() {
    let breaker = breaker();
    assert_eq!(
        call(&breaker, 200, Ending::Whole).await.unwrap(),
        "begin, end"
    );
    assert_eq!(breaker.snapshot().calls, 1);
    assert!(call(&breaker, 200, Ending::BreaksOff).await.is_err());
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.snapshot().reason, Some(Reason::ConsecutiveFailures));
}

#[tokio::test(start_paused = true)]
async fn a_bad_head_counts_at_once_and_once() {
    let breaker = breaker();
    assert!(call(&breaker, 503, Ending::BreaksOff).await.is_err());
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.failures, snapshot.stale), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_keeps_its_place_until_the_body_ends() {
    let breaker = breaker();
    assert!(call(&breaker, 503, Ending::Whole).await.is_ok());
    advance(SECOND).await;
    let layer = breaker
        .layer()
        .with_classifier(HttpStatus)
        .record_on_body_end();
    let service = layer.layer(service_fn(async |()| {
        Ok::<_, BoxError>(response(200, Ending::Whole))
    }));
    let probe = service.oneshot(()).await.unwrap();
    assert_eq!(breaker.state(), State::HalfOpen);
    assert!(breaker.try_acquire().is_err());
    probe.into_body().collect().await.unwrap();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn downloads_that_outlast_the_lease_of_a_probe_close_it() {
    let breaker = breaker();
    assert!(call(&breaker, 503, Ending::Whole).await.is_ok());
    advance(SECOND).await;
    let layer = breaker.layer().record_on_body_end();
    let service = layer.layer(service_fn(async |()| {
        Ok::<_, BoxError>(response(200, Ending::Whole))
    }));
    let download = service.oneshot(()).await.unwrap();
    advance(10 * Config::PROBE_LEASE).await;
    assert_eq!(breaker.state(), State::HalfOpen);
    download.into_body().collect().await.unwrap();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_is_a_cancelled_call_and_an_empty_one_is_at_its_end() {
    let breaker = breaker();
    breaker.force_open();
    breaker.reset();
    let layer = breaker
        .layer()
        .with_classifier(HttpStatus)
        .record_on_body_end();
    let service = layer.layer(service_fn(async |()| {
        Ok::<_, BoxError>(response(200, Ending::Whole))
    }));
    drop(service.oneshot(()).await.unwrap());
    assert_eq!(
        (breaker.snapshot().calls, breaker.state()),
        (0, State::Closed)
    );

    let strict = Breaker::builder("strict")
        .consecutive_failures(1)
        .cancelled(Cancelled::Failure);
    let strict = strict.build().unwrap();
    let layer = strict
        .layer()
        .with_classifier(HttpStatus)
        .record_on_body_end();
    let empty = service_fn(async |()| {
        Ok::<_, BoxError>(Response::new(http_body_util::Empty::<Bytes>::new()))
    });
    // Nobody reads it: there is nothing to read.
    drop(layer.layer(empty).oneshot(()).await.unwrap());
    assert_eq!(strict.snapshot().calls, 1);
    let full = service_fn(async |()| {
        let body = http_body_util::Full::new(Bytes::from_static(b"all"));
        Ok::<_, BoxError>(Response::new(
            body.map_err(|never: Infallible| match never {}),
        ))
    });
    drop(layer.layer(full).oneshot(()).await.unwrap());
    assert_eq!(strict.state(), State::Open);
}
