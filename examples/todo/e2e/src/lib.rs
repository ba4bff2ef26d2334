//! Starts the todo system as separate processes and talks to it over HTTP, as a person would.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests drive real processes, in real time"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a test harness fails by panicking, with what it was doing"
)]

mod browser;
mod client;
mod cluster;
mod process;

pub use browser::Browser;
pub use client::{Answer, Client, Events};
pub use cluster::{Broker, Cluster, Mode, kafka_url};
pub use process::{Process, binary};

use std::time::{Duration, Instant};

/// How long anything that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until `found` gives something.
///
/// # Panics
///
/// After [`PATIENCE`], saying what was waited for.
pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
