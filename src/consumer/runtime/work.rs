use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tower::Service;

use super::commits::Commits;
use super::executor::{Ended, Executor, How};
use super::lane::{Flow, Lane, LaneId};
use super::looks::Looks;
use super::queue::Queue;
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
    queue: Arc<Queue>,
    next_lane: u64,
    tasks: JoinSet<()>,
    ended: UnboundedReceiver<Vec<Ended>>,
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
        // As many as can run in parallel; each has any number of records on its way.
        let parallel = Handle::current().metrics().num_workers();
        let executors = parallel.clamp(1, config.concurrency.get());
        let scheduler = Scheduler::new(config.order, config.concurrency.get());
        let queue = Arc::new(Queue::new(scheduler, executors));
        let mut tasks = JoinSet::new();
        for index in 0..executors {
            let executor = Executor {
                index,
                handler: handler.clone(),
                service: handler.clone(),
                limit: config.deadline,
                system,
                queue: Arc::clone(&queue),
                ended: report.clone(),
                asked: false,
            };
            tasks.spawn(executor.run());
        }
        Self {
            meters: Meters::new(&group),
            group,
            commits: Commits::new(config.commit_interval),
            looks: Looks::new(config.lag_interval),
            config,
            status,
            lanes: BTreeMap::new(),
            next_lane: 0,
            queue,
            tasks,
            ended,
        }
    }

    /// Waits for news of what runs.
    pub(super) async fn report(&mut self) -> Report {
        tokio::select! {
            Some(ended) = self.ended.recv() => Report::Ended(ended),
            Some(gone) = self.tasks.join_next() => Report::Broken(broken(gone)),
            // Nobody is left to report.
            else => std::future::pending().await,
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

    /// Takes in what has ended.
    pub(super) fn note(&mut self, ended: Vec<Ended>) -> Flows {
        let mut touched: Vec<LaneId> = Vec::new();
        let mut done = 0;
        for Ended { job, how } in ended {
            job.handling.reported();
            let lane = self.lanes.get_mut(&job.lane);
            if lane.is_some() && touched.last() != Some(&job.lane) {
                touched.push(job.lane);
            }
            match (how, lane) {
                (How::Done, Some(lane)) if !lane.is_abandoned() => {
                    lane.done(job.number);
                    let failures = job.retry.as_ref().map_or(0, |retry| retry.failures);
                    self.status.record_done(&lane.handling.gauge, failures);
                    done += 1;
                }
                (How::Failed(error), Some(lane)) if !lane.is_stopped() => self.failed(job, &error),
                (How::Failed(_), _) => self.queue.with(|scheduler| scheduler.settled(&job)),
                (How::Done | How::Cancelled, _) => {}
            }
        }
        if done > 0 {
            self.commits.records_done(done);
            self.meters.done(done);
        }
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
        self.status.attempt_failed(&job.handling.gauge);
        self.meters.attempt_failed();
        tracing::warn!(
            group = %self.group,
            position = %job.delivery.position(),
            attempts = retry.failures,
            error = %Chain(&**error),
            retry_in = ?delay,
            "handler failed, its key waits"
        );
        let until = Instant::now() + delay;
        self.queue.with(|scheduler| scheduler.hold(job, until));
    }

    /// Lets go on what has waited until now.
    pub(super) fn wake(&mut self, now: Instant) {
        self.queue.with(|scheduler| scheduler.wake(now));
    }

    /// When something is to be done without any news.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let broker = self.broker_due().into_iter();
        broker
            .chain(self.queue.with(|scheduler| scheduler.next_due()))
            .min()
    }

    /// When the broker is to be told something without any news.
    pub(super) fn broker_due(&self) -> Option<Instant> {
        let lanes = self.lanes.values().filter_map(Lane::deadline);
        lanes
            .chain(self.commits.due())
            .chain(self.looks.due())
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
        let mut begun = Vec::with_capacity(records.len());
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
                self.status.record_done(&lane.handling.gauge, 0);
                self.commits.records_done(1);
                self.meters.done(1);
            } else {
                let due = due(&delivery);
                begun.push((id, Arc::clone(&lane.handling), number, delivery, due));
            }
        }
        self.queue.with(|scheduler| {
            for (id, handling, number, delivery, due) in begun {
                scheduler.push((id, handling), number, delivery, due);
            }
        });
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
        self.queue.forget(id);
        true
    }

    /// Forgets a lane, and cancels what runs of it.
    pub(super) fn remove(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.remove(&id) {
            self.status.unassigned(&lane.assignment);
        }
        self.queue.forget(id);
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
