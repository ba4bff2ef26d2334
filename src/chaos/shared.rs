use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Config, Injection, Snapshot};

/// What all clones and layers of a chaos share.
#[derive(Debug)]
pub(super) struct Shared {
    name: Arc<str>,
    config: Config,
    enabled: AtomicBool,
    trace: Mutex<Trace>,
}

/// The decisions so far, and where the next one comes from.
#[derive(Debug)]
struct Trace {
    rng: fastrand::Rng,
    calls: u64,
    errors: u64,
    delays: u64,
}

impl Shared {
    pub(super) fn new(name: Arc<str>, config: Config) -> Self {
        let rng = config
            .seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self {
            name,
            config,
            enabled: AtomicBool::new(false),
            trace: Mutex::new(Trace {
                rng,
                calls: 0,
                errors: 0,
                delays: 0,
            }),
        }
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    pub(super) fn switch(&self, enabled: bool) {
        if self.enabled.swap(enabled, Ordering::Relaxed) != enabled {
            tracing::warn!(name: "bowline.chaos.switched", chaos = &*self.name, enabled);
        }
    }

    /// Draws what is done to the next call: always three numbers, so that a decision shifts no other.
    pub(super) fn decide(&self) -> Injection {
        if !self.is_enabled() {
            return Injection::default();
        }
        let config = &self.config;
        let injection = {
            let mut trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
            let [fails, is_late, how_late] = std::array::from_fn(|_| trace.rng.f64());
            let error = fails < config.error_rate.value();
            let spread = config.latency_max.saturating_sub(config.latency_min);
            let latency = (is_late < config.latency_rate.value())
                .then(|| config.latency_min.saturating_add(spread.mul_f64(how_late)));
            trace.calls += 1;
            trace.errors += u64::from(error);
            trace.delays += u64::from(latency.is_some());
            Injection { latency, error }
        };
        if injection != Injection::default() {
            let Injection { latency, error } = injection;
            tracing::debug!(name: "bowline.chaos.injected", chaos = &*self.name, error, ?latency);
        }
        injection
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            name: Arc::clone(&self.name),
            enabled: self.is_enabled(),
            calls: trace.calls,
            errors: trace.errors,
            delays: trace.delays,
        }
    }
}
