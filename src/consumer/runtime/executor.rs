use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tower::Service;
use tracing::{Instrument as _, Span};

use super::catch::{CatchPanic, Panicked};
use super::scheduler::Job;
use super::span;
use crate::broker::Delivery;
use crate::deadline::within;
use crate::error::BoxError;
use crate::shutdown::Token;

/// A job and who says that it is to be cancelled.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) job: Job,
    pub(super) cancelled: Token,
}

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
/// Jobs come and go in batches: a channel costs as much as a handler that does little.
pub(super) struct Executor<H> {
    /// Never called: replaces a service that panicked.
    pub(super) handler: H,
    pub(super) service: H,
    pub(super) limit: Option<Duration>,
    /// What spans call the broker.
    pub(super) system: &'static str,
    pub(super) jobs: UnboundedReceiver<Vec<Start>>,
    pub(super) ended: UnboundedSender<Vec<Ended>>,
}

impl<H> Executor<H>
where
    H: Service<Delivery, Response = ()> + Clone + Send + 'static,
    H::Error: Into<BoxError>,
    H::Future: Send + 'static,
{
    /// Works until nobody sends jobs any more, or nobody wants to know of them.
    pub(super) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        let mut running = FuturesUnordered::new();
        poll_fn(|cx| {
            let mut ended = Vec::new();
            loop {
                while let Poll::Ready(batch) = self.jobs.poll_recv(cx) {
                    match batch {
                        Some(batch) => waiting.extend(batch),
                        None => return Poll::Ready(()),
                    }
                }
                while let Some(ready) = self.poll_ready(cx, !waiting.is_empty()) {
                    let Some(Start { job, cancelled }) = waiting.pop_front() else {
                        break;
                    };
                    let span = span::open(self.system, &job.delivery);
                    let called = ready.and_then(|()| self.call(&job.delivery, &span));
                    match called {
                        Ok(call) => {
                            let call = limited(call, self.limit).instrument(span);
                            running.push(attempt(call, job, cancelled));
                        }
                        Err(error) => ended.push(Ended {
                            job,
                            how: How::Failed(error),
                        }),
                    }
                }
                while let Poll::Ready(Some(one)) = Pin::new(&mut running).poll_next(cx) {
                    if one.has_panicked() {
                        self.service = self.handler.clone();
                    }
                    ended.push(one);
                }
                if ended.is_empty() {
                    return Poll::Pending;
                }
                if self.ended.send(std::mem::take(&mut ended)).is_err() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    /// Whether the service takes a job, if there is one. A service that is broken is replaced.
    fn poll_ready(&mut self, cx: &mut Context<'_>, wanted: bool) -> Option<Result<(), BoxError>> {
        if !wanted {
            return None;
        }
        let polled = catch_unwind(AssertUnwindSafe(|| self.service.poll_ready(cx)));
        let ready = match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(ready)) => ready.map_err(Into::into),
            Err(payload) => Err(Panicked::new(&*payload).into()),
        };
        if ready.is_err() {
            self.service = self.handler.clone();
        }
        Some(ready)
    }

    /// Begins to handle `delivery`. A service that panics is replaced.
    fn call(&mut self, delivery: &Delivery, span: &Span) -> Result<H::Future, BoxError> {
        let _entered = span.enter();
        let called = catch_unwind(AssertUnwindSafe(|| self.service.call(delivery.clone())));
        called.map_err(|payload| {
            self.service = self.handler.clone();
            let panicked = Panicked::new(&*payload).into();
            span::failed(span, &panicked);
            panicked
        })
    }
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
    let answer = match limit {
        Some(limit) => within(limit, call).await,
        None => call.await,
    };
    if let Err(error) = &answer {
        span::failed(&Span::current(), error);
    }
    answer
}

/// One attempt: ends with `call`, or when it is cancelled.
async fn attempt(
    call: impl Future<Output = Result<(), BoxError>>,
    job: Job,
    cancelled: Token,
) -> Ended {
    let how = tokio::select! {
        biased;
        answer = CatchPanic::new(call) => match answer {
            Ok(Ok(())) => How::Done,
            Ok(Err(error)) => How::Failed(error),
            Err(panicked) => How::Failed(panicked.into()),
        },
        () = cancelled.stopped() => How::Cancelled,
    };
    Ended { job, how }
}
