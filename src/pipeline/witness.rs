use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use super::core::Parts;
use super::meters::End;
use crate::classify::{Classify, Outcome};
use crate::error::{Rejected, rejected};

/// Tells how a call ended: nobody, unless somebody listens to events or metrics.
///
/// So a call that nobody asks about takes no part in a count of references, for which threads would
/// fight, and is not judged another time.
pub(super) struct Witness<C>(Option<Watched<C>>);

struct Watched<C> {
    parts: Arc<Parts>,
    classifier: C,
    /// Whether it is polled now. Who drops it then is a panic.
    is_polled: bool,
}

impl<C> Witness<C> {
    #[inline]
    pub(super) fn new(parts: &Arc<Parts>, classifier: impl FnOnce() -> C) -> Self {
        let heard = cfg!(feature = "metrics") || tracing::enabled!(tracing::Level::DEBUG);
        Self(heard.then(|| Watched {
            parts: Arc::clone(parts),
            classifier: classifier(),
            is_polled: false,
        }))
    }

    #[inline]
    pub(super) const fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Polls a call, and tells what has come of it.
    pub(super) fn watch<T, E: 'static>(
        &mut self,
        poll: impl FnOnce() -> Poll<Result<T, E>>,
    ) -> Poll<Result<T, E>>
    where
        C: Classify<T, E>,
    {
        self.set_polled(true);
        let polled = poll();
        // The classifier may panic as the call itself may, so it is asked before the mark is off.
        if let Poll::Ready(result) = &polled {
            self.tell(result.as_ref());
        }
        self.set_polled(false);
        polled
    }

    /// Tells what has come of a call.
    #[inline]
    pub(super) fn tell<T, E: 'static>(&mut self, result: Result<&T, &E>)
    where
        C: Classify<T, E>,
    {
        // Taken only when it is known what to tell: until then a panic is told by the drop.
        let Some(watched) = &self.0 else { return };
        let end = end(&watched.classifier, result);
        if let Some(watched) = self.0.take() {
            watched.parts.ended(end);
        }
    }

    fn set_polled(&mut self, is_polled: bool) {
        if let Some(watched) = &mut self.0 {
            watched.is_polled = is_polled;
        }
    }
}

impl<C> Drop for Witness<C> {
    #[inline]
    fn drop(&mut self) {
        if let Some(watched) = &self.0 {
            // One that is not polled through here is dropped by its panic.
            let end = match watched.is_polled || std::thread::panicking() {
                true => End::Failure,
                false => End::Cancelled,
            };
            watched.parts.ended(end);
        }
    }
}

/// What a result is to the one who made the call.
fn end<T, E: 'static>(classifier: &impl Classify<T, E>, result: Result<&T, &E>) -> End {
    match result.err().and_then(rejected) {
        Some(Rejected::Elapsed { .. }) | None => {}
        Some(_) => return End::Rejected,
    }
    match classifier.classify(result) {
        Outcome::Success => End::Success,
        Outcome::Failure(_) => End::Failure,
        Outcome::Ignored => End::Ignored,
    }
}

impl<C> fmt::Debug for Witness<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness")
            .field("is_there", &self.is_there())
            .finish()
    }
}
