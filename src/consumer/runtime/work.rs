use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tower::Service;

use super::commits::Commits;
use super::executor::{Ended, Executor, How, Start};
use super::lane::{Flow, Lane, LaneId};
use super::looks::Looks;
use super::scheduler::{Job, Retry, Scheduler};
use crate::broker::{
    Assigned, Assignment, Delivery, Position, REDRIVE_GROUP, RETRY_DUE, Received, TopicPartition,
};
use crate::clock::{Clock, SystemClock, after};
use crate::consumer::meters::Meters;
use crate::consumer::{Config, Status};
use crate::error::{BoxError, Chain, Error, Kind, rejected};

/// Everything that has to do with records: those in hand, who handles them, and what is done.
///
/// It knows nothing of the subscriber, so that records flow while a poll waits.
#[derive(Debug)]
pub(super) struct Work {
    group: Arc<str>,
    pub(super) config: Config,
    pub(super) status: Status,
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    pub(super) commits: Commits,
    pub(super) looks: Looks,
    pub(super) meters: Meters,
    scheduler: Scheduler,
    next_lane: u64,
    executors: Vec<UnboundedSender<Vec<Start>>>,
    tasks: JoinSet<()>,
    ended: UnboundedReceiver<Vec<Ended>>,
    turn: usize,
    /// What goes to each executor next; empty between two turns.
    batches: Vec<Vec<Start>>,
}

/// What became of some work.
#[derive(Debug)]
pub(super) enum Report {
    Ended(Vec<Ended>),
    /// An executor is gone, which it never is by itself.
    Broken(Error),
}

/// How partitions are to flow from now on.
pub(super) type Flows = Vec<(TopicPartition, Flow)>;

impl Work {
    pub(super) fn new<H>(
        handler: &H,
        system: &'static str,
        group: Arc<str>,
        config: Config,
        status: Status,
    ) -> Self
    where
        H: Service<Delivery, Response = ()> + Clone + Send + 'static,
        H::Error: Into<BoxError>,
        H::Future: Send + 'static,
    {
        let (report, ended) = mpsc::unbounded_channel();
        let (mut executors, mut tasks) = (Vec::new(), JoinSet::new());
        // As many as can run in parallel; each has any number of records on its way.
        let parallel = Handle::current().metrics().num_workers();
        for _ in 0..parallel.clamp(1, config.concurrency.get()) {
            let (start, jobs) = mpsc::unbounded_channel();
            let executor = Executor {
                handler: handler.clone(),
                service: handler.clone(),
                limit: config.deadline,
                system,
                jobs,
                ended: report.clone(),
            };
            tasks.spawn(executor.run());
            executors.push(start);
        }
        Self {
            meters: Meters::new(&group),
            group,
            scheduler: Scheduler::new(config.order, config.concurrency.get()),
            commits: Commits::new(config.commit_interval),
            looks: Looks::new(config.lag_interval),
            config,
            status,
            lanes: BTreeMap::new(),
            next_lane: 0,
            batches: executors.iter().map(|_| Vec::new()).collect(),
            executors,
            tasks,
            ended,
            turn: 0,
        }
    }

    /// Waits for news of what runs.
    pub(super) async fn report(&mut self) -> Report {
        tokio::select! {
            Some(ended) = self.ended.recv() => Report::Ended(ended),
            Some(gone) = self.tasks.join_next() => Report::Broken(broken(gone)),
        }
    }

    /// Takes in all that was reported so far.
    pub(super) fn take_reports(&mut self) -> Flows {
        let mut flows = Flows::new();
        while let Ok(ended) = self.ended.try_recv() {
            flows.extend(self.note(ended));
        }
        flows
    }

