use std::fmt;
use std::marker::PhantomData;

use tower::{Layer, Service};

use super::future::ResponseFuture;
use super::{Bulkhead, BulkheadService, Hold, UntilBody, UntilResponse};
use crate::error::Rejected;
use crate::keyed::Protect;

/// Puts services into one [`Bulkhead`].
///
/// `H` says how long a call keeps its place, `Q` what a call does that finds none.
pub struct BulkheadLayer<H = UntilResponse, Q = Queued> {
    bulkhead: Bulkhead,
    kind: PhantomData<fn() -> (H, Q)>,
}

/// A call that finds no place waits as the policy says; the service must be `Clone` for that.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct Queued;

/// A call that finds no place is rejected, whatever the policy says.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct Unqueued;

impl BulkheadLayer {
    pub(super) const fn new(bulkhead: Bulkhead) -> Self {
        Self {
            bulkhead,
            kind: PhantomData,
        }
    }
}

impl<H, Q> BulkheadLayer<H, Q> {
    /// Keeps the place until the body of the response has ended, and not only until its head is there.
    #[must_use]
    pub fn until_body(self) -> BulkheadLayer<UntilBody, Q> {
        self.hold()
    }

    /// Keeps the place as `K` does.
    #[must_use]
    pub fn hold<K>(self) -> BulkheadLayer<K, Q> {
        BulkheadLayer {
            bulkhead: self.bulkhead,
            kind: PhantomData,
        }
    }

    /// Rejects a call that finds no place, whatever the policy says. The service need not be `Clone`.
    #[must_use]
    pub fn without_queue(self) -> BulkheadLayer<H, Unqueued> {
        BulkheadLayer {
            bulkhead: self.bulkhead,
            kind: PhantomData,
        }
    }
}

impl<S, H, Q> Layer<S> for BulkheadLayer<H, Q> {
    type Service = BulkheadService<S, H, Q>;

    fn layer(&self, inner: S) -> Self::Service {
        BulkheadService::new(inner, self.bulkhead.clone())
    }
}

impl<S, H, Req> Protect<S, Req> for BulkheadLayer<H, Queued>
where
    S: Service<Req> + Clone,
    S::Error: From<Rejected>,
    H: Hold<S::Response>,
{
    type Response = H::Response;
    type Future = ResponseFuture<S, Req, H>;

    #[inline]
    fn protect(&self, service: &mut S, request: Req) -> Self::Future {
        self.bulkhead.call_in_turn(service, request)
    }
}

impl<S, H, Req> Protect<S, Req> for BulkheadLayer<H, Unqueued>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    H: Hold<S::Response>,
{
    type Response = H::Response;
    type Future = ResponseFuture<S, Req, H>;

    #[inline]
    fn protect(&self, service: &mut S, request: Req) -> Self::Future {
        self.bulkhead.call_now(service, request)
    }
}

impl<H, Q> Clone for BulkheadLayer<H, Q> {
    fn clone(&self) -> Self {
        Self {
            bulkhead: self.bulkhead.clone(),
            kind: PhantomData,
        }
    }
}

impl<H, Q> fmt::Debug for BulkheadLayer<H, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BulkheadLayer")
            .field(&self.bulkhead)
            .finish()
    }
}
