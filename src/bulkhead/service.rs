use std::fmt;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use tower::Service;

use super::future::ResponseFuture;
use super::{Bulkhead, Hold, Queued, Unqueued};
use crate::error::Rejected;

/// A service in a [`Bulkhead`].
pub struct BulkheadService<S, H, Q> {
    inner: S,
    bulkhead: Bulkhead,
    kind: PhantomData<fn() -> (H, Q)>,
}

impl<S, H, Q> BulkheadService<S, H, Q> {
    pub(super) const fn new(inner: S, bulkhead: Bulkhead) -> Self {
        Self {
            inner,
            bulkhead,
            kind: PhantomData,
        }
    }

    /// The service in the bulkhead.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service in the bulkhead, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the bulkhead.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, H, Req> Service<Req> for BulkheadService<S, H, Queued>
where
    S: Service<Req> + Clone,
    S::Error: From<Rejected>,
    H: Hold<S::Response>,
{
    type Response = H::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, H>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Admission is decided by the call, so that a ready service that is never called holds
        // nothing.
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        self.bulkhead.call_in_turn(&mut self.inner, request)
    }
}

impl<S, H, Req> Service<Req> for BulkheadService<S, H, Unqueued>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    H: Hold<S::Response>,
{
    type Response = H::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, H>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        self.bulkhead.call_now(&mut self.inner, request)
    }
}

impl Bulkhead {
    /// Calls `service` in a place, for which the call waits if it has to and may.
    #[inline]
    pub(super) fn call_in_turn<S, Req, H>(
        &self,
        service: &mut S,
        request: Req,
    ) -> ResponseFuture<S, Req, H>
    where
        S: Service<Req> + Clone,
    {
        if let Some(permit) = self.shared().enter() {
            return ResponseFuture::called(service.call(request), permit);
        }
        if !self.shared().may_wait() {
            return ResponseFuture::rejected(self.full());
        }
        // Being ready may hold something that others need. It is given back by dropping the ready
        // instance; the call makes its own ready once it has its place.
        let waits = service.clone();
        *service = waits.clone();
        ResponseFuture::queued(waits, request, self.clone())
    }

    /// Calls `service` in a place that is free now, or rejects the call.
    #[inline]
    pub(super) fn call_now<S, Req, H>(
        &self,
        service: &mut S,
        request: Req,
    ) -> ResponseFuture<S, Req, H>
    where
        S: Service<Req>,
    {
        match self.try_acquire() {
            Ok(permit) => ResponseFuture::called(service.call(request), permit),
            Err(rejected) => ResponseFuture::rejected(rejected),
        }
    }
}

impl<S: Clone, H, Q> Clone for BulkheadService<S, H, Q> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.bulkhead.clone())
    }
}

impl<S: fmt::Debug, H, Q> fmt::Debug for BulkheadService<S, H, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadService")
            .field("inner", &self.inner)
            .field("bulkhead", &self.bulkhead)
            .finish_non_exhaustive()
    }
}
