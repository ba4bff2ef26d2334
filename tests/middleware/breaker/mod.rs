//! The breaker as its callers see it.

mod body;
mod control;
mod opening;
mod probes;
mod rules;

use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::Breaker;
use bowline::classify::{Failure, Outcome};

use super::{SECOND, Service, Upstream, answer, refusal};

const WAIT: Duration = Duration::from_secs(10);

/// Opens at the second failure in a row, stays open for ten seconds, and closes after two probes.
fn breaker() -> Breaker {
    Breaker::builder("upstream")
        .consecutive_failures(2)
        .open_for(Backoff::constant(WAIT).jitter(Jitter::None))
        .probes(2)
        .build()
        .expect("a fine policy")
}

fn fail(breaker: &Breaker) {
    let permit = breaker.try_acquire().expect("it lets the call through");
    permit.record(Outcome::Failure(Failure::Transient));
}

fn succeed(breaker: &Breaker) {
    let permit = breaker.try_acquire().expect("it lets the call through");
    permit.record(Outcome::Success);
}
