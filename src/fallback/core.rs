use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::meters::Meters;
use super::{Backup, FailedOrRejected, FallbackLayer, FromFn, Keeping, Snapshot};
use super::{Substitute, Value};
use crate::classify::{Classify, Outcome};

/// Answers with a substitute when the call fails; see the [module docs](super).
///
/// Clones share the counters.
#[derive(Clone)]
pub struct Fallback<A> {
    counters: Arc<Counters>,
    substitute: A,
}

struct Counters {
    name: Arc<str>,
    used: AtomicU64,
    failed: AtomicU64,
    meters: Meters,
}

impl<T: Clone> Fallback<Value<T>> {
    /// Answers with a clone of `value`.
    pub fn value(name: impl Into<Arc<str>>, value: T) -> Self {
        Self::new(name, Value::new(value))
    }
}

impl<F> Fallback<FromFn<F>> {
    /// Answers with what `answer`, a `Fn(Result<Res, Err>) -> Result<Res, Err>`, makes of the failed
    /// result.
    pub fn from_fn(name: impl Into<Arc<str>>, answer: F) -> Self {
        Self::new(name, FromFn(answer))
    }
}

impl<K, F> Fallback<Keeping<K, F>> {
    /// Keeps something of each request by `keep`, a `Fn(&Req) -> T`, and answers with what `answer`, a
    /// `Fn(T, Result<Res, Err>) -> Result<Res, Err>`, makes of it and of the failed result.
    pub fn keeping(name: impl Into<Arc<str>>, keep: K, answer: F) -> Self {
        Self::new(name, Keeping { keep, answer })
    }
}

impl<S> Fallback<Backup<S>> {
    /// Answers with what `service` says to a clone of the request.
    pub fn service(name: impl Into<Arc<str>>, service: S) -> Self {
        Self::new(name, Backup::new(service))
    }
}

impl<S, R> Fallback<Backup<S, R>> {
    /// Copies requests by `requests`; those it gives nothing for have no fallback.
    #[must_use]
    pub fn with_requests<Q>(self, requests: Q) -> Fallback<Backup<S, Q>> {
        Fallback {
            counters: self.counters,
            substitute: self.substitute.with_requests(requests),
        }
    }
}

impl<A> Fallback<A> {
    /// Answers with `substitute`.
    pub fn new(name: impl Into<Arc<str>>, substitute: A) -> Self {
        let name = name.into();
        let counters = Counters {
            meters: Meters::new(&name),
            name,
            used: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        Self {
            counters: Arc::new(counters),
            substitute,
        }
    }

    /// Runs `call`, and answers with the substitute if it fails; judged by [`FailedOrRejected`].
    ///
    /// # Errors
    ///
    /// The error of `call` if it is ignored, or that of the substitute.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the call, or the substitute's answer.
    pub async fn call<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        A: Substitute<(), T, E>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: 'static,
    {
        self.call_with(&FailedOrRejected, call).await
    }

    /// As [`call`](Self::call), judged by `classifier`: what it calls a failure has a fallback.
    ///
    /// # Errors
    ///
    /// The error of `call` if it is no failure, or that of the substitute.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the call, or the substitute's answer.
    pub async fn call_with<C, F, Fut, T, E>(&self, classifier: &C, call: F) -> Result<T, E>
    where
        A: Substitute<(), T, E>,
        C: Classify<T, E>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let kept = self.substitute.keep(&());
        let result = call().await;
        match self.judge(classifier, kept, result) {
            Ok(substitute) => self.answered(substitute.await),
            Err(result) => result,
        }
    }

    /// A Tower layer around this fallback; every layer and service made from it shares the counters.
    #[must_use]
    pub fn layer(&self) -> FallbackLayer<A>
    where
        A: Clone,
    {
        FallbackLayer::new(self.clone())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.counters.name
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            name: Arc::clone(&self.counters.name),
            used: self.counters.used.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
        }
    }

    pub(super) const fn substitute(&self) -> &A {
        &self.substitute
    }

    /// The substitute's answer to come, or the result as it was if there is none.
    pub(super) fn judge<Req, T, E>(
        &self,
        classifier: &impl Classify<T, E>,
        kept: A::Kept,
        result: Result<T, E>,
    ) -> Result<A::Future, Result<T, E>>
    where
        A: Substitute<Req, T, E>,
    {
        match classifier.classify(result.as_ref()) {
            Outcome::Success | Outcome::Ignored => Err(result),
            Outcome::Failure(_) => {
                let substitute = self.substitute.answer(kept, result)?;
                let Counters {
                    name, used, meters, ..
                } = &*self.counters;
                used.fetch_add(1, Ordering::Relaxed);
                meters.used.increment();
                tracing::debug!(name: "bowline.fallback.used", fallback = &**name);
                Ok(substitute)
            }
        }
    }

    /// Takes in what the substitute said.
    pub(super) fn answered<T, E>(&self, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            let Counters {
                name,
                failed,
                meters,
                ..
            } = &*self.counters;
            failed.fetch_add(1, Ordering::Relaxed);
            meters.failed.increment();
            tracing::debug!(name: "bowline.fallback.failed", fallback = &**name);
        }
        result
    }
}

impl<A> fmt::Debug for Fallback<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("name", &self.counters.name)
            .finish_non_exhaustive()
    }
}
