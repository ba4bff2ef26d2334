//! An outbox in PostgreSQL under fire: what happens to its relays, its writers, its broker and its server is
//! decided by a seed.

mod broker;
mod exactly_once;
mod ground;
mod history;
mod life;
mod plan;
mod process;
mod run;
mod transactions;
mod truth;
mod writer;

use std::num::NonZeroUsize;
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::broker::Record;
use bowline::outbox::relay::{Config, Delivery};
use bowline::outbox::{Relay, Store};

pub use exactly_once::{into_kafka, into_memory, relay_exactly_once};
pub use ground::{Engine, Ground};
pub use history::{Histories, History};
pub use plan::{Blow, Call, Failpoint, Plan, UnderFire, When};
pub use process::{Told, relay_until_struck};
pub use run::{in_process, with_processes};

/// How many rows a relay publishes together.
pub const WINDOW: NonZeroUsize = NonZeroUsize::new(8).unwrap();
/// The topics; the last one is missing for a while.
pub const TOPICS: [&str; 3] = ["orders", "users", LATE];
/// A topic that is missing for a while.
pub const LATE: &str = "late";

/// Begins the name of a row that the broker does not take for a while: it is too large.
const POISON: &str = "poison";
const LARGE: usize = 2_000;

/// Begins the name of a row that nobody can read, and an operator has to discard.
const UNREADABLE: &str = "unreadable";
const LEASE: Duration = Config::LEASE_MIN;

/// The name of the row that became this record: its first word.
fn name(record: &Record) -> &str {
    let payload = record.payload.as_deref().expect("a payload");
    let text = std::str::from_utf8(payload).expect("text");
    text.split(' ').next().expect("a word")
}

/// A relay with the shortest lease and small windows.
fn relay<S: Store, D: Delivery>(store: S, delivery: D) -> Relay<S, D> {
    Relay::builder(store, delivery)
        .lease(LEASE)
        .window(WINDOW)
        .poll(Duration::from_millis(50))
        .backoff(Backoff::constant(Duration::from_millis(20)))
        .build()
        .expect("a fine configuration")
}
