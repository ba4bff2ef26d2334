use std::collections::HashSet;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::delivery::{Delivery, Session};
use super::held::Held;
use super::verdict::{Judged, Round, Verdicts};
use super::{Config, Report};
use crate::error::{Chain, Error, Kind};
use crate::outbox::entry::OrderingKey;
use crate::outbox::{Lease, Position, Settled, Store, Window};
use crate::shutdown::Token;

/// The time during which a relay holds the lease; whatever it waits for, it renews the lease
/// meanwhile.
#[derive(Debug)]
pub(super) struct Tenure<'a, S> {
    store: &'a S,
    lease: Lease,
    /// When the lease was asked for last.
    asked: Instant,
    config: Config,
    /// How many rows are read at once: fewer than configured after more were too many.
    limit: NonZeroUsize,
    /// Topics that are left alone for a while.
    held: Held,
    /// Where the log goes on; `None` before the first window.
    next: Option<Position>,
    /// The window after the last one, if it was read while that was published.
    ahead: Option<Window>,
    /// The keys that were set aside since `ahead` was read.
    stuck: HashSet<OrderingKey>,
    /// Whether rows wait aside.
    aside: bool,
    /// When the store was tidied last.
    tidied: Option<Instant>,
}

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// How often the room of what is settled is given back.
const TIDY: Duration = Duration::from_secs(10);

impl<'a, S: Store> Tenure<'a, S> {
    pub(super) fn new(store: &'a S, lease: Lease, asked: Instant, config: Config) -> Self {
        Self {
            store,
            lease,
            asked,
            config,
            limit: config.window,
            held: Held::new(config.backoff),
            next: None,
            ahead: None,
            stuck: HashSet::new(),
            aside: false,
            tidied: None,
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Begins to publish by `delivery`.
    pub(super) async fn begin<'d, P: Delivery>(
        &mut self,
        delivery: &'d P,
    ) -> Result<Session<'d, P>, Error> {
        let (store, lease) = (self.store, self.lease.clone());
        let session = Session::begin(delivery, store, &lease);
        self.renewing(session).await?
    }

    /// Publishes and settles what waits aside and may be tried, and then the next rows of the log.
    pub(super) async fn turn<P: Delivery>(
        &mut self,
        session: &mut Session<'_, P>,
        token: &Token,
    ) -> Result<Report, Error> {
        self.tidy().await?;
        let mut report = self.retry_aside(session, token).await?;
        loop {
            let from = self.next.clone();
            match self.advance(session, token).await {
                // Fewer will do.
                Err(error) if error.kind() == Kind::TooLarge && self.limit > NonZeroUsize::MIN => {
                    let half = NonZeroUsize::new(self.limit.get() / 2);
                    self.limit = half.unwrap_or(NonZeroUsize::MIN);
                }
                Ok(Some(round)) => {
                    self.limit = self.limit.saturating_mul(TWO).min(self.config.window);
                    report += round;
                    return Ok(report);
                }
                Ok(None) => {
                    self.next = from;
                    return Ok(report);
                }
                Err(error) => return Err(error),
            }
            self.next = from;
        }
    }

    /// Publishes and settles the next rows of the log; `None` when they were not published, and are to be
    /// read again.
    async fn advance<P: Delivery>(
        &mut self,
        session: &mut Session<'_, P>,
        token: &Token,
    ) -> Result<Option<Report>, Error> {
        let window = match self.ahead.take() {
            Some(window) => self.follow(window),
            None => self.read().await?,
        };
        self.stuck.clear();
        self.next.clone_from(&window.next);
        self.aside |= window.aside;
        if window.entries.is_empty() {
            return Ok(Some(Report::default()));
        }
        let (verdicts, ahead) = self.publish(&window, session, token).await?;
        if !verdicts.stand() {
            return Ok(None);
        }
        let (settled, report) = verdicts.of_the_log();
        self.settle(&window, &settled).await?;
        self.ahead = ahead;
        Ok(Some(report))
    }

    /// `window` as it would be read now: what was set aside since takes along what is behind it.
    fn follow(&self, mut window: Window) -> Window {
        if !self.stuck.is_empty() {
            for entry in &mut window.entries {
                let key = entry.ordering_key();
                entry.behind |= key.is_some_and(|key| self.stuck.contains(&key));
            }
        }
        window
    }

    /// Tries what waits aside, but for the topics that are left alone.
    async fn retry_aside<P: Delivery>(
        &mut self,
        session: &mut Session<'_, P>,
        token: &Token,
    ) -> Result<Report, Error> {
        let mut report = Report::default();
        if !self.aside {
            return Ok(report);
        }
        let (store, lease) = (self.store, self.lease.clone());
        let held = self.held.topics();
        let window = store.set_aside(&lease, &held, self.config.window);
        let mut window = self.renewing(window).await??;
        session.fit(&mut window);
        self.aside = !held.is_empty() || !window.entries.is_empty();
        if window.entries.is_empty() {
            return Ok(report);
        }
        let (verdicts, _) = self.publish(&window, session, token).await?;
        // What still waits is where it was.
        let (window, settled, round) = verdicts.of_what_changed(window);
        if !settled.is_empty() {
            self.settle(&window, &settled).await?;
        }
        report += round;
        Ok(report)
    }

