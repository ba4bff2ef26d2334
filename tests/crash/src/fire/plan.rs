use std::collections::HashSet;
use std::future::{Future, pending, poll_fn};
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bowline::broker::{Appended, PublishError, Publisher, Record};
use bowline::error::{Error, Kind};
use bowline::outbox::{
    EntryId, Halted, Lease, Parked, Position, Progress, Settled, Status, Store, Window,
};
use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::History;

/// What a relay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum Call {
    /// Takes or renews its lease.
    Lease,
    /// Reads the log.
    Read,
    /// Reads what waits aside.
    SetAside,
    /// Publishes a window.
    Publish,
    /// Writes the cursor.
    Settle,
    /// Empties parts of the log.
    Tidy,
}

/// At which moment of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum When {
    /// Before it has done anything.
    Before,
    /// In the middle.
    During,
    /// When all is done, and nobody knows.
    After,
}

/// A call, and a moment of it.
pub type Failpoint = (Call, When);

/// What happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum Blow {
    /// The relay is no more.
    Die,
    /// It stands still past its lease, and goes on.
    Freeze,
    /// The call fails.
    Fail,
}

/// The one blow that meets one life of a relay. Clones share it.
#[derive(Debug, Clone)]
pub struct Plan(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    point: Failpoint,
    blow: Blow,
    /// How many calls go by before, and how many polls of the one that is struck in the middle.
    left: AtomicU32,
    polls: u32,
    armed: AtomicBool,
    /// In which epoch it holds its lease, from 1.
    epoch: AtomicU64,
    struck: Notify,
    history: History,
    life: u32,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Lease,
        Self::Read,
        Self::SetAside,
        Self::Publish,
        Self::Settle,
        Self::Tidy,
    ];
}

impl When {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::During, Self::After];
}

impl Plan {
    /// One that `random` decides.
    pub fn new(random: &mut Rng, history: History, life: u32) -> Self {
        // Between these two nobody knows what was published.
        let more = [Call::Publish, Call::Settle];
        let calls: Vec<_> = Call::ALL.into_iter().chain(more).collect();
        let call = random.choice(calls).expect("not empty");
        let when = random.choice(When::ALL).expect("not empty");
        let blows = [Blow::Die, Blow::Die, Blow::Freeze, Blow::Fail];
        // What is rare is struck at once.
        let before = match call {
            Call::Tidy | Call::SetAside => random.u32(0..2),
            _ => random.u32(0..12),
        };
        Self(Arc::new(Inner {
            point: (call, when),
            blow: random.choice(blows).expect("not empty"),
            left: AtomicU32::new(before),
            polls: random.u32(1..6),
            armed: AtomicBool::new(random.u8(0..5) > 0),
            epoch: AtomicU64::new(0),
            struck: Notify::new(),
            history,
            life,
        }))
    }

    /// Nothing will happen any more.
    pub fn disarm(&self) {
        self.0.armed.store(false, Ordering::SeqCst);
    }

    /// Returns when the blow falls, with what it is.
    pub async fn struck(&self) -> Blow {
        self.0.struck.notified().await;
        self.0.blow
    }

    /// `inner` under fire.
    pub fn around<T>(&self, inner: T) -> UnderFire<T> {
        let plan = self.clone();
        UnderFire { inner, plan }
    }

    fn hit(&self, call: Call) -> Option<When> {
        let (at, when) = self.0.point;
        if at != call || !self.0.armed.load(Ordering::SeqCst) {
            return None;
        }
        let left = self.0.left.fetch_sub(1, Ordering::SeqCst);
        (left == 0).then_some(when)
    }

    async fn strike(&self) -> Result<(), Error> {
        self.disarm();
        self.0.history.struck(self.0.point);
        self.0.history.trouble(Some(self.0.life));
        self.0.struck.notify_one();
        match self.0.blow {
            Blow::Die => pending().await,
            Blow::Freeze => {
                // Whoever holds it still does so meanwhile.
                sleep(Duration::from_millis(10)).await;
                Ok(())
            }
            Blow::Fail => Err(Error::new(Kind::Timeout, "fire", "call")),
        }
    }

    /// Does `work`, which is this `call`, unless it is struck.
    pub(super) async fn through<R>(
        &self,
        call: Call,
        work: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        let when = self.hit(call);
        let mut work = pin!(work);
        let mut done = None;
        match when {
            Some(When::Before) => self.strike().await?,
            Some(When::During) => {
                done = some_polls(work.as_mut(), self.0.polls).await;
                self.strike().await?;
            }
            Some(When::After) | None => {}
        }
        let done = match done {
            Some(done) => done,
            None => work.await,
        };
        if done.is_err() {
            self.trouble();
        }
        if when == Some(When::After) {
            self.strike().await?;
        }
        done
    }

    pub(super) fn trouble(&self) {
        self.0.history.trouble(Some(self.0.life));
    }

    /// Another producer has taken over at the broker.
    pub(super) fn fenced(&self) {
        self.0.history.fenced();
    }
}

/// A store or a publisher that is struck once, as its [`Plan`] says.
#[derive(Debug, Clone)]
pub struct UnderFire<T> {
    pub(super) inner: T,
    pub(super) plan: Plan,
}

