use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::{Lane, Runtime};
use crate::broker::{Position, Subscriber};
use crate::clock::after;
use crate::error::{Chain, Error};

/// A question to the broker that waits for its answer.
pub(super) type Asked = Pin<Box<dyn Future<Output = Result<Vec<Position>, Error>> + Send>>;

/// When to look how far the partitions go: soon after one was assigned, and then every so often, one
/// look at a time.
#[derive(Debug)]
pub(super) struct Looks {
    interval: Option<Duration>,
    due: Option<Instant>,
    looking: bool,
}

impl Looks {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            due: None,
            looking: false,
        }
    }

    /// A partition is new.
    pub(super) fn soon(&mut self) {
        self.due = self.interval.map(|_| Instant::now());
    }

    /// When to look next; `None` while that depends on something else.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.looking)
    }

    /// Whether to look now. Without anything to look at that is over until there is.
    fn begin(&mut self, now: Instant, any: bool) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due {
            self.due = None;
            self.looking = any;
        }
        is_due && any
    }

    fn ended(&mut self) {
        self.looking = false;
        if let Some(interval) = self.interval {
            self.due
                .get_or_insert_with(|| after(Instant::now(), interval));
        }
    }
}

/// How far the partitions go.
impl<S: Subscriber> Runtime<S> {
    /// Asks the broker when it is time to.
    pub(super) fn look(&mut self, now: Instant) {
        let any = !self.work.lanes.is_empty();
        if !self.work.looks.begin(now, any) {
            return;
        }
        let lanes = self.work.lanes.values();
        let partitions: Vec<_> = lanes
            .map(|lane| lane.assignment.partition.clone())
            .collect();
        self.asked = Some(Box::pin(self.subscriber.ends(&partitions)));
    }

    /// Takes in the broker's answer. Nothing but what is shown depends on it.
    pub(super) fn looked(&mut self, answer: Result<Vec<Position>, Error>) {
        self.asked = None;
        match answer {
            Ok(ends) => self.work.ends_at(&ends),
            Err(error) => {
                tracing::debug!(group = %self.group, error = %Chain(&error),
                    "cannot tell how far the partitions go");
            }
        }
        self.work.lanes.values_mut().for_each(Lane::meter);
        self.work.looks.ended();
    }
}
