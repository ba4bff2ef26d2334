mod catch;
mod commits;
mod done;
mod events;
mod executor;
mod lane;
mod looks;
mod offsets;
mod queue;
mod scheduler;
mod settle;
mod span;
mod work;

use std::collections::VecDeque;
use std::future::{self, Future};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{self, Instant};
use tower::Service;

use self::lane::{Lane, LaneId};
use self::looks::Asked;
use self::work::{Flows, Report, Work};
use super::{Config, Status};
use crate::backoff::{Backoff, Delays};
use crate::broker::{Assignment, Commit, Delivery, Polled, Position, Start, Subscriber};
use crate::error::{BoxError, Chain, Error};
use crate::shutdown::Token;

/// When to ask the broker again after a transient error. At least every second: a member that does
/// not poll for long loses its partitions.
const BROKER_BACKOFF: Backoff =
    Backoff::exponential(Duration::from_millis(50)).cap(Duration::from_secs(1));

/// How long the last commit and leaving the group may take together: a broker that is down must not
/// hold up the end of a process.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The loop that a consumer is: it alone talks to the subscriber, executors handle the records.
pub(super) struct Runtime<S> {
    subscriber: S,
    group: Arc<str>,
    work: Work,
    /// Revoked partitions that have not been released yet.
    revoked: Vec<Assignment>,
    /// The one commit that waits for the broker's answer.
    flight: Option<Flight>,
    /// Commits to begin one after the other once it has come.
    queued: VecDeque<Vec<Owed>>,
    /// The longest metadata that the broker takes.
    max_metadata: usize,
    polling: Polling,
    /// The question that waits for the broker's answer.
    asked: Option<Asked>,
}

/// A commit, and what it stands for.
#[derive(Debug)]
struct Owed {
    lane: LaneId,
    version: u64,
    commit: Commit,
}

/// A commit on its way. Polling goes on meanwhile.
struct Flight {
    owed: Vec<Owed>,
    answer: Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>,
    /// The answer, when it came while nobody could act upon it.
    answered: Option<Result<(), Error>>,
}

#[derive(Debug)]
enum Polling {
    Ready,
    /// The broker failed; it is asked again at this time.
    Failing(Instant, Delays),
    /// The subscriber is of no use any more.
    Ended,
}

enum Wake {
    Stopped,
    Time,
    Polled(Result<Polled, Error>),
    Committed(Result<(), Error>),
    Looked(Result<Vec<Position>, Error>),
    /// What was done changes how partitions are to flow.
    Flows(Flows),
    Broken(Error),
}

impl Polling {
    /// Waits until the broker may be asked.
    async fn allowed(&self) {
        match self {
            Self::Ready => {}
            Self::Failing(until, _) => time::sleep_until(*until).await,
            Self::Ended => future::pending().await,
        }
    }
}

impl Flight {
    /// Waits for the answer. Cancel safe; to be asked for once it has come no more.
    async fn answer(&mut self) -> Result<(), Error> {
        match self.answered.take() {
            Some(answer) => answer,
            None => self.answer.as_mut().await,
        }
    }
}

impl<S: Subscriber> Runtime<S> {
    pub(super) fn new<H>(
        subscriber: S,
        handler: &H,
        group: Arc<str>,
        config: Config,
        status: Status,
    ) -> Self
    where
        H: Service<Delivery, Response = ()> + Clone + Send + 'static,
        H::Error: Into<BoxError>,
        H::Future: Send + 'static,
    {
        Self {
            max_metadata: subscriber.max_metadata(),
            work: Work::new(
                handler,
                subscriber.system(),
                Arc::clone(&group),
                config,
                status,
            ),
            subscriber,
            group,
            revoked: Vec::new(),
            flight: None,
            queued: VecDeque::new(),
            polling: Polling::Ready,
            asked: None,
        }
    }