    /// Takes in what has ended, and lets go on what waited for it.
    pub(super) fn note(&mut self, ended: Vec<Ended>) -> Flows {
        let mut touched: Vec<LaneId> = Vec::new();
        let mut done = 0;
        for Ended { job, how } in ended {
            let lane = self.lanes.get_mut(&job.lane);
            if let Some(lane) = lane {
                lane.returned();
                if touched.last() != Some(&job.lane) {
                    touched.push(job.lane);
                }
                match how {
                    How::Done => {
                        lane.done(job.number);
                        let failures = job.retry.as_ref().map_or(0, |retry| retry.failures);
                        self.status.record_done(&lane.gauge, failures);
                        done += 1;
                    }
                    How::Failed(error) if !lane.is_stopped() => {
                        self.failed(job, &error);
                        continue;
                    }
                    How::Failed(_) | How::Cancelled => {}
                }
            }
            self.scheduler.ended(&job);
        }
        if done > 0 {
            self.commits.records_done(done);
            self.meters.done(done);
        }
        self.dispatch();
        self.flows(touched)
    }

    /// Lets a record that failed wait for its next attempt.
    fn failed(&mut self, mut job: Job, error: &BoxError) {
        let backoff = self.config.backoff;
        let retry = job.retry.get_or_insert_with(|| {
            Box::new(Retry {
                delays: backoff.delays(),
                failures: 0,
            })
        });
        retry.failures += 1;
        let delay = retry
            .delays
            .next()
            .unwrap_or_default()
            .max(retry_after(error));
        if let Some(lane) = self.lanes.get(&job.lane) {
            self.status.attempt_failed(&lane.gauge);
            self.meters.attempt_failed();
        }
        tracing::warn!(
            group = %self.group,
            position = %job.delivery.position(),
            attempts = retry.failures,
            error = %Chain(&**error),
            retry_in = ?delay,
            "handler failed, its key waits"
        );
        self.scheduler.hold(job, Instant::now() + delay);
    }

    /// Lets go on what has waited until now.
    pub(super) fn wake(&mut self, now: Instant) {
        self.scheduler.wake(now);
        self.dispatch();
    }

