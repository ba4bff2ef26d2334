use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream as _};
use tokio::sync::mpsc::UnboundedSender;
use tower::Service;
use tracing::{Instrument as _, Span};

use super::catch::{CatchPanic, Panicked};
use super::queue::Queue;
use super::scheduler::Job;
use super::span;
use crate::broker::Delivery;
use crate::deadline::within;
use crate::error::BoxError;

/// A job that is not with the handler any more.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) job: Job,
    pub(super) how: How,
}

#[derive(Debug)]
pub(super) enum How {
    Done,
    Failed(BoxError),
    Cancelled,
}

/// Runs jobs, any number of them at once, on the one task that it is.
///
/// It takes jobs and reports them in batches: to wake another task costs more than a handler that does
/// little.
pub(super) struct Executor<H> {
    /// Which of the executors it is.
    pub(super) index: usize,
    /// Never called: replaces a service that panicked.
    pub(super) handler: H,
    pub(super) service: H,
    pub(super) limit: Option<Duration>,
    /// What spans call the broker.
    pub(super) system: &'static str,
    pub(super) queue: Arc<Queue>,
    pub(super) ended: UnboundedSender<Vec<Ended>>,
    /// Whether the service was asked if it is ready, and not called since: it may hold a place then that
    /// others wait for.
    pub(super) asked: bool,
}

/// After so many jobs others have their turn, and what is done is reported.
const TURN: usize = 128;

impl<H> Executor<H>
where
    H: Service<Delivery, Response = ()> + Clone + Send + 'static,
    H::Error: Into<BoxError>,
    H::Future: Send + 'static,
{
    /// Works until nobody wants to know of it any more.
    pub(super) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        let mut running = FuturesUnordered::new();
        poll_fn(|cx| {
            self.queue.register(self.index, cx.waker());
            let (mut ended, mut known) = (stopped(&mut waiting), 0);
            loop {
                while let Some(ready) = self.poll_ready(cx, !waiting.is_empty()) {
                    let Some(job) = waiting.pop_front() else {
                        break;
                    };
                    match self.begin(ready, job) {
                        Ok(attempt) => running.push(attempt),
                        Err(failed) => ended.push(failed),
                    }
                }
                if self.asked && waiting.is_empty() {
                    // For a record that is not to begin any more.
                    self.replace_service();
                }
                while let Poll::Ready(Some(one)) = Pin::new(&mut running).poll_next(cx) {
                    if one.has_panicked() {
                        self.replace_service();
                    }
                    ended.push(one);
                }
                let news = ended.get(known..).unwrap_or_default();
                let wants = waiting.is_empty() && ended.len() < TURN;
                let more = self.queue.exchange(self.index, news, wants, &mut waiting);
                known = ended.len();
                if !more {
                    break;
                }
            }
            if ended.len() >= TURN {
                // There may be more to take.
                cx.waker().wake_by_ref();
            }
            if !ended.is_empty() && self.ended.send(ended).is_err() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// Hands a job to the service, if that is `ready` for it, and the assignment has not ended meanwhile.
    fn begin(
        &mut self,
        ready: Result<(), BoxError>,
        job: Job,
    ) -> Result<impl Future<Output = Ended> + use<H>, Ended> {
        if job.handling.is_stopped() {
            let how = How::Cancelled;
            return Err(Ended { job, how });
        }
        let span = span::open(self.system, &job.delivery);
        let called = ready.and_then(|()| self.call(&job.delivery, &span));
        match called {
            Ok(call) => {
                let call = limited(call, self.limit).instrument(span.clone());
                Ok(attempt(call, span, job))
            }
            Err(error) => {
                span::failed(&span, &error);
                let how = How::Failed(error);
                Err(Ended { job, how })
            }
        }
    }

    /// Whether the service takes a job, if there is one. A service that is broken is replaced.
    fn poll_ready(&mut self, cx: &mut Context<'_>, wanted: bool) -> Option<Result<(), BoxError>> {
        if !wanted {
            return None;
        }
        self.asked = true;
        let polled = catch_unwind(AssertUnwindSafe(|| self.service.poll_ready(cx)));
        let ready = match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(ready)) => ready.map_err(Into::into),
            Err(payload) => Err(Panicked::new(&*payload).into()),
        };
        if ready.is_err() {
            self.replace_service();
        }
        Some(ready)
    }

    /// Begins to handle `delivery`. A service that panics is replaced.
    fn call(&mut self, delivery: &Delivery, span: &Span) -> Result<H::Future, BoxError> {
        let _entered = span.enter();
        self.asked = false;
        let called = catch_unwind(AssertUnwindSafe(|| self.service.call(delivery.clone())));
        called.map_err(|payload| {
            self.replace_service();
            Panicked::new(&*payload).into()
        })
    }

    /// With the service goes what it holds.
    fn replace_service(&mut self) {
        self.service = self.handler.clone();
        self.asked = false;
    }
}

/// Takes out of `waiting` what is not to begin any more.
fn stopped(waiting: &mut VecDeque<Job>) -> Vec<Ended> {
    let mut stopped = Vec::new();
    for _ in 0..waiting.len() {
        match waiting.pop_front() {
            Some(job) if job.handling.is_stopped() => stopped.push(Ended {
                job,
                how: How::Cancelled,
            }),
            job => waiting.extend(job),
        }
    }
    stopped
}

impl Ended {
    fn has_panicked(&self) -> bool {
        matches!(&self.how, How::Failed(error) if error.is::<Panicked>())
    }
}

/// The handler's answer, within `limit` if there is one.
async fn limited<F, E>(call: F, limit: Option<Duration>) -> Result<(), BoxError>
where
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let call = async { call.await.map_err(Into::into) };
    match limit {
        Some(limit) => within(limit, call).await,
        None => call.await,
    }
}

/// One attempt: ends with `call`, or when it is cancelled.
async fn attempt(call: impl Future<Output = Result<(), BoxError>>, span: Span, job: Job) -> Ended {
    let how = tokio::select! {
        biased;
        answer = CatchPanic::new(call) => match answer {
            Ok(Ok(())) => How::Done,
            Ok(Err(error)) => How::Failed(error),
            Err(panicked) => How::Failed(panicked.into()),
        },
        () = job.handling.cancelled.stopped() => How::Cancelled,
    };
    if let How::Failed(error) = &how {
        span::failed(&span, error);
    }
    Ended { job, how }
}
