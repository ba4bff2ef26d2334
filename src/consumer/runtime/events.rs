use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::Service;

use super::lane::Lane;
use super::progress::Flow;
use super::worker::Worker;
use super::{BROKER_BACKOFF, Polling, Runtime, Wake, note};
use crate::broker::{Assignment, Delivery, Polled, Received, Subscriber, TopicPartition};
use crate::error::{BoxError, Chain, Error, Kind};
use crate::shutdown::Shutdown;

/// What happened, and what follows from it without waiting for anything.
impl<S, H> Runtime<S, H>
where
    S: Subscriber,
    H: Service<Delivery, Response = ()> + Clone + Send + 'static,
    H::Error: Into<BoxError>,
    H::Future: Send + 'static,
{
    pub(super) fn handle(&mut self, wake: Wake) -> Result<(), Error> {
        match wake {
            Wake::Stopped | Wake::Time => {}
            Wake::Flow(assignment, flow) => self.set_flow(&assignment.partition, flow),
            Wake::Committed(answer) => return self.commit_answered(answer),
            Wake::Ended(Ok(())) => {}
            Wake::Ended(Err(ended)) if ended.is_cancelled() => {}
            Wake::Ended(Err(ended)) => {
                return Err(Error::new(Kind::Other, "consumer", "run")
                    .with_detail("a worker panicked outside its handler")
                    .with_source(ended));
            }
            Wake::Polled(Ok(polled)) => {
                self.polling = Polling::Ready;
                self.polled(polled);
            }
            Wake::Polled(Err(error)) if error.is_transient() => self.poll_failed(&error),
            Wake::Polled(Err(error)) => {
                self.polling = Polling::Ended;
                return Err(error);
            }
        }
        Ok(())
    }

    fn polled(&mut self, polled: Polled) {
        match polled {
            Polled::Assigned(assigned) => {
                for assigned in assigned {
                    self.assign(assigned.assignment);
                }
            }
            Polled::Records(records) => {
                for received in records {
                    self.push(received);
                }
            }
            Polled::Revoking(assignments) => {
                let deadline = Instant::now() + self.config.drain_timeout;
                for assignment in &assignments {
                    if let Some(lane) = self.lanes.get_mut(assignment) {
                        lane.stop(deadline);
                    }
                }
                tracing::info!(group = %self.group, partitions = assignments.len(), "revoking");
                self.revoked.extend(assignments);
            }
            Polled::Lost(assignments) => {
                tracing::warn!(group = %self.group, partitions = assignments.len(), "partitions lost");
                for assignment in &assignments {
                    self.remove(assignment);
                }
                self.revoked
                    .retain(|revoked| !assignments.contains(revoked));
            }
        }
    }

    fn poll_failed(&mut self, error: &Error) {
        let mut delays = match std::mem::replace(&mut self.polling, Polling::Ready) {
            Polling::Failing(_, delays) => delays,
            Polling::Ready | Polling::Ended => BROKER_BACKOFF.delays(),
        };
        let delay = delays.next().unwrap_or_default();
        tracing::warn!(group = %self.group, error = %Chain(error), retry_in = ?delay, "cannot poll");
        self.polling = Polling::Failing(Instant::now() + delay, delays);
    }

    fn assign(&mut self, assignment: Assignment) {
        if self.lanes.contains_key(&assignment) {
            return;
        }
        let (queue, records) = mpsc::unbounded_channel();
        let stop = Shutdown::new();
        let gauge = self.status.assigned(&assignment);
        let worker = Worker {
            group: Arc::clone(&self.group),
            assignment: assignment.clone(),
            handler: self.handler.clone(),
            service: self.handler.clone(),
            queue: records,
            done: self.report.clone(),
            backoff: self.config.backoff,
            status: self.status.clone(),
            gauge: Arc::clone(&gauge),
            stop: stop.token(),
        };
        let worker = self.workers.spawn(worker.run());
        // A pause belongs to the assignment in which it was asked for.
        self.subscriber.resume(&assignment.partition);
        tracing::debug!(group = %self.group, partition = %assignment.partition, "assigned");
        self.lanes
            .insert(assignment, Lane::new(queue, gauge, stop, worker));
    }

    fn push(&mut self, received: Received) {
        let assignment = received.assignment();
        if let Some(lane) = self.lanes.get_mut(&assignment) {
            lane.push(received);
            self.regulate(&assignment);
        }
    }

    fn regulate(&mut self, assignment: &Assignment) {
        let lane = self.lanes.get_mut(assignment);
        if let Some(flow) = lane.and_then(|lane| lane.flow(self.config.queue)) {
            self.set_flow(&assignment.partition, flow);
        }
    }

    fn set_flow(&mut self, partition: &TopicPartition, flow: Flow) {
        match flow {
            Flow::Pause => self.subscriber.pause(partition),
            Flow::Resume => self.subscriber.resume(partition),
        }
    }

    pub(super) fn take_reports(&mut self) {
        while let Ok(done) = self.reports.try_recv() {
            let flow = note(&mut self.lanes, &mut self.commits, self.config.queue, &done);
            if let Some(flow) = flow {
                self.set_flow(&done.assignment.partition, flow);
            }
        }
    }

    pub(super) fn remove(&mut self, assignment: &Assignment) {
        self.lanes.remove(assignment);
        self.status.unassigned(assignment);
    }
}
