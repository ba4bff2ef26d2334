//! The future of a service behind the pattern of a key.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;

/// The answer of a service behind the pattern of a key, or the rejection.
#[pin_project]
pub struct ResponseFuture<F, P> {
    #[pin]
    future: F,
    /// `Some` until the answer is there: the value of a key that has a call on its way is not idle, or
    /// what comes of that call would be forgotten with it.
    layer: Option<P>,
}

impl<F, P> ResponseFuture<F, P> {
    pub(super) const fn new(future: F, layer: P) -> Self {
        Self {
            future,
            layer: Some(layer),
        }
    }
}

impl<F: Future, P> Future for ResponseFuture<F, P> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        *this.layer = None;
        Poll::Ready(output)
    }
}

impl<F, P> fmt::Debug for ResponseFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("is_ready", &self.layer.is_none())
            .finish_non_exhaustive()
    }
}