/// Goes on with `work` for so many polls.
async fn some_polls<F: Future>(mut work: Pin<&mut F>, polls: u32) -> Option<F::Output> {
    let mut left = polls;
    poll_fn(|cx| {
        left -= 1;
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl<S: Store> Store for UnderFire<S> {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let lease = self
            .plan
            .through(Call::Lease, self.inner.lease(owner, ttl))
            .await?;
        // Somebody else has taken over, or has been there meanwhile.
        let epoch = lease.as_ref().map_or(0, |lease| lease.epoch);
        let before = self.plan.0.epoch.swap(epoch, Ordering::SeqCst);
        if before != 0 && before != epoch {
            self.plan.trouble();
        }
        Ok(lease)
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.plan.0.epoch.store(0, Ordering::SeqCst);
        self.inner.release(lease).await
    }

    async fn progress(&self, lease: &Lease) -> Result<Progress, Error> {
        self.inner.progress(lease).await
    }

    async fn read(
        &self,
        lease: &Lease,
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let read = self.inner.read(lease, from, limit);
        self.plan.through(Call::Read, read).await
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let read = self.inner.set_aside(lease, held, limit);
        self.plan.through(Call::SetAside, read).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        let settled = self.inner.settle(lease, window, settled);
        self.plan.through(Call::Settle, settled).await
    }

    async fn promote(&self, lease: &Lease, limit: NonZeroUsize) -> Result<Option<Duration>, Error> {
        self.inner.promote(lease, limit).await
    }

    async fn trying(&self, lease: &Lease, row: Option<EntryId>) -> Result<(), Error> {
        self.inner.trying(lease, row).await
    }

    async fn halt(&self, reason: &str) -> Result<(), Error> {
        self.inner.halt(reason).await
    }

    async fn resume(&self) -> Result<(), Error> {
        self.inner.resume().await
    }

    async fn halted(&self) -> Result<Option<Halted>, Error> {
        self.inner.halted().await
    }

    async fn idle(&self, lease: &Lease) -> Result<(), Error> {
        self.inner.idle(lease).await
    }

    async fn busy(&self, lease: &Lease) -> Result<(), Error> {
        self.inner.busy(lease).await
    }

    async fn tidy(&self) -> Result<(), Error> {
        self.plan.through(Call::Tidy, self.inner.tidy()).await
    }

    async fn committed(&self) {
        self.inner.committed().await;
    }

    async fn status(&self) -> Result<Status, Error> {
        self.inner.status().await
    }

    async fn parked(&self, limit: NonZeroUsize) -> Result<Vec<Parked>, Error> {
        self.inner.parked(limit).await
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.inner.retry(id).await
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.inner.discard(id).await
    }
}

type Results = Vec<Result<Appended, PublishError>>;

impl<P: Publisher> Publisher for UnderFire<P> {
    async fn publish(&self, mut batch: Vec<Record>) -> Results {
        let count = batch.len();
        match self.plan.hit(Call::Publish) {
            None => self.inner.publish(batch).await,
            Some(When::Before) => match self.plan.strike().await {
                Ok(()) => self.inner.publish(batch).await,
                Err(_) => failed(count, PublishError::not_sent),
            },
            Some(When::During) => {
                let rest = batch.split_off(count / 2);
                let mut results = self.inner.publish(batch.clone()).await;
                let rest = match self.plan.strike().await {
                    Ok(()) => self.publish_rest(&batch, &results, rest).await,
                    Err(_) => failed(rest.len(), PublishError::not_sent),
                };
                results.extend(rest);
                results
            }
            Some(When::After) => {
                let results = self.inner.publish(batch).await;
                match self.plan.strike().await {
                    Ok(()) => results,
                    Err(_) => failed(count, PublishError::unknown),
                }
            }
        }
    }

    fn system(&self) -> &'static str {
        self.inner.system()
    }
}

impl<P: Publisher> UnderFire<P> {
    /// The rest of a batch, without the keys of which a record has failed.
    async fn publish_rest(
        &self,
        first: &[Record],
        results: &Results,
        rest: Vec<Record>,
    ) -> Results {
        let of = |record: &Record| Some((Arc::clone(&record.topic), record.key.clone()?));
        let failed = first
            .iter()
            .zip(results)
            .filter(|(_, result)| result.is_err());
        let failed: HashSet<_> = failed.filter_map(|(record, _)| of(record)).collect();
        let is_held = |record: &Record| of(record).is_some_and(|key| failed.contains(&key));
        let (held, sent): (Vec<_>, Vec<_>) =
            rest.iter().cloned().partition(|record| is_held(record));
        drop(held);
        let mut answers = self.inner.publish(sent).await.into_iter();
        let answers = rest.iter().map(|record| {
            if is_held(record) {
                return Err(PublishError::held("fire"));
            }
            answers.next().expect("an answer to each")
        });
        answers.collect()
    }
}

fn failed(count: usize, how: fn(Error) -> PublishError) -> Results {
    let error = || Error::new(Kind::Timeout, "fire", "publish");
    (0..count).map(|_| Err(how(error()))).collect()
}
