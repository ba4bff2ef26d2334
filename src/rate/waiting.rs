use std::task::{Context, Poll};

use tower::Service;

use super::RateLimiter;
use super::future::{ResponseFuture, WaitingFuture};
use crate::error::Rejected;

/// A service behind a [`RateLimiter`] that lets calls wait.
#[derive(Debug, Clone)]
pub struct WaitingService<S> {
    inner: S,
    limiter: RateLimiter,
}

impl<S> WaitingService<S> {
    pub(super) const fn new(inner: S, limiter: RateLimiter) -> Self {
        Self { inner, limiter }
    }

    /// The service behind the limiter.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the limiter, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the limiter.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Service<Req> for WaitingService<S>
where
    S: Service<Req> + Clone,
    S::Error: From<Rejected>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = WaitingFuture<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.limiter.call_in_turn(&mut self.inner, request)
    }
}

impl RateLimiter {
    /// Calls `service` with a permit, for which the call waits if it has to and may.
    pub(super) fn call_in_turn<S, Req>(
        &self,
        service: &mut S,
        request: Req,
    ) -> WaitingFuture<S, Req>
    where
        S: Service<Req> + Clone,
    {
        match self.wait_for(1) {
            Ok(None) => WaitingFuture::answering(ResponseFuture::called(service.call(request))),
            Ok(Some(reservation)) => {
                // The one that was made ready is dropped, and with it the place that it holds; the
                // call asks for another when its time has come.
                *service = service.clone();
                WaitingFuture::waiting(service.clone(), request, reservation)
            }
            Err(rejected) => WaitingFuture::answering(ResponseFuture::rejected(rejected)),
        }
    }
}
