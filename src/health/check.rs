use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::builder::Options;
use super::lock;
use super::report::{CheckReport, Reason};
use super::state::{State, Verdict};
use crate::error::{BoxError, Chain};

/// Asks one dependency whether it works.
///
/// Implemented for closures `Fn() -> impl Future<Output = Result<(), BoxError>>`.
pub trait Check: Send + Sync + 'static {
    /// One question. It may be dropped before it is answered.
    fn check(&self) -> Answer;
}

/// The future of one [`Check`].
pub type Answer = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

impl<F, Fut> Check for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn check(&self) -> Answer {
        Box::pin(self())
    }
}

/// What a failing check means for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Importance {
    /// Without it the process cannot work: not ready.
    Critical,
    /// Without it the process works less well.
    Degraded,
}

pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) importance: Importance,
    check: Arc<dyn Check>,
    /// Set while the check runs, also when nobody waits for it any more.
    running: Arc<AtomicBool>,
    state: Mutex<State>,
}

/// While it lives, the check runs.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Entry {
    pub(super) fn new(name: Arc<str>, importance: Importance, check: Arc<dyn Check>) -> Self {
        Self {
            name,
            importance,
            check,
            running: Arc::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn status(&self) -> Verdict {
        lock(&self.state).verdict()
    }

    pub(super) fn report(&self, now: Instant, options: &Options) -> CheckReport {
        let state = lock(&self.state);
        let (verdict, reason) = state.at(now, options.stale_after());
        CheckReport {
            name: self.name.clone(),
            importance: self.importance,
            up: verdict.is_up(),
            reason,
            age_ms: state
                .age(now)
                .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Begins the check, unless it is still running.
    fn begin(&self) -> Option<Running> {
        let running = self.running.swap(true, Ordering::SeqCst);
        (!running).then(|| Running(Arc::clone(&self.running)))
    }

    fn record(&self, result: Result<(), Reason>, options: &Options) {
        if let Err(reason @ (Reason::TimedOut | Reason::Panicked)) = result {
            tracing::warn!(check = %self.name, ?reason, "the check failed");
        }
        let changed = lock(&self.state).record(result, Instant::now(), options.rise, options.fall);
        if let Some(verdict) = changed {
            tracing::info!(check = %self.name, ?verdict, "the check changed sides");
        }
    }
}

/// How much longer than its timeout a check is waited for, at most.
const MARGIN: Duration = Duration::from_millis(500);

/// Runs every check in a task of its own, so that a panic stays there and a check that blocks its
/// thread does not hold up the others: it has timed out, and is not begun again while it runs.
/// Dropped, it gives all of them up.
pub(super) async fn run_all(entries: &[Entry], options: &Options) {
    let mut tasks = JoinSet::new();
    let mut order = std::collections::HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(running) = entry.begin() else {
            entry.record(Err(Reason::TimedOut), options);
            continue;
        };
        let (check, limit) = (entry.check.clone(), options.timeout);
        let name = entry.name.clone();
        let task = tasks.spawn(async move {
            let _running = running;
            match timeout(limit, check.check()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => {
                    // Here and nowhere else: a probe's answer must not show an error's text.
                    tracing::warn!(check = %name, error = %Chain(&*error), "the check failed");
                    Err(Reason::Failed)
                }
                Err(_elapsed) => Err(Reason::TimedOut),
            }
        });
        order.insert(task.id(), index);
    }
    let latest = Instant::now() + options.timeout + options.timeout.min(MARGIN);
    while let Ok(Some(done)) = timeout_at(latest, tasks.join_next_with_id()).await {
        let (id, result) = match done {
            Ok((id, result)) => (id, result),
            Err(panic) => (panic.id(), Err(Reason::Panicked)),
        };
        if let Some(entry) = order.remove(&id).and_then(|index| entries.get(index)) {
            entry.record(result, options);
        }
    }
    for entry in order.into_values().filter_map(|index| entries.get(index)) {
        entry.record(Err(Reason::TimedOut), options);
    }
}