    /// When something is to be done without any news.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let lanes = self.lanes.values().filter_map(Lane::deadline);
        lanes
            .chain(self.commits.due())
            .chain(self.looks.due())
            .chain(self.scheduler.next_due())
            .min()
    }

    pub(super) fn assign(&mut self, assigned: Assigned) {
        let gauge = self.status.assigned(&assigned.assignment);
        let lane = LaneId(self.next_lane);
        self.next_lane += 1;
        let meters = self.meters.assigned(&assigned.assignment.partition);
        let mut new = Lane::new(assigned, gauge, meters);
        new.show();
        self.lanes.insert(lane, new);
        self.looks.soon();
    }

    /// The partitions go as far as `ends` say.
    pub(super) fn ends_at(&mut self, ends: &[Position]) {
        for lane in self.lanes.values_mut() {
            let mut ends = ends.iter();
            if let Some(end) = ends.find(|end| end.partition == lane.assignment.partition) {
                lane.ends_at(end.offset);
                lane.show();
            }
        }
    }

    /// Takes in records, and begins with those that can begin.
    pub(super) fn push(&mut self, records: Vec<Received>) -> Flows {
        let mut touched: Vec<LaneId> = Vec::new();
        let now = Instant::now();
        for received in records {
            let last = touched.last().copied();
            let Some(id) = self.lane_of(last, &received) else {
                continue;
            };
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            if last != Some(id) {
                touched.push(id);
                lane.receiving(now);
            }
            let Some(number) = lane.begin(received.position.offset) else {
                if lane.is_dirty() {
                    self.commits.records_done(1);
                }
                continue;
            };
            let delivery = Delivery::new(Arc::clone(&self.group), received);
            if is_for_another_group(&delivery) {
                lane.done(number);
                self.status.record_done(&lane.gauge, 0);
                self.commits.records_done(1);
                self.meters.done(1);
            } else {
                let due = due(&delivery);
                self.scheduler.push(id, number, delivery, due);
            }
        }
        self.dispatch();
        self.flows(touched)
    }

    /// The lane of a record; most often that of the one before.
    fn lane_of(&self, last: Option<LaneId>, received: &Received) -> Option<LaneId> {
        let fits = |lane: &Lane| {
            let Assignment {
                partition, epoch, ..
            } = &lane.assignment;
            *epoch == received.epoch && *partition == received.position.partition
        };
        let last = last.filter(|last| self.lanes.get(last).is_some_and(fits));
        last.or_else(|| self.find(&received.assignment()))
    }

    pub(super) fn find(&self, assignment: &Assignment) -> Option<LaneId> {
        let mut lanes = self.lanes.iter();
        let found = lanes.find(|(_, lane)| lane.assignment == *assignment);
        found.map(|(id, _)| *id)
    }

    pub(super) fn lane(&self, assignment: &Assignment) -> Option<&Lane> {
        self.lanes.get(&self.find(assignment)?)
    }

    /// Begins no more records of a lane; says whether that is new.
    pub(super) fn stop(&mut self, id: LaneId, deadline: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| !lane.is_stopped()) else {
            return false;
        };
        lane.stop(deadline);
        self.scheduler.forget(id);
        true
    }

    /// Forgets a lane, and cancels what runs of it.
    pub(super) fn remove(&mut self, id: LaneId) {
        self.scheduler.forget(id);
        if let Some(lane) = self.lanes.remove(&id) {
            self.status.unassigned(&lane.assignment);
        }
    }

    /// Whether a lane that was stopped has nothing running any more.
    pub(super) fn has_drained(&self) -> bool {
        let mut lanes = self.lanes.values();
        lanes.any(|lane| lane.is_stopped() && lane.is_idle())
    }

    pub(super) fn is_drained(&self) -> bool {
        let now = Instant::now();
        self.lanes.values().all(|lane| lane.is_drained(now))
    }

    /// Cancels everything that runs.
    pub(super) fn abort(&mut self) {
        self.tasks.abort_all();
    }

    /// Hands what may run to the executors, to each in turn.
    fn dispatch(&mut self) {
        while let Some(job) = self.scheduler.next() {
            // Nothing of a lane that is gone is ever ready.
            let Some(lane) = self.lanes.get_mut(&job.lane) else {
                self.scheduler.ended(&job);
                continue;
            };
            lane.started();
            let cancelled = lane.cancelled();
            self.turn = (self.turn + 1) % self.batches.len();
            self.batches[self.turn].push(Start { job, cancelled });
        }
        for (executor, batch) in self.executors.iter().zip(&mut self.batches) {
            if !batch.is_empty() {
                // An executor that is gone ends the consumer, so nothing is lost here.
                drop(executor.send(std::mem::take(batch)));
            }
        }
    }

    fn flows(&mut self, lanes: Vec<LaneId>) -> Flows {
        let mut flows = Flows::new();
        for id in lanes {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            if let Some(flow) = lane.flow(&self.config) {
                flows.push((lane.assignment.partition.clone(), flow));
            }
            lane.show();
        }
        flows
    }
}

fn broken(gone: Result<(), JoinError>) -> Error {
    let error = Error::new(Kind::Other, "consumer", "run")
        .with_detail("an executor panicked outside its handler");
    match gone {
        Ok(()) => error,
        Err(panicked) => error.with_source(panicked),
    }
}

/// A letter that was redriven for one group has been handled by the others already.
fn is_for_another_group(delivery: &Delivery) -> bool {
    let addressee = delivery.record().headers.last(REDRIVE_GROUP);
    addressee.is_some_and(|group| group != delivery.group().as_bytes())
}

/// When the record is to be handled at the earliest, if it is not yet. What cannot be read says nothing.
fn due(delivery: &Delivery) -> Option<Instant> {
    let millis = delivery.record().headers.text(RETRY_DUE)?.parse().ok()?;
    let due = DateTime::from_timestamp_millis(millis)?;
    let wait = (due - SystemClock.now()).to_std().ok()?;
    Some(after(Instant::now(), wait))
}

/// When a pattern inside the handler says it makes sense to try again.
fn retry_after(error: &BoxError) -> Duration {
    rejected(error)
        .and_then(crate::error::Rejected::retry_after)
        .unwrap_or_default()
}
