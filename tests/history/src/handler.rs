use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline::broker::{Assignment, Delivery};
use bowline::error::BoxError;
use tower::Service;

use crate::watched::EPOCH;
use crate::{Log, What};

/// How hard a handler has it.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "a plain value of the tests")]
pub struct Effort {
    /// Decides what each attempt does.
    pub seed: u64,
    /// How many milliseconds it takes.
    pub millis: Range<u64>,
    /// How many of 100 attempts fail; one failure in eight is a panic.
    pub failures: u8,
}

/// A handler that notes when it begins with a record and when it is done.
#[must_use]
pub fn handler(
    log: Log,
    life: u32,
    effort: Effort,
) -> impl Service<Delivery, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static
{
    let attempts = Arc::new(AtomicU64::new(0));
    tower::service_fn(move |delivery: Delivery| {
        let (log, effort) = (log.clone(), effort.clone());
        let number = attempts.fetch_add(1, Ordering::Relaxed);
        async move {
            let attempt = Attempt::begin(log, life, &delivery);
            let seed = effort.seed ^ (u64::from(life) << 32) ^ number;
            let mut random = fastrand::Rng::with_seed(seed);
            if !effort.millis.is_empty() {
                let pause = Duration::from_millis(random.u64(effort.millis.clone()));
                tokio::time::sleep(pause).await;
            }
            if random.u8(0..100) >= effort.failures {
                attempt.done();
                return Ok(());
            }
            if random.u8(0..8) == 0 {
                // A panic that prints nothing.
                resume_unwind(Box::new("now and then"));
            }
            Err(BoxError::from("now and then"))
        }
    })
}

/// One attempt; one that is dropped before it is done has failed.
struct Attempt {
    log: Log,
    life: u32,
    assignment: Assignment,
    offset: u64,
    is_done: bool,
}

impl Attempt {
    fn begin(log: Log, life: u32, delivery: &Delivery) -> Self {
        let (record, position) = (delivery.record(), delivery.position());
        let epoch = record.headers.text(EPOCH).expect("watched");
        let epoch = epoch.parse().expect("a number");
        let key = record.key.as_deref().unwrap_or(b"-");
        let key = std::str::from_utf8(key).expect("text").to_owned();
        let assignment = Assignment::new(position.partition.clone(), epoch);
        log.note(life, What::Began(assignment.clone(), position.offset, key));
        Self {
            log,
            life,
            assignment,
            offset: position.offset,
            is_done: false,
        }
    }

    fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let what = if self.is_done {
            What::Done
        } else {
            What::Failed
        };
        self.log
            .note(self.life, what(self.assignment.clone(), self.offset));
    }
}
