use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::Service;

/// The attempts of one call, each in its place: a future that is pinned cannot move to another one.
#[pin_project]
pub(super) struct Attempts<S: Service<Req>, Req> {
    #[pin]
    first: Attempt<S, Req>,
    #[pin]
    second: Attempt<S, Req>,
    #[pin]
    third: Attempt<S, Req>,
    #[pin]
    fourth: Attempt<S, Req>,
}

#[pin_project(project = AttemptProjection)]
pub(super) enum Attempt<S: Service<Req>, Req> {
    /// Not begun, ended or given up.
    Empty,
    /// Waiting for its own service to be ready.
    Readying {
        service: S,
        /// `Some` until it is sent.
        request: Option<Req>,
    },
    Running(#[pin] S::Future),
}

/// How an attempt ended.
pub(super) enum Ended<T, E> {
    Answered(Result<T, E>),
    /// Its service did not get ready.
    Unready,
}

impl<S: Service<Req>, Req> Attempts<S, Req> {
    pub(super) fn new(first: S::Future) -> Self {
        Self {
            first: Attempt::Running(first),
            second: Attempt::Empty,
            third: Attempt::Empty,
            fourth: Attempt::Empty,
        }
    }

    /// All of them, in the order in which they begin.
    pub(super) fn all(self: Pin<&mut Self>) -> [Pin<&mut Attempt<S, Req>>; 4] {
        let this = self.project();
        [this.first, this.second, this.third, this.fourth]
    }

    /// Puts an attempt at place `index`, from 0.
    pub(super) fn begin(self: Pin<&mut Self>, index: usize, service: S, request: Req) {
        let request = Some(request);
        if let Some(place) = self.all().get_mut(index) {
            place.set(Attempt::Readying { service, request });
        }
    }

    /// Drops all that still run.
    pub(super) fn clear(self: Pin<&mut Self>) {
        for mut attempt in self.all() {
            if !attempt.is_empty() {
                attempt.set(Attempt::Empty);
            }
        }
    }
}

impl<S: Service<Req>, Req> Attempt<S, Req> {
    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Drives the attempt on. It is empty once it has ended.
    pub(super) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Ended<S::Response, S::Error>> {
        loop {
            let next = match self.as_mut().project() {
                AttemptProjection::Empty => return Poll::Pending,
                AttemptProjection::Running(future) => {
                    let answer = ready!(future.poll(cx));
                    self.set(Self::Empty);
                    return Poll::Ready(Ended::Answered(answer));
                }
                AttemptProjection::Readying { service, request } => {
                    let is_ready = ready!(service.poll_ready(cx)).is_ok();
                    match request.take().filter(|_| is_ready) {
                        Some(request) => service.call(request),
                        None => {
                            self.set(Self::Empty);
                            return Poll::Ready(Ended::Unready);
                        }
                    }
                }
            };
            self.set(Self::Running(next));
        }
    }
}
