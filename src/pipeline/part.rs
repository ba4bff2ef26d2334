use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::future::{PartFuture, State};
use crate::error::Rejected;

/// A service behind a part of a pipeline, or as it was where the part is left out.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "a part is there, or it is not")]
pub enum Part<A, B> {
    /// Behind the part.
    Behind(A),
    /// Without it.
    Without(B),
}

/// A service of type `S` behind a layer of type `L`, or without it.
pub(super) type Behind<L, S> = Part<<L as Layer<S>>::Service, S>;

impl<A, S> Part<A, S> {
    /// Puts `inner` behind `layer`, if there is one.
    pub(super) fn of<L: Layer<S, Service = A>>(layer: Option<L>, inner: S) -> Self {
        match layer {
            Some(layer) => Self::Behind(layer.layer(inner)),
            None => Self::Without(inner),
        }
    }
}

impl<A, B, Req> Service<Req> for Part<A, B>
where
    A: Service<Req>,
    A::Error: From<Rejected>,
    B: Service<Req, Response = A::Response, Error = A::Error>,
{
    type Response = A::Response;
    type Error = A::Error;
    type Future = PartFuture<A::Future, B::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        match self {
            Self::Behind(service) => service.poll_ready(cx),
            Self::Without(service) => service.poll_ready(cx),
        }
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        match self {
            Self::Behind(service) => PartFuture(State::Behind(service.call(request))),
            Self::Without(service) => PartFuture(State::Without(service.call(request))),
        }
    }
}
