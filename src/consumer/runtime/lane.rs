use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::progress::{Flow, Progress};
use crate::broker::Received;
use crate::consumer::status::Gauge;
use crate::shutdown::Shutdown;

/// The consumer's side of one assignment and its worker. Dropping it aborts the worker.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) progress: Progress,
    queue: UnboundedSender<Received>,
    gauge: Arc<Gauge>,
    stop: Shutdown,
    worker: AbortHandle,
    /// Set once the worker was told to stop: when it is stopped the hard way.
    deadline: Option<Instant>,
}

impl Lane {
    pub(super) fn new(
        queue: UnboundedSender<Received>,
        gauge: Arc<Gauge>,
        stop: Shutdown,
        worker: AbortHandle,
    ) -> Self {
        Self {
            progress: Progress::default(),
            queue,
            gauge,
            stop,
            worker,
            deadline: None,
        }
    }

    /// Hands a record to the worker. A lane that was stopped takes none: the record comes again to
    /// whoever owns the partition next.
    pub(super) fn push(&mut self, received: Received) {
        if self.deadline.is_some() {
            return;
        }
        self.progress.queued();
        self.gauge.queued();
        // A worker that ended untold ends the consumer, so nothing is lost here.
        drop(self.queue.send(received));
    }

    /// How the partition is to flow from now on, if otherwise than before. One that was stopped stays
    /// paused.
    pub(super) fn flow(&mut self, queue: NonZeroUsize) -> Option<Flow> {
        if self.is_stopped() {
            return None;
        }
        self.progress.flow(queue)
    }

    /// Lets the running record finish until `deadline`, and none begin. The first call decides.
    pub(super) fn stop(&mut self, deadline: Instant) {
        self.stop.trigger();
        self.deadline.get_or_insert(deadline);
    }

    /// When it is stopped the hard way, if it was told to stop.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.deadline.is_some()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.worker.is_finished()
    }

    /// Whether the worker has ended or had all its time.
    pub(super) fn is_drained(&self, now: Instant) -> bool {
        self.is_finished() || self.is_overdue(now)
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.worker.abort();
    }
}
