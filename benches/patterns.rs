//! What a call behind a pattern costs; for a comparison from change to change. `cargo xtask compare`
//! measures beside others.
#![allow(missing_docs, reason = "criterion's macros document nothing")]
#![allow(clippy::expect_used, reason = "a policy that is sound")]

use std::future::{Future as _, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Builder, Window};
use bowline::classify::Outcome;
use bowline::config::Ratio;
use bowline::error::Rejected;
use bowline::retry::Retry;
use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use tower::{Layer as _, Service, service_fn};

const HOUR: Duration = Duration::from_secs(3_600);

/// The error of a call; moving it costs nothing.
#[derive(Debug, Clone, Copy)]
enum Error {
    Failed,
    Refused,
}

impl From<Rejected> for Error {
    fn from(_: Rejected) -> Self {
        Self::Refused
    }
}

/// A request that says what comes of it.
#[derive(Debug, Clone, Copy)]
enum Request {
    Succeed,
    Fail,
}

fn bare() -> impl Service<Request, Response = u64, Error = Error> + Clone {
    service_fn(|request| {
        ready(match request {
            Request::Succeed => Ok(1),
            Request::Fail => Err(Error::Failed),
        })
    })
}

fn breaker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker");
    group.bench_function("bare", |bencher| calls(bencher, bare(), u64::MAX));
    let mut closed = |name, builder: Builder, fails_every| {
        let breaker = builder.build().expect("sound");
        let service = breaker.layer().layer(bare());
        group.bench_function(name, |bencher| calls(bencher, service.clone(), fails_every));
    };
    let timed = Breaker::builder("b").slow_calls(Ratio::HALF, HOUR);
    let over_time = Breaker::builder("b").window(Window::Time(HOUR));
    closed("closed", Breaker::builder("b"), u64::MAX);
    closed("closed, 1 failure in 10", Breaker::builder("b"), 10);
    closed("closed, slow calls watched", timed, u64::MAX);
    closed("closed, window of time", over_time, u64::MAX);

    let permits = Breaker::builder("b").build().expect("sound");
    group.bench_function("closed, permit by hand", |bencher| {
        bencher.iter(|| {
            if let Ok(permit) = permits.try_acquire() {
                permit.record(black_box(Outcome::Success));
            }
        });
    });
    group.bench_function("open", |bencher| calls(bencher, open(), u64::MAX));
    group.finish();
}

fn open() -> impl Service<Request, Response = u64, Error = Error> {
    let breaker = Breaker::builder("b")
        .consecutive_failures(1)
        .open_for(Backoff::constant(HOUR).jitter(Jitter::None))
        .build()
        .expect("sound");
    let mut service = breaker.layer().layer(bare());
    assert!(call(&mut service, Request::Fail).is_err());
    service
}

fn retry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("retry");
    let retry = Retry::builder().build().expect("sound");
    let service = retry.layer().layer(bare());
    group.bench_function("nothing fails", |bencher| {
        calls(bencher, service.clone(), u64::MAX);
    });
    group.finish();
}

/// Measures calls of which every so many fails.
fn calls<S>(bencher: &mut Bencher<'_>, mut service: S, fails_every: u64)
where
    S: Service<Request, Response = u64, Error = Error>,
{
    let mut left = fails_every;
    bencher.iter(|| {
        left -= 1;
        let mut request = Request::Succeed;
        if left == 0 {
            (left, request) = (fails_every, Request::Fail);
        }
        call(&mut service, black_box(request)).is_ok()
    });
}

/// Makes a call that is answered at once, at no cost of a runtime.
fn call<S>(service: &mut S, request: Request) -> Result<u64, Error>
where
    S: Service<Request, Response = u64, Error = Error>,
{
    let context = &mut Context::from_waker(Waker::noop());
    let ready = service.poll_ready(context);
    assert!(matches!(ready, Poll::Ready(Ok(()))), "always ready");
    match pin!(service.call(request)).poll(context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("answers at once"),
    }
}

criterion_group! {
    name = patterns;
    // Short: it is run often.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = breaker, retry
}
criterion_main!(patterns);
