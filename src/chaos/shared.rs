use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::meters::Meters;
use super::{Config, Injection, Snapshot};

/// What all clones and layers of a chaos share.
#[derive(Debug)]
pub(super) struct Shared {
    name: Arc<str>,
    /// Whether there are errors to give.
    pub(super) has_faults: bool,
    enabled: AtomicBool,
    trace: Mutex<Trace>,
    meters: Meters,
}

/// The decisions so far, and where the next one comes from.
#[derive(Debug)]
struct Trace {
    config: Config,
    rng: fastrand::Rng,
    calls: u64,
    errors: u64,
    delays: u64,
}

impl Shared {
    pub(super) fn new(name: Arc<str>, config: Config, has_faults: bool) -> Self {
        let trace = Trace {
            config,
            rng: config.rng(),
            calls: 0,
            errors: 0,
            delays: 0,
        };
        Self {
            meters: Meters::new(&name),
            name,
            has_faults,
            enabled: AtomicBool::new(false),
            trace: Mutex::new(trace),
        }
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn config(&self) -> Config {
        self.trace().config
    }

    /// Takes on another policy. The trace goes on where it is, unless it is to begin elsewhere.
    pub(super) fn reconfigure(&self, config: Config) {
        let mut trace = self.trace();
        if config.seed != trace.config.seed {
            trace.rng = config.rng();
        }
        trace.config = config;
    }

    /// It is whole after every change, so a panic elsewhere leaves it usable.
    fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    pub(super) fn switch(&self, enabled: bool) {
        let switched = {
            // Under the lock, so that the gauge shows what the switch says when two are in a hurry.
            let _trace = self.trace();
            let switched = self.enabled.swap(enabled, Ordering::Relaxed) != enabled;
            if switched {
                self.meters.switched(enabled);
            }
            switched
        };
        if switched {
            tracing::warn!(name: "bowline.chaos.switched", chaos = &*self.name, enabled);
        }
    }

    /// Draws what is done to the next call: always three numbers, so that a decision shifts no other.
    pub(super) fn decide(&self) -> Injection {
        if !self.is_enabled() {
            return Injection::default();
        }
        let injection = {
            let mut trace = self.trace();
            let config = trace.config;
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
            self.meters.injected(injection);
            tracing::debug!(name: "bowline.chaos.injected", chaos = &*self.name, error, ?latency);
        }
        injection
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let trace = self.trace();
        Snapshot {
            name: Arc::clone(&self.name),
            enabled: self.is_enabled(),
            calls: trace.calls,
            errors: trace.errors,
            delays: trace.delays,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if *self.enabled.get_mut() {
            self.meters.switched(false);
        }
    }
}
