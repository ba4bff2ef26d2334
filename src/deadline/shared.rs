use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::telemetry::Counter;

/// A limit that may change, its name, and the count of those who reached it.
pub(crate) struct Shared {
    name: Arc<str>,
    /// In nanoseconds.
    limit: AtomicU64,
    elapsed: Counter,
}

/// Who is told when the time of a call is over: nobody, unless somebody listens to events or metrics.
///
/// So a call that nobody asks about takes no part in a count of references, for which threads would
/// fight.
#[derive(Debug)]
pub(crate) struct Listener(Option<Arc<Shared>>);

impl Shared {
    /// Limits the calls of the policy `name`, which `metric` counts under `label`.
    pub(crate) fn new(
        (metric, label): (&'static str, &'static str),
        name: Arc<str>,
        limit: Duration,
    ) -> Self {
        let elapsed = Counter::new(metric, &[(label, &name)]);
        Self {
            name,
            limit: AtomicU64::new(nanos(limit)),
            elapsed,
        }
    }

    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    #[inline]
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_nanos(self.limit.load(Ordering::Relaxed))
    }

    pub(crate) fn set_limit(&self, limit: Duration) {
        self.limit.store(nanos(limit), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn listener(self: &Arc<Self>) -> Listener {
        let heard = cfg!(feature = "metrics") || tracing::enabled!(tracing::Level::DEBUG);
        Listener(heard.then(|| Arc::clone(self)))
    }
}

impl Listener {
    pub(crate) const fn nobody() -> Self {
        Self(None)
    }

    /// Counts a call whose time is over.
    pub(crate) fn elapsed(&self) {
        if let Some(shared) = &self.0 {
            shared.elapsed.increment();
        }
    }

    /// The name of the policy, if it was asked for in time.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|shared| &*shared.name)
    }
}

/// As many as there is room for: 584 years.
fn nanos(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.name)
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
