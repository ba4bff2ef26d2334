use std::task::{Context, Poll};

use tower::Service;

use super::future::ResponseFuture;
use super::{Chaos, Faults, Gate};

/// A service whose calls may be broken on purpose.
#[derive(Debug, Clone)]
pub struct ChaosService<S, F, G> {
    inner: S,
    chaos: Chaos<F>,
    gate: G,
}

impl<S, F, G> ChaosService<S, F, G> {
    pub(super) const fn new(inner: S, chaos: Chaos<F>, gate: G) -> Self {
        Self { inner, chaos, gate }
    }

    /// The service that works.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service that works, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the chaos.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, F, G, Req> Service<Req> for ChaosService<S, F, G>
where
    S: Service<Req>,
    F: Faults<S::Error>,
    G: Gate<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let picked = self.chaos.is_enabled() && self.gate.picks(&request);
        self.chaos.inject(picked, || self.inner.call(request))
    }
}
