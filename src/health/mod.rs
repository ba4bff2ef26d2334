//! Says whether a process lives, and whether it should get work.
//!
//! An orchestrator restarts what does not live and sends no work to what is not ready. A process that
//! mixes the two is restarted because its database is down; one that asks the database at each probe
//! hangs with it; and one that stops the moment it is told to drops the requests that it has.
//! [`Health`] keeps the two apart, and [`Lifecycle`] ends a process in order.
//!
//! # How it decides
//!
//! 1. **Live** means that the process answers. It never asks a dependency: a restart does not mend a
//!    database.
//! 2. **Ready** means that the start is over, the end has not begun, and every critical check is up.
//!    The start is over when one round has found every critical check up. A degraded check that is
//!    down shows in the report and changes nothing else.
//! 3. Checks run in the background ([`Health::run`]), never when somebody asks: a hanging dependency
//!    makes no probe wait. Each has a timeout, runs at most once at a time, and when it panics it has
//!    failed. One that blocks its thread has timed out for as long as it runs.
//! 4. A check changes sides after [`rise`](Builder::rise) good or [`fall`](Builder::fall)
//!    bad results in a row; its first good result counts at once.
//! 5. When no result came for three times the interval and the timeout together, nobody is checking,
//!    and the check is down.
//! 6. [`Lifecycle`] ends in order: not ready, out of the registry, the settle time, servers, tasks.
//!
//! # When not to use it
//!
//! To watch a dependency: a check says up or down, metrics say how well. For what a request can find
//! out by itself: behind a [`breaker`](crate::breaker) it fails fast without the process leaving.
//! Nothing that all replicas share should be critical unless none of them can do anything without it:
//! they all leave together.
//!
//! # Guarantees
//!
//! - A report comes from what is known and waits for nothing. It never holds an error's text, which is
//!   in the log.
//! - Once the end has begun the process is not ready again.
//! - Clones of a [`Health`] share the checks and their results.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | [`interval`](Builder::interval) | 5 s between rounds, 10 % more or less | above 0 to 1 h |
//! | [`timeout`](Builder::timeout) | 2 s per check | above 0 to 1 h |
//! | [`rise`](Builder::rise) | 1 result | from 1 |
//! | [`fall`](Builder::fall) | 2 results | from 1 |
//! | [`Lifecycle::settle`] | 2 s | from 0 |
//! | [`Lifecycle::drain`] | 20 s; servers have three quarters of it | from 0 |
//!
//! # Telemetry
//!
//! | what | level | fields |
//! |---|---|---|
//! | the start is over | info | `phase` |
//! | a check changed sides | info | `check`, `verdict` |
//! | a check returned an error | warn | `check`, `error` |
//! | a part of the process ended early | error | `error` |
//! | the registry could not be left | warn | `error` |
//! | the registry could not be left in time | warn | |
//!
//! # Examples
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bowline::health::{Health, Status};
//!
//! let health = Health::builder()
//!     .critical("postgres", || async { Ok(()) })
//!     .degraded("redis", || async { Err("connection refused".into()) })
//!     .build()?;
//! assert!(!health.is_ready(), "nothing was checked yet");
//! health.refresh().await;
//! assert!(health.is_ready());
//! assert_eq!(health.report().status, Status::Degraded);
//! # Ok(())
//! # }
//! ```

mod builder;
mod check;
pub mod lifecycle;
mod report;
#[cfg(feature = "axum")]
mod routes;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Instant, sleep};

use self::builder::Options;
use self::check::Entry;
use crate::shutdown::Token;

pub use builder::Builder;
pub use check::{Answer, Check, Importance};
pub use lifecycle::Lifecycle;
pub use report::{CheckReport, Phase, Reason, Report, Status};

/// The state of this process. Clones share it.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    options: Options,
    entries: Vec<Entry>,
    phase: AtomicU8,
    /// One round of checks at a time.
    round: tokio::sync::Mutex<()>,
}

impl Health {
    /// Begins a list of checks.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Checks for as long as the process runs; returns when it is told to stop.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: checks that run are given up.
    pub async fn run(&self, stop: Token) {
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                () = self.refresh() => {}
            }
            // Replicas that started together must not ask a dependency together for ever.
            let pause = self.0.options.interval.mul_f64(0.9 + 0.2 * fastrand::f64());
            tokio::select! {
                () = stop.stopped() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Runs every check once, all at the same time, and waits for the results. When a round runs
    /// already, waits for it first.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: checks that run are given up and count for nothing.
    pub async fn refresh(&self) {
        let _round = self.0.round.lock().await;
        check::run_all(&self.0.entries, &self.0.options).await;
        let up = |entry: &Entry| entry.importance == Importance::Degraded || entry.status().is_up();
        if self.0.entries.iter().all(up) {
            self.advance(Phase::Starting, Phase::Running);
        }
    }

    /// Says that the end has begun: not ready from now on. It cannot be taken back.
    pub fn set_draining(&self) {
        let before = self.0.phase.swap(Phase::Draining as u8, Ordering::SeqCst);
        if before != Phase::Draining as u8 {
            tracing::info!(phase = ?Phase::Draining, "the process entered a phase");
        }
    }

    /// Where the process is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::SeqCst) {
            phase if phase == Phase::Starting as u8 => Phase::Starting,
            phase if phase == Phase::Running as u8 => Phase::Running,
            _ => Phase::Draining,
        }
    }

    /// Whether it should get work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.report().is_ready()
    }

    /// The state of everything, from what is known; it waits for nothing.
    #[must_use]
    pub fn report(&self) -> Report {
        let now = Instant::now();
        let options = &self.0.options;
        let checks = self.0.entries.iter();
        let checks = checks.map(|entry| entry.report(now, options)).collect();
        Report::new(self.phase(), checks)
    }

    fn new(options: Options, entries: Vec<Entry>) -> Self {
        Self(Arc::new(Inner {
            options,
            entries,
            phase: AtomicU8::new(Phase::Starting as u8),
            round: tokio::sync::Mutex::new(()),
        }))
    }

    fn advance(&self, from: Phase, to: Phase) {
        let (order, phase) = (Ordering::SeqCst, &self.0.phase);
        let changed = phase.compare_exchange(from as u8, to as u8, order, order);
        if changed.is_ok() {
            tracing::info!(phase = ?to, "the process entered a phase");
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report().fmt(f)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
