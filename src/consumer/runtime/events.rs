use tokio::time::Instant;

use super::lane::Flow;
use super::work::Flows;
use super::{BROKER_BACKOFF, Polling, Runtime, Wake};
use crate::broker::{Polled, Subscriber};
use crate::error::{Chain, Error};

/// What happened, and what follows from it without waiting for anything.
impl<S: Subscriber> Runtime<S> {
    pub(super) fn handle(&mut self, wake: Wake) -> Result<(), Error> {
        match wake {
            Wake::Stopped => {}
            Wake::Time => self.work.wake(Instant::now()),
            Wake::Flows(flows) => self.set_flows(flows),
            Wake::Committed(answer) => return self.commit_answered(answer),
            Wake::Looked(answer) => self.looked(answer),
            Wake::Broken(error) => return Err(error),
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
                    if self.work.find(&assigned.assignment).is_some() {
                        continue;
                    }
                    let partition = &assigned.assignment.partition;
                    // A pause belongs to the assignment in which it was asked for.
                    self.subscriber.resume(partition);
                    tracing::debug!(group = %self.group, %partition, "assigned");
                    self.work.assign(assigned);
                }
            }
            Polled::Records(records) => {
                let flows = self.work.push(records);
                self.set_flows(flows);
            }
            Polled::Revoking(assignments) => {
                let deadline = Instant::now() + self.work.config.drain_timeout;
                for assignment in &assignments {
                    if let Some(lane) = self.work.find(assignment) {
                        self.work.stop(lane, deadline);
                    }
                }
                tracing::info!(group = %self.group, partitions = assignments.len(), "revoking");
                self.work.meters.revoked(assignments.len());
                self.revoked.extend(assignments);
            }
            Polled::Lost(assignments) => {
                tracing::warn!(group = %self.group, partitions = assignments.len(), "partitions lost");
                self.work.meters.lost(assignments.len());
                for assignment in &assignments {
                    if let Some(lane) = self.work.find(assignment) {
                        self.work.remove(lane);
                    }
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

    pub(super) fn set_flows(&mut self, flows: Flows) {
        for (partition, flow) in flows {
            match flow {
                Flow::Pause => self.subscriber.pause(&partition),
                Flow::Resume => self.subscriber.resume(&partition),
            }
        }
    }
}