    pub(super) async fn run(
        mut self,
        topics: Vec<Arc<str>>,
        start: Start,
        token: Token,
    ) -> Result<(), Error> {
        let joined = tokio::select! {
            joined = self.subscribe(&topics, start) => joined.map(Some),
            () = token.stopped() => Ok(None),
        };
        let result = match joined {
            Ok(Some(())) => self.consume(&token).await,
            // It is no member, which polling would only say.
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.drain().await;
        self.close().await;
        result
    }

    async fn subscribe(&mut self, topics: &[Arc<str>], start: Start) -> Result<(), Error> {
        let mut delays = BROKER_BACKOFF.delays();
        loop {
            match self.subscriber.subscribe(&self.group, topics, start).await {
                Err(error) if error.is_transient() => {
                    let delay = delays.next().unwrap_or_default();
                    tracing::warn!(group = %self.group, error = %Chain(&error), retry_in = ?delay,
                        "cannot join the group");
                    time::sleep(delay).await;
                }
                result => return result,
            }
        }
    }

    /// Works until told to stop, or until the subscriber is of no use any more.
    async fn consume(&mut self, token: &Token) -> Result<(), Error> {
        loop {
            let until = self.work.next_due();
            match self.wait(token.stopped(), until).await {
                Wake::Stopped => return Ok(()),
                wake => self.handle(wake)?,
            }
            self.settle().await;
        }
    }

    /// Lets running records finish for as long as they may. The membership is kept meanwhile.
    async fn drain(&mut self) {
        let deadline = Instant::now() + self.work.config.drain_timeout;
        self.stop_lanes(deadline);
        while !self.work.is_drained() {
            let until = self.work.next_due();
            let wake = self.wait(future::pending(), until).await;
            let result = self.handle(wake);
            if result.is_ok() {
                self.settle().await;
            }
            // What was assigned just now is left to others.
            self.stop_lanes(deadline);
            if let Err(error) = result {
                tracing::warn!(group = %self.group, error = %Chain(&error),
                    "broker failed while draining");
                return self.drain_alone(deadline).await;
            }
        }
    }

    /// The same without a broker.
    async fn drain_alone(&mut self, deadline: Instant) {
        self.polling = Polling::Ended;
        while !self.work.is_drained() {
            let wake = self.wait(future::pending(), Some(deadline)).await;
            if let Err(error) = self.handle(wake) {
                tracing::warn!(group = %self.group, error = %Chain(&error), "drains on");
            }
        }
    }

    fn stop_lanes(&mut self, deadline: Instant) {
        let lanes: Vec<_> = self.work.lanes.keys().copied().collect();
        for id in lanes {
            if self.work.stop(id, deadline)
                && let Some(lane) = self.work.lanes.get(&id)
            {
                self.subscriber.pause(&lane.assignment.partition);
            }
        }
    }

    async fn close(mut self) {
        drop(self.work.take_reports());
        // Leaving may have to wait until nobody asks any more.
        self.asked = None;
        let group = Arc::clone(&self.group);
        let lanes = self.work.lanes.values();
        let overdue = lanes.filter(|lane| !lane.is_idle()).count();
        if overdue > 0 {
            tracing::warn!(%group, overdue, "handlers did not finish in time, their records come again");
        }
        self.work.abort();
        let closed = time::timeout(CLOSE_TIMEOUT, async {
            if let Err(error) = self.commit_all().await {
                tracing::warn!(%group, error = %Chain(&error), "the last commit failed");
            }
            self.subscriber.close().await
        })
        .await;
        match closed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%group, error = %Chain(&error), "could not leave the group");
            }
            Err(_elapsed) => {
                tracing::warn!(%group, "could not commit and leave the group in time");
            }
        }
    }

    /// Waits for the next thing to act upon. A poll is given up only for something that needs the
    /// subscriber: one that was begun anew with every record that is done might never come to its end.
    async fn wait(
        &mut self,
        stopped: impl Future<Output = ()>,
        mut until: Option<Instant>,
    ) -> Wake {
        let Self {
            subscriber,
            polling,
            work,
            flight,
            asked,
            ..
        } = self;
        let queue = work.config.queue;
        let poll = async {
            polling.allowed().await;
            subscriber.poll(queue).await
        };
        let answer = async {
            match flight {
                Some(flight) => flight.answer().await,
                None => future::pending().await,
            }
        };
        let ends = answered(asked.as_mut());
        let (mut poll, mut timer) = (pin!(poll), pin!(sleep_until(until)));
        let (mut stopped, mut answer) = (pin!(stopped), pin!(answer));
        let mut ends = pin!(ends);
        loop {
            tokio::select! {
                () = &mut stopped => return Wake::Stopped,
                () = &mut timer => {
                    let now = Instant::now();
                    if work.broker_due().is_some_and(|due| due <= now) {
                        return Wake::Time;
                    }
                    // What is tried again needs no broker.
                    work.wake(now);
                    until = work.next_due();
                    timer.set(sleep_until(until));
                }
                polled = &mut poll => return Wake::Polled(polled),
                answer = &mut answer => return Wake::Committed(answer),
                answer = &mut ends => return Wake::Looked(answer),
                report = work.report() => {
                    let flows = match report {
                        Report::Ended(ended) => work.note(ended),
                        Report::Broken(error) => return Wake::Broken(error),
                    };
                    if !flows.is_empty() {
                        return Wake::Flows(flows);
                    }
                    if work.has_drained() {
                        return Wake::Time;
                    }
                }
            }
            if work.next_due() != until {
                until = work.next_due();
                timer.set(sleep_until(until));
            }
        }
    }
}

/// The broker's answer, if it was asked for anything.
async fn answered<F: Future + Unpin>(asked: Option<&mut F>) -> F::Output {
    match asked {
        Some(asked) => asked.await,
        None => future::pending().await,
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => time::sleep_until(until).await,
        None => future::pending().await,
    }
}
