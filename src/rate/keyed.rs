use std::hash::Hash;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::RateLimiter;
use super::future::ResponseFuture;
use crate::error::Rejected;
use crate::keyed::Registry;

/// Puts services behind one [`RateLimiter`] for each key, as for each user, that rejects what is too
/// much.
#[derive(Debug, Clone)]
pub struct KeyedLayer<K, F> {
    limiters: Registry<K, RateLimiter>,
    key: F,
}

/// A service behind one [`RateLimiter`] for each key.
#[derive(Debug, Clone)]
pub struct KeyedService<S, K, F> {
    inner: S,
    limiters: Registry<K, RateLimiter>,
    key: F,
}

impl<K, F> KeyedLayer<K, F> {
    /// Asks the limiter of the key that `key` finds in a request.
    #[must_use]
    pub const fn new(limiters: Registry<K, RateLimiter>, key: F) -> Self {
        Self { limiters, key }
    }
}

impl<S, K, F: Clone> Layer<S> for KeyedLayer<K, F> {
    type Service = KeyedService<S, K, F>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedService {
            inner,
            limiters: self.limiters.clone(),
            key: self.key.clone(),
        }
    }
}

impl<S, K, F, Req> Service<Req> for KeyedService<S, K, F>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    K: Hash + Eq + Clone,
    F: Fn(&Req) -> K,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let limiter = self.limiters.get(&(self.key)(&request));
        match limiter.try_acquire() {
            Ok(()) => ResponseFuture::called(self.inner.call(request)),
            Err(rejected) => ResponseFuture::rejected(rejected),
        }
    }
}
