use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::latencies::Latencies;
use super::meters::Meters;
use super::{Budget, Config, Delay, Snapshot};

/// What all clones, layers and calls of a hedge share.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) budget: Option<Arc<dyn Budget>>,
    policy: Mutex<Policy>,
    /// What calls ask for, as the policy has it: how many attempts there are,
    attempts: AtomicU32,
    /// whether somebody wants to know how long they take,
    is_timed: AtomicBool,
    /// and the delay in nanoseconds.
    delay: AtomicU64,
    started: AtomicU64,
    won: AtomicU64,
    refused: AtomicU64,
    meters: Meters,
}

struct Policy {
    config: Config,
    /// `None` while the delay is fixed.
    latencies: Option<Latencies>,
}

impl Shared {
    pub(super) fn new(name: Arc<str>, config: Config, budget: Option<Arc<dyn Budget>>) -> Self {
        let shared = Self {
            meters: Meters::new(&name),
            name,
            budget,
            policy: Mutex::new(Policy {
                config,
                latencies: None,
            }),
            attempts: AtomicU32::default(),
            is_timed: AtomicBool::default(),
            delay: AtomicU64::default(),
            started: AtomicU64::default(),
            won: AtomicU64::default(),
            refused: AtomicU64::default(),
        };
        shared.reconfigure(config);
        shared
    }

    /// Goes on by `config`, with what is known of the latest calls.
    pub(super) fn reconfigure(&self, config: Config) {
        let mut policy = self.policy();
        policy.config = config;
        let delay = match config.delay {
            Delay::Fixed(delay) => {
                policy.latencies = None;
                delay
            }
            Delay::Percentile { share, initial } => {
                let latencies = policy.latencies.get_or_insert_with(Latencies::default);
                latencies.percentile(share).map_or(initial, at_least)
            }
        };
        self.delay.store(nanos(delay), Ordering::Relaxed);
        self.attempts.store(config.attempts, Ordering::Relaxed);
        let is_timed = policy.latencies.is_some();
        self.is_timed.store(is_timed, Ordering::Relaxed);
    }

    pub(super) fn config(&self) -> Config {
        self.policy().config
    }

    /// How many attempts there are at most now.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// How long to wait now before the next attempt begins.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_nanos(self.delay.load(Ordering::Relaxed))
    }

    /// Whether it wants to know how long calls take.
    pub(super) fn is_timed(&self) -> bool {
        self.is_timed.load(Ordering::Relaxed)
    }

    /// Takes in how long a call took that says something about the service.
    pub(super) fn record(&self, took: Duration) {
        if !self.is_timed() {
            return;
        }
        let policy = &mut *self.policy();
        if let (Some(latencies), Delay::Percentile { share, .. }) =
            (&mut policy.latencies, policy.config.delay)
            && let Some(percentile) = latencies.record(took, share)
        {
            self.delay
                .store(nanos(at_least(percentile)), Ordering::Relaxed);
        }
    }

    /// Counts and tells of `attempt`, which begins for this reason.
    pub(super) fn start(&self, attempt: u32, reason: &'static str) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.meters.started.increment();
        tracing::debug!(name: "bowline.hedge.attempt", hedge = &*self.name, attempt, reason);
    }

    /// Counts and tells of an attempt that the budget has refused.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.meters.refused.increment();
        tracing::debug!(name: "bowline.hedge.refused", hedge = &*self.name);
    }

    /// Counts a call that a further attempt has won.
    pub(super) fn win(&self) {
        self.won.fetch_add(1, Ordering::Relaxed);
        self.meters.won.increment();
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let calls = self.policy().latencies.as_ref().map_or(0, Latencies::calls);
        Snapshot {
            name: Arc::clone(&self.name),
            delay: self.delay(),
            calls,
            started: self.started.load(Ordering::Relaxed),
            won: self.won.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// It is whole after every change, so a panic elsewhere leaves it usable.
    fn policy(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at_least(percentile: Duration) -> Duration {
    percentile.max(Delay::PERCENTILE_MIN)
}

fn nanos(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)
}
