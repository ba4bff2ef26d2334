use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::{DeadLetter, Reason, Store};
use crate::broker::{Delivery, RETRY_ATTEMPT, RETRY_DUE, RETRY_ORIGIN};
use crate::clock::{Clock, SystemClock};
use crate::error::{BoxError, Chain, Error, Kind, Rejected, caught, cause, is_caused_by};

/// Stores what the handler could not handle and answers `Ok`, so that the consumer goes on.
///
/// It stands outside of retries. In this order:
///
/// 1. An [`Error`] of [`Kind::Contention`] passes: somebody else has what the handler needs, e.g. the
///    message is being handled elsewhere. That says nothing against the record.
/// 2. Another transient [`Error`] or a [`Rejected`] passes, unless it is told otherwise by
///    [`OnTransient::DeadLetter`].
/// 3. Every other error and every panic of the handler is stored. The answer is `Ok` once the
///    letter is durable, and the store's error when it could not be stored.
#[derive(Debug)]
pub struct DeadLetterLayer<S> {
    store: Arc<S>,
    on_transient: OnTransient,
}

/// What happens to errors that may go away by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnTransient {
    /// They are stored as well: retries have decided that it is over. A long outage then fills the
    /// store with letters to redrive, and the partition goes on out of order.
    DeadLetter,
    /// They go to the consumer, which tries again and holds the partition as long as they last: an
    /// outage delays, but it reorders nothing.
    #[default]
    Pass,
}

impl<S: Store> DeadLetterLayer<S> {
    /// Stores letters in `store`.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            on_transient: OnTransient::default(),
        }
    }

    /// Sets what happens to transient errors.
    #[must_use]
    pub fn on_transient(mut self, on_transient: OnTransient) -> Self {
        self.on_transient = on_transient;
        self
    }
}

impl<S> DeadLetterLayer<S> {
    fn passes(&self, error: &BoxError) -> bool {
        let known = cause::<Error>(&**error);
        if known.is_some_and(|known| known.kind() == Kind::Contention) {
            return true;
        }
        let transient =
            is_caused_by::<Rejected>(&**error) || known.is_some_and(Error::is_transient);
        transient && self.on_transient == OnTransient::Pass
    }
}

impl<S> Clone for DeadLetterLayer<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            on_transient: self.on_transient,
        }
    }
}

impl<S, I> Layer<I> for DeadLetterLayer<S> {
    type Service = DeadLetters<S, I>;

    fn layer(&self, inner: I) -> Self::Service {
        DeadLetters {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of [`DeadLetterLayer`].
#[derive(Debug)]
pub struct DeadLetters<S, I> {
    inner: I,
    layer: DeadLetterLayer<S>,
}

impl<S, I: Clone> Clone for DeadLetters<S, I> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<S, I> Service<Delivery> for DeadLetters<S, I>
where
    S: Store,
    I: Service<Delivery, Response = ()> + Clone + Send + 'static,
    I::Error: Into<BoxError>,
    I::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxError;
    type Future = DeadLetterFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, delivery: Delivery) -> DeadLetterFuture {
        // The instance that was made ready is the one that must be called.
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let layer = self.layer.clone();
        DeadLetterFuture(Box::pin(async move {
            let request = delivery.clone();
            let handled = caught(async move { inner.call(request).await.map_err(Into::into) });
            let reason = match handled.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if layer.passes(&error) => return Err(error),
                Ok(Err(error)) => reason(&error),
                Err(panic) => Reason::new("panic", panic_text(&*panic)),
            };
            layer.store.put(&letter(&delivery, reason)).await?;
            Ok(())
        }))
    }
}

/// The future of [`DeadLetters`]. Boxed: the handler beside it waits for I/O.
#[must_use = "futures do nothing unless polled"]
pub struct DeadLetterFuture(Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>);

impl Future for DeadLetterFuture {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for DeadLetterFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterFuture").finish_non_exhaustive()
    }
}

fn letter(delivery: &Delivery, reason: Reason) -> DeadLetter {
    let group = Arc::clone(delivery.group());
    let (position, mut record) = (delivery.origin(), delivery.record().clone());
    if record.headers.last(RETRY_ORIGIN).is_some() {
        // It goes back to where it came from, and begins anew.
        record.topic = Arc::clone(&position.partition.topic);
        record.partition = Some(position.partition.partition);
        for header in [RETRY_ATTEMPT, RETRY_DUE, RETRY_ORIGIN] {
            record.headers.remove(header);
        }
    }
    DeadLetter::new(group, position, record, reason, SystemClock.now())
}

fn reason(error: &BoxError) -> Reason {
    let kind = cause::<Error>(&**error).map_or("error", |error| error.kind().as_str());
    Reason::new(kind, &Chain(&**error).to_string())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the handler panicked")
}
