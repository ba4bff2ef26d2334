//! The call that every subject protects, and that is measured alone as the base line.

use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bowline::error::Rejected;
use tower::Service;

/// What it is called in tables.
pub(crate) const NAME: &str = "bare";

/// A service that answers at once, after its work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bare {
    work: Work,
}

/// What a call is to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Succeed,
    Fail,
}

/// The error of a call. It is small, so that moving it costs nobody anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Error {
    Failed,
    Refused,
}

/// The answer of [`Bare`].
#[derive(Debug)]
pub(crate) struct Answer {
    request: Request,
    work: Work,
}

/// How much a call computes: turns of a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work(u32);

impl Bare {
    pub(crate) fn new(work: Work) -> Self {
        Self { work }
    }

    /// The call as a plain async function, for libraries without a layer.
    #[inline]
    pub(crate) fn answer(self, request: Request) -> Answer {
        Answer {
            request,
            work: self.work,
        }
    }
}

impl Service<Request> for Bare {
    type Response = u64;
    type Error = Error;
    type Future = Answer;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Answer {
        self.answer(request)
    }
}

impl Future for Answer {
    type Output = Result<u64, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let done = self.work.run();
        Poll::Ready(match self.request {
            Request::Succeed => Ok(done),
            Request::Fail => Err(Error::Failed),
        })
    }
}

impl Work {
    pub(crate) const NONE: Self = Self(0);

    /// As much as takes `time` on this machine.
    pub(crate) fn lasting(time: Duration) -> Self {
        const TURNS: u32 = 10_000;
        const TRIES: usize = 2_000;
        let tries = (0..TRIES).map(|_| {
            let began = Instant::now();
            black_box(black_box(Self(TURNS)).run());
            began.elapsed()
        });
        // The fastest try was not disturbed.
        let fastest = tries.min().unwrap_or_default().as_secs_f64();
        let turns = time.as_secs_f64() / fastest * f64::from(TURNS);
        Self(turns as u32)
    }

    #[inline]
    fn run(self) -> u64 {
        let mut value = 1;
        for _ in 0..self.0 {
            value = black_box(value + 1);
        }
        value
    }
}

impl From<Rejected> for Error {
    fn from(_: Rejected) -> Self {
        Self::Refused
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::Refused => "refused",
        })
    }
}

impl std::error::Error for Error {}
