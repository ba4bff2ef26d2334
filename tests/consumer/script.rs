//! A subscriber that follows a script, and handlers that do as they are told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bowline::Error;
use bowline::broker::{
    Assigned, Assignment, Commit, Committed, Delivery, Polled, Position, Received, Record, Start,
    Subscriber, TopicPartition,
};
use bowline::consumer::{Builder, Consumer, Order, Status};
use bowline::error::{BoxError, Kind};
use bowline::message::Message;
use bowline::shutdown::Shutdown;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time;
use tower::Service;

pub(crate) const GROUP: &str = "notifications";
pub(crate) const TOPIC: &str = "tasks";

/// What the consumer asked of its subscriber, polls aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Partition, epoch, next offset; by partition.
    Commit(Vec<(u32, u64, u64)>),
    Release(Vec<(u32, u64)>),
    Pause(u32),
    Close,
}

#[derive(Debug, Default)]
struct State {
    steps: VecDeque<Result<Polled, Error>>,
    owned: BTreeMap<TopicPartition, u64>,
    committed: BTreeMap<u32, Committed>,
    paused: BTreeSet<TopicPartition>,
    commit_errors: VecDeque<Error>,
    /// Commits wait for it, if there is one.
    commits_held: Option<Arc<Notify>>,
    /// How long a poll takes; one that is dropped begins anew.
    poll_takes: Duration,
    /// Commits and releases are made one after the other, if there is one.
    writer: Option<Arc<Writer>>,
    subscribe_errors: VecDeque<Error>,
    ends: BTreeMap<u32, u64>,
    /// Ends wait for it, if there is one.
    ends_held: Option<Arc<Notify>>,
    ends_fail: VecDeque<Error>,
    asked: usize,
    calls: Vec<Call>,
    polls: usize,
}

/// The one connection of a back-end, and how long a commit takes on it.
type Writer = (tokio::sync::Mutex<()>, Duration);

/// The test's side: what the broker does next, and what the consumer did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Arc<(Mutex<State>, Notify)>);

/// The consumer's side.
#[derive(Debug)]
pub(crate) struct Scripted(Script);

impl Script {
    pub(crate) fn subscriber(&self) -> Scripted {
        Scripted(self.clone())
    }

    pub(crate) fn assign(&self, partitions: &[(u32, u64)]) {
        let assignments = assignments(partitions);
        let mut state = self.state();
        for Assignment {
            partition, epoch, ..
        } in &assignments
        {
            state.owned.insert(partition.clone(), *epoch);
        }
        let assigned = assignments.into_iter().map(|one| Assigned::new(one, None));
        state
            .steps
            .push_back(Ok(Polled::Assigned(assigned.collect())));
        drop(state);
        self.0.1.notify_one();
    }

    /// As [`assign`](Self::assign), where the group had come as far as `committed`.
    pub(crate) fn assign_at(&self, partition: u32, epoch: u64, committed: Committed) {
        let assignment = Assignment::new(at(partition), epoch);
        self.state().owned.insert(at(partition), epoch);
        let assigned = Assigned::new(assignment, Some(committed));
        self.step(Ok(Polled::Assigned(vec![assigned])));
    }

    pub(crate) fn revoke(&self, partitions: &[(u32, u64)]) {
        self.step(Ok(Polled::Revoking(assignments(partitions))));
    }

    /// The broker gives the partitions to somebody else now; the consumer hears of it at a poll.
    pub(crate) fn lose(&self, partitions: &[(u32, u64)]) {
        self.take_away(partitions);
        self.step(Ok(Polled::Lost(assignments(partitions))));
    }

    /// The same, but the consumer has not heard of it yet.
    pub(crate) fn take_away(&self, partitions: &[(u32, u64)]) {
        for (partition, _) in partitions {
            self.state().owned.remove(&at(*partition));
        }
    }

    pub(crate) fn records(
        &self,
        partition: u32,
        epoch: u64,
        offsets: impl IntoIterator<Item = u64>,
    ) {
        for offset in offsets {
            let record = Record::from_message(TOPIC, &Message::new("task.created", "{}")).unwrap();
            self.record(partition, epoch, offset, record);
        }
    }

    pub(crate) fn record(&self, partition: u32, epoch: u64, offset: u64, record: Record) {
        let position = Position::new(at(partition), offset);
        let received = Received::new(record, position, epoch);
        self.step(Ok(Polled::Records(vec![received])));
    }

    pub(crate) fn fail_poll(&self, kind: Kind) {
        self.step(Err(Error::new(kind, "script", "poll")));
    }

    /// Leaves commits without an answer until the returned one is notified.
    pub(crate) fn hold_commits(&self) -> Arc<Notify> {
        let held = Arc::new(Notify::new());
        self.state().commits_held = Some(Arc::clone(&held));
        held
    }

