//! The futures of a service behind a pipeline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use super::witness::Witness;
use crate::classify::Classify;

/// The answer of a service behind a pipeline, or a rejection.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, C> {
    #[pin]
    call: F,
    witness: Witness<C>,
}

/// The answer of a service behind a part of a pipeline, or without it.
#[pin_project]
#[derive(Debug)]
pub struct PartFuture<A, B>(#[pin] pub(super) State<A, B>);

#[pin_project(project = StateProjection)]
#[derive(Debug)]
pub(super) enum State<A, B> {
    Behind(#[pin] A),
    Without(#[pin] B),
}

impl<F, C> ResponseFuture<F, C> {
    #[inline]
    pub(super) const fn new(call: F, witness: Witness<C>) -> Self {
        Self { call, witness }
    }
}

impl<F, C, T, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    E: 'static,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if !this.witness.is_there() {
            return this.call.poll(cx);
        }
        this.witness.watch(|| this.call.poll(cx))
    }
}

impl<A, B> Future for PartFuture<A, B>
where
    A: Future,
    B: Future<Output = A::Output>,
{
    type Output = A::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        match self.project().0.project() {
            StateProjection::Behind(call) => call.poll(cx),
            StateProjection::Without(call) => call.poll(cx),
        }
    }
}
