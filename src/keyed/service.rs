use std::fmt;
use std::task::{Context, Poll};

use tower::Service;

use super::Protect;
use super::future::ResponseFuture;

/// A service behind the pattern that belongs to the key of a request; see
/// [`KeyedLayer`](super::KeyedLayer).
#[derive(Clone)]
pub struct KeyedService<S, F> {
    inner: S,
    layer_of: F,
}

impl<S, F> KeyedService<S, F> {
    pub(super) const fn new(inner: S, layer_of: F) -> Self {
        Self { inner, layer_of }
    }

    /// The service behind the patterns.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the patterns, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the patterns.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, F, P, Req> Service<Req> for KeyedService<S, F>
where
    S: Service<Req>,
    F: Fn(&Req) -> P,
    P: Protect<S, Req>,
{
    type Response = P::Response;
    type Error = S::Error;
    type Future = ResponseFuture<P::Future, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Admission is decided by the call: only the request has a key.
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let layer = (self.layer_of)(&request);
        ResponseFuture::new(layer.protect(&mut self.inner, request), layer)
    }
}

impl<S: fmt::Debug, F> fmt::Debug for KeyedService<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
