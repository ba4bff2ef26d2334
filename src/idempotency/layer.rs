use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tower::{Layer, Service};

use super::{Config, Key, Store, once};
use crate::broker::Delivery;
use crate::config::ConfigError;
use crate::error::BoxError;

/// Makes a handler run once per message and consumer group.
///
/// A message that was handled is `Ok` at once. One that is being handled elsewhere fails with a
/// transient error caused by [`Busy`](super::Busy). A handler that fails or panics gives the
/// key back.
#[derive(Debug)]
pub struct IdempotencyLayer<S> {
    store: Arc<S>,
    config: Arc<Config>,
}

impl<S: Store> IdempotencyLayer<S> {
    /// Remembers in `store`, with default times.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            config: Arc::default(),
        }
    }

    /// Sets the times.
    ///
    /// # Errors
    ///
    /// Those of [`Config::validate`].
    pub fn with_config(mut self, config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        self.config = Arc::new(config);
        Ok(self)
    }
}

impl<S> Clone for IdempotencyLayer<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            config: Arc::clone(&self.config),
        }
    }
}

impl<S, I> Layer<I> for IdempotencyLayer<S> {
    type Service = Idempotency<S, I>;

    fn layer(&self, inner: I) -> Self::Service {
        Idempotency {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of [`IdempotencyLayer`].
#[derive(Debug)]
pub struct Idempotency<S, I> {
    inner: I,
    layer: IdempotencyLayer<S>,
}

impl<S, I: Clone> Clone for Idempotency<S, I> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<S, I> Service<Delivery> for Idempotency<S, I>
where
    S: Store,
    I: Service<Delivery, Response = ()> + Clone + Send + 'static,
    I::Error: Into<BoxError> + Send,
    I::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxError;
    type Future = IdempotencyFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, delivery: Delivery) -> IdempotencyFuture {
        // The instance that was made ready is the one that must be called.
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let IdempotencyLayer { store, config } = self.layer.clone();
        IdempotencyFuture(Box::pin(async move {
            let key = Key::of(&delivery)?;
            let handle = || {
                let call = inner.call(delivery);
                async move { call.await.map(|()| Bytes::new()) }
            };
            match once(&*store, &config, &key, None, handle).await {
                Ok(_) => Ok(()),
                Err(failure) => Err(failure.into_box()),
            }
        }))
    }
}

/// The future of [`Idempotency`]. Boxed: each call waits for a store at least twice, beside which
/// one allocation does not count.
#[must_use = "futures do nothing unless polled"]
pub struct IdempotencyFuture(Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>);

impl Future for IdempotencyFuture {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for IdempotencyFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdempotencyFuture").finish_non_exhaustive()
    }
}