    /// From now on a poll takes as long as this.
    pub(crate) fn poll_slowly(&self, takes: Duration) {
        self.state().poll_takes = takes;
    }

    /// From now on the broker does one thing at a time, and a commit takes as long as this.
    pub(crate) fn one_at_a_time(&self, commit: Duration) {
        self.state().writer = Some(Arc::new((tokio::sync::Mutex::default(), commit)));
    }

    pub(crate) fn fail_commit(&self, kind: Kind) {
        let error = Error::new(kind, "script", "commit");
        self.state().commit_errors.push_back(error);
    }

    pub(crate) fn fail_subscribe(&self, kind: Kind) {
        let error = Error::new(kind, "script", "subscribe");
        self.state().subscribe_errors.push_back(error);
    }

    /// Where the next record of a partition will stand.
    pub(crate) fn end(&self, partition: u32, offset: u64) {
        self.state().ends.insert(partition, offset);
    }

    /// Leaves questions for ends without an answer until the returned one is notified.
    pub(crate) fn hold_ends(&self) -> Arc<Notify> {
        let held = Arc::new(Notify::new());
        self.state().ends_held = Some(Arc::clone(&held));
        held
    }

    pub(crate) fn fail_ends(&self, kind: Kind) {
        let error = Error::new(kind, "script", "ends");
        self.state().ends_fail.push_back(error);
    }

    /// How often the consumer has asked for ends.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub(crate) fn commits(&self) -> Vec<Vec<(u32, u64, u64)>> {
        let calls = self.calls().into_iter();
        calls
            .filter_map(|call| match call {
                Call::Commit(next) => Some(next),
                _ => None,
            })
            .collect()
    }

    /// What was committed last for a partition.
    pub(crate) fn committed(&self, partition: u32) -> Option<Committed> {
        self.state().committed.get(&partition).cloned()
    }

    pub(crate) fn is_paused(&self, partition: u32) -> bool {
        self.state().paused.contains(&at(partition))
    }

    /// How many steps of the script the consumer has not come to.
    pub(crate) fn left(&self) -> usize {
        self.state().steps.len()
    }

    pub(crate) fn polls(&self) -> usize {
        self.state().polls
    }

    fn step(&self, step: Result<Polled, Error>) {
        self.state().steps.push_back(step);
        self.0.1.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }
}

impl State {
    /// The next step that the consumer may see: records of a paused partition wait for it.
    fn next(&mut self) -> Option<Result<Polled, Error>> {
        self.polls += 1;
        let index = self.steps.iter().position(|step| match step {
            Ok(Polled::Records(records)) => records
                .iter()
                .all(|one| !self.paused.contains(&one.position.partition)),
            _ => true,
        })?;
        self.steps.remove(index)
    }

    fn owns(&self, assignment: &Assignment) -> bool {
        self.owned.get(&assignment.partition) == Some(&assignment.epoch)
    }
}

impl Scripted {
    fn committed(&self, commits: &[Commit]) -> Result<(), Error> {
        let mut state = self.0.state();
        if let Some(error) = state.commit_errors.pop_front() {
            return Err(error);
        }
        if commits.iter().any(|one| !state.owns(&one.assignment)) {
            return Err(Error::new(Kind::Fenced, "script", "commit"));
        }
        let latest: Vec<_> = commits
            .iter()
            .map(|one| {
                let partition = one.assignment.partition.partition;
                (partition, one.committed.clone())
            })
            .collect();
        let mut commits: Vec<_> = commits
            .iter()
            .map(|one| {
                let Assignment {
                    partition, epoch, ..
                } = &one.assignment;
                (partition.partition, *epoch, one.committed.next)
            })
            .collect();
        commits.sort_unstable();
        state.calls.push(Call::Commit(commits));
        state.committed.extend(latest);
        Ok(())
    }
}

impl Subscriber for Scripted {
    async fn subscribe(&mut self, _: &str, _: &[Arc<str>], _: Start) -> Result<(), Error> {
        let error = self.0.state().subscribe_errors.pop_front();
        error.map_or(Ok(()), Err)
    }

    async fn poll(&mut self, _: NonZeroUsize) -> Result<Polled, Error> {
        let takes = self.0.state().poll_takes;
        if !takes.is_zero() {
            time::sleep(takes).await;
        }
        loop {
            if let Some(step) = self.0.state().next() {
                return step;
            }
            self.0.0.1.notified().await;
        }
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let answered = self.0.state().commits_held.clone();
        let writer = self.0.state().writer.clone();
        let committed = writer.is_none().then(|| self.committed(commits));
        let (later, commits) = (Self(self.0.clone()), commits.to_vec());
        async move {
            if let Some(writer) = writer {
                let _held = writer.0.lock().await;
                time::sleep(writer.1).await;
                return later.committed(&commits);
            }
            if let Some(answered) = answered {
                answered.notified().await;
            }
            committed.unwrap_or(Ok(()))
        }
    }