    async fn tidy(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if self.tidied.is_some_and(|tidied| now - tidied < TIDY) {
            return Ok(());
        }
        self.tidied = Some(now);
        let store = self.store;
        if let Err(error) = self.renewing(store.tidy()).await? {
            // Publishing goes on; only room is lost.
            tracing::warn!(error = %Chain(&error), "the outbox could not be tidied");
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Window, Error> {
        let (store, lease) = (self.store, self.lease.clone());
        let from = self.next.clone();
        let window = store.read(&lease, from.as_ref(), self.limit);
        self.renewing(window).await?
    }

    /// Publishes the rows of `window` until there is an answer for each, or `token` is stopped. Of the
    /// log the next window is read meanwhile.
    async fn publish<P: Delivery>(
        &mut self,
        window: &Window,
        session: &mut Session<'_, P>,
        token: &Token,
    ) -> Result<(Verdicts, Option<Window>), Error> {
        let mut ahead = None;
        let mut verdicts = Verdicts::new(window, P::ATOMIC);
        // A transaction has to move the position also when it has no rows.
        let moves = P::ATOMIC && window.next.is_some();
        let mut delays = self.config.backoff.delays();
        let mut round = Round::first(window);
        loop {
            let batch = verdicts.batch(window, &self.held);
            if batch.is_empty() && !moves {
                break;
            }
            let is_full = window.entries.len() >= self.limit.get();
            // What comes next is read meanwhile, or to see whom a failure would keep waiting.
            let look = ahead.is_none() && (is_full || round >= Round::LAST);
            let next = window.next.as_ref().filter(|_| look);
            let reading = self.read_ahead(next);
            let publishing = session.publish(batch, window, verdicts.known());
            let both = async { tokio::join!(publishing, reading) };
            let (results, read) = self.renewing(both).await?;
            ahead = ahead.or(read);
            let judged = verdicts.judge(window, results?, round, &mut self.held);
            if verdicts.is_complete() {
                break;
            }
            if judged == Judged::Fewer {
                continue;
            }
            // What waits aside is not worth waiting for.
            if window.next.is_none()
                || verdicts.keeps_others_waiting(window, round, ahead.as_ref(), &self.held)
            {
                verdicts.leave_topics(window, &mut self.held);
                if moves {
                    continue;
                }
                break;
            }
            round = round.next();
            let wait = delays.next().unwrap_or(self.config.poll);
            let pause = async {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = token.stopped() => {}
                }
            };
            self.renewing(pause).await?;
            if token.is_stopped() {
                break;
            }
        }
        Ok((verdicts, ahead))
    }

    /// The window at `next`. One that cannot be read is read again when its turn has come.
    fn read_ahead(
        &self,
        next: Option<&Position>,
    ) -> impl Future<Output = Option<Window>> + use<'a, S> {
        let (store, lease) = (self.store, self.lease.clone());
        let (next, limit) = (next.cloned(), self.limit);
        async move {
            let next = next?;
            let window = store.read(&lease, Some(&next), limit).await.ok()?;
            Some(window).filter(|window| !window.entries.is_empty())
        }
    }

    async fn settle(&mut self, window: &Window, settled: &[Settled]) -> Result<(), Error> {
        let (store, lease) = (self.store, self.lease.clone());
        self.renewing(store.settle(&lease, window, settled))
            .await??;
        for (entry, settled) in window.entries.iter().zip(settled) {
            if *settled != Settled::Published {
                self.stuck.extend(entry.ordering_key());
                self.aside = true;
            }
        }
        Ok(())
    }

    /// Waits until rows may have been committed, or until those that wait aside may be tried, at most
    /// for the time between polls.
    pub(super) async fn idle(&mut self) -> Result<(), Error> {
        let store = self.store;
        let poll = Instant::now() + self.config.poll;
        let until = match self.held.next_due() {
            Some(due) if self.aside => due.min(poll),
            _ => poll,
        };
        let hint = async {
            tokio::select! {
                () = store.committed() => {}
                () = sleep_until(until) => {}
            }
        };
        self.renewing(hint).await
    }

    /// Waits for `work` and renews the lease in time.
    ///
    /// Both go on at the same time: `work` may be a transaction that holds the very row which the
    /// renewal waits for, and must come to its end then.
    async fn renewing<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        loop {
            let due = self.asked + self.config.lease / 3;
            let renewed = async {
                sleep_until(due).await;
                self.renew().await
            };
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                renewed = renewed => renewed?,
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Error> {
        let asked = Instant::now();
        let ttl: Duration = self.config.lease;
        match self.store.lease(&self.lease.owner, ttl).await {
            Ok(Some(lease)) if lease.epoch == self.lease.epoch => {
                self.asked = asked;
                Ok(())
            }
            Ok(_) => Err(self.lease.fenced("relay", "renew")),
            // While the lease is still good there is time for another try.
            Err(error) if error.is_transient() && self.asked + ttl > Instant::now() => {
                tracing::warn!(error = %Chain(&error), "the lease could not be renewed; trying again");
                sleep(ttl / 10).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
