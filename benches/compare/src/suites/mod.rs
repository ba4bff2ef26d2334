//! What is measured, a file for each suite, and in it a function for each subject.

mod breaker;
mod bulkhead;
#[cfg(feature = "kafka")]
mod consumer;
#[cfg(feature = "outbox")]
mod outbox;
mod rate;
mod retry;
mod stack;

use crate::Plan;
use crate::bare::{self, Bare};
use crate::latency::Latency;
use crate::measure::Case;
use crate::report::{Result, Row};
use crate::subject::Subject;

// The peers, by the names that tables show.
const FAILSAFE: &str = "failsafe";
const GOVERNOR: &str = "governor";
const RECLOSER: &str = "recloser";
const TOWER: &str = "tower";
const TOWER_RESILIENCE: &str = "tower-resilience";

/// The cases around one pattern.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) cases: Vec<Case>,
    pub(crate) latencies: Vec<Latency>,
    /// What is measured in a way of its own.
    pub(crate) own: Option<Own>,
}

/// Measures as planned, and gives a table for each case and unit.
pub(crate) type Own = fn(&Plan) -> Result<Vec<Vec<Row>>>;

pub(crate) fn all() -> Vec<Suite> {
    vec![
        breaker::suite(),
        retry::suite(),
        bulkhead::suite(),
        rate::suite(),
        stack::suite(),
        #[cfg(feature = "kafka")]
        consumer::suite(),
        #[cfg(feature = "outbox")]
        outbox::suite(),
    ]
}

/// # Errors
///
/// There is no suite `name`.
pub(crate) fn named(name: &str) -> Result<Suite> {
    let suite = all().into_iter().find(|suite| suite.name == name);
    suite.ok_or_else(|| format!("no suite `{name}`: {}", names()).into())
}

pub(crate) fn names() -> String {
    let mut names: Vec<_> = all().iter().map(|suite| suite.name).collect();
    names.push("all");
    names.join(" ")
}

/// What this process does instead of measuring, when a suite has started it for that.
pub(crate) fn worker(arguments: &[String]) -> Option<Result<()>> {
    match arguments {
        #[cfg(feature = "kafka")]
        [first, rest @ ..] if first == consumer::WORKER => Some(consumer::work(rest)),
        #[cfg(feature = "outbox")]
        [first, rest @ ..] if first == outbox::WORKER => Some(outbox::work(rest)),
        _ => None,
    }
}

/// The call alone.
fn alone(call: Bare) -> Subject {
    Subject::new(bare::NAME, call)
}
