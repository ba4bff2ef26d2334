use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::{pin_project, pinned_drop};

/// A handler panicked; it counts as a failed attempt.
#[derive(Debug)]
pub(super) struct Panicked(String);

/// Turns a panic inside a future into an error. The future is dropped under guard too, so that a
/// handler cannot take its worker along.
#[pin_project(PinnedDrop)]
pub(super) struct CatchPanic<F> {
    #[pin]
    future: Option<F>,
}

impl<F> CatchPanic<F> {
    pub(super) fn new(future: F) -> Self {
        Self {
            future: Some(future),
        }
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = self.project().future;
        // What the panic may have left half done is not used again: the future is dropped here, and
        // the caller replaces the service it was made from.
        let polled = catch_unwind(AssertUnwindSafe(|| match future.as_mut().as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }));
        let output = match polled {
            Ok(polled) => Ok(ready!(polled)),
            Err(payload) => Err(Panicked::new(&*payload)),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| future.set(None)));
        Poll::Ready(match dropped {
            Ok(()) => output,
            Err(payload) => output.and(Err(Panicked::new(&*payload))),
        })
    }
}

#[pinned_drop]
impl<F> PinnedDrop for CatchPanic<F> {
    fn drop(self: Pin<&mut Self>) {
        let mut future = self.project().future;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| future.set(None))) {
            tracing::warn!(error = %Panicked::new(&*payload), "a cancelled handler panicked");
        }
    }
}

impl Panicked {
    pub(super) fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("no text").to_owned())
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handler panicked: {}", self.0)
    }
}

impl std::error::Error for Panicked {}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_text() {
        let caught: Result<(), Panicked> = CatchPanic::new(async { panic!("at {}", 7) }).await;
        assert_eq!(caught.unwrap_err().to_string(), "handler panicked: at 7");
    }

    #[tokio::test]
    async fn a_panic_in_drop_is_caught_too() {
        let held = PanicsWhenDropped;
        let future = std::future::poll_fn(move |_| {
            let _held = &held;
            Poll::Ready(1)
        });
        let caught = CatchPanic::new(future).await;
        assert_eq!(caught.unwrap_err().to_string(), "handler panicked: in drop");
    }

    #[tokio::test]
    async fn a_panic_in_drop_is_caught_when_it_is_cancelled() {
        let held = PanicsWhenDropped;
        let future = std::future::poll_fn(move |_| {
            let _held = &held;
            Poll::<()>::Pending
        });
        drop(CatchPanic::new(future));
    }

    #[tokio::test]
    async fn a_value_passes() {
        assert_eq!(CatchPanic::new(async { 5 }).await.ok(), Some(5));
    }
}