    fn max_metadata(&self) -> usize {
        4096
    }

    fn system(&self) -> &'static str {
        "script"
    }

    fn ends(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send + use<> {
        let mut state = self.0.state();
        state.asked += 1;
        let ends = state.ends_fail.pop_front().map_or(Ok(()), Err).map(|()| {
            let ends = partitions.iter().filter_map(|one| {
                let end = state.ends.get(&one.partition)?;
                Some(Position::new(one.clone(), *end))
            });
            ends.collect()
        });
        let answered = state.ends_held.clone();
        async move {
            if let Some(answered) = answered {
                answered.notified().await;
            }
            ends
        }
    }

    async fn release(&mut self, partitions: &[Assignment]) -> Result<(), Error> {
        let writer = self.0.state().writer.clone();
        let _held = match &writer {
            Some(writer) => Some(writer.0.lock().await),
            None => None,
        };
        let mut state = self.0.state();
        for one in partitions {
            state.owned.remove(&one.partition);
        }
        let released = partitions
            .iter()
            .map(|one| (one.partition.partition, one.epoch));
        state.calls.push(Call::Release(released.collect()));
        Ok(())
    }

    fn pause(&mut self, partition: &TopicPartition) {
        let mut state = self.0.state();
        state.paused.insert(partition.clone());
        state.calls.push(Call::Pause(partition.partition));
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.0.state().paused.remove(partition);
    }

    async fn seek(&mut self, _: &Assignment, _: u64) -> Result<(), Error> {
        unimplemented!("the consumer does not seek")
    }

    async fn close(self) -> Result<(), Error> {
        self.0.state().calls.push(Call::Close);
        Ok(())
    }
}

/// A consumer that runs.
pub(crate) struct Running {
    pub(crate) status: Status,
    pub(crate) shutdown: Shutdown,
    pub(crate) ended: JoinHandle<Result<(), Error>>,
}

/// Runs a consumer of `script`, in order per partition, with a queue of 4 records and a drain timeout
/// of 10 s.
pub(crate) fn run<H>(script: &Script, handler: H) -> Running
where
    H: Service<Delivery, Response = ()> + Clone + Send + 'static,
    H::Error: Into<BoxError>,
    H::Future: Send + 'static,
{
    run_with(script, handler, |builder| {
        builder
            .with_order(Order::Partition)
            .with_queue(NonZeroUsize::new(4).unwrap())
            .with_drain_timeout(Duration::from_secs(10))
    })
}

/// Runs a consumer of `script` as `set` says.
pub(crate) fn run_with<H>(
    script: &Script,
    handler: H,
    set: impl FnOnce(Builder<Scripted, H>) -> Builder<Scripted, H>,
) -> Running
where
    H: Service<Delivery, Response = ()> + Clone + Send + 'static,
    H::Error: Into<BoxError>,
    H::Future: Send + 'static,
{
    let shutdown = Shutdown::new();
    let builder = Consumer::builder(script.subscriber(), handler)
        .group(GROUP)
        .topics([TOPIC]);
    let consumer = set(builder).build().unwrap();
    Running {
        status: consumer.status(),
        ended: tokio::spawn(consumer.run(shutdown.token())),
        shutdown,
    }
}

/// Partition and offset of every attempt that began, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<Vec<(u32, u64)>>>);

impl Attempts {
    pub(crate) fn list(&self) -> Vec<(u32, u64)> {
        self.0.lock().unwrap().clone()
    }

    /// A handler that notes each attempt and then does what `then` says, given partition, offset and
    /// how many attempts of the record there were before.
    pub(crate) fn handler<F, Fut>(
        &self,
        then: F,
    ) -> impl Service<Delivery, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static
    where
        F: Fn(u32, u64, usize) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let attempts = self.clone();
        tower::service_fn(move |delivery: Delivery| {
            let position = delivery.position();
            let this = (position.partition.partition, position.offset);
            let mut attempts = attempts.0.lock().unwrap();
            let before = attempts.iter().filter(|one| **one == this).count();
            attempts.push(this);
            drop(attempts);
            then(this.0, this.1, before)
        })
    }
}

/// Lets everything happen that can happen within a millisecond.
pub(crate) async fn soon() {
    time::sleep(Duration::from_millis(1)).await;
}

pub(crate) async fn secs(seconds: u64) {
    time::sleep(Duration::from_secs(seconds)).await;
}

pub(crate) fn at(partition: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

fn assignments(partitions: &[(u32, u64)]) -> Vec<Assignment> {
    partitions
        .iter()
        .map(|(partition, epoch)| Assignment::new(at(*partition), *epoch))
        .collect()
}
