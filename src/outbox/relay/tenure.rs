use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::delivery::{Delivery, Session};
use super::held::Held;
use super::keeper::Keeper;
use super::meanwhile::Meanwhile;
use super::pace::{Hint, Pace, Rest};
use super::stats::Stats;
use super::stuck::Stuck;
use super::{Config, Report};
use crate::clock::after;
use crate::error::{Chain, Error, Kind};
use crate::outbox::{EntryId, Lease, Position, Settled, Store, Window};
use crate::shutdown::Token;

/// The time during which a relay holds the lease; whatever it waits for, it renews the lease
/// meanwhile.
#[derive(Debug)]
pub(super) struct Tenure<'a, S> {
    store: &'a S,
    pub(super) stats: &'a Stats,
    keeper: Keeper<'a, S>,
    pub(super) meanwhile: Meanwhile<'a, S>,
    pub(super) config: Config,
    /// How many rows are read at once: fewer than configured after more were too many.
    limit: NonZeroUsize,
    /// Topics that are left alone for a while.
    pub(super) held: Held,
    /// How many rows of the log are still to be published one by one.
    wary: usize,
    /// Where the log goes on; `None` before the first window.
    next: Option<Position>,
    /// The keys that were set aside since the next window was read.
    stuck: Stuck,
    /// Whether rows wait aside.
    aside: bool,
    /// When the store was tidied last.
    tidied: Option<Instant>,
    /// What the store was told last: whether we sleep. `None` when nobody knows.
    sleeps: Option<bool>,
    /// When to look for scheduled messages that are due; `None` when there are none.
    due: Option<Instant>,
    /// Whether we fell asleep since the last window.
    slept: bool,
    /// Whether more rows are known to be there.
    more: bool,
    pace: Pace,
    /// The store's next hint, once it was waited for.
    hint: Option<Hint<'a>>,
}

/// After so many holders of the lease in a row that ended and settled nothing, rows are published one by
/// one, to find the one that is to blame.
const WARY: u32 = 3;
const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// How often the room of what is settled is given back.
const TIDY: Duration = Duration::from_secs(10);
/// How long to wait for a scheduled message that is due and could not be moved.
const LOOK: Duration = Duration::from_millis(10);

impl<'a, S: Store> Tenure<'a, S> {
    pub(super) fn new(
        store: &'a S,
        stats: &'a Stats,
        lease: Lease,
        asked: Instant,
        config: Config,
    ) -> Self {
        Self {
            wary: match lease.crashes.count {
                0..WARY => 0,
                _ => config.window.get(),
            },
            // What waits aside may be what they ended with.
            aside: lease.crashes.count > 0,
            store,
            stats,
            meanwhile: Meanwhile::new(store, stats, lease.clone(), config.window),
            keeper: Keeper::new(store, lease, config.lease, asked),
            config,
            limit: config.window,
            held: Held::new(config.backoff),
            next: None,
            stuck: Stuck::default(),
            tidied: None,
            sleeps: None,
            due: Some(asked),
            slept: true,
            more: false,
            pace: Pace::new(config.poll),
            hint: None,
        }
    }

    /// Tries what waits aside in the first turn, too.
    pub(super) fn look_aside(&mut self) {
        self.aside = true;
    }

    /// Whether there is something to do without a wait.
    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    pub(super) fn lease(&self) -> &Lease {
        self.keeper.lease()
    }

    /// Begins to publish by `delivery`.
    pub(super) async fn begin<'d, P: Delivery>(
        &mut self,
        delivery: &'d P,
    ) -> Result<Session<'d, P>, Error> {
        let (store, lease) = (self.store, self.lease().clone());
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
        self.promote().await?;
        let mut report = self.retry_aside(session, token).await?;
        self.more = !report.is_empty();
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
                    self.read_again(from);
                    return Ok(report);
                }
                Err(error) => return Err(error),
            }
            self.read_again(from);
        }
    }

    fn read_again(&mut self, from: Option<Position>) {
        self.next = from;
        self.meanwhile.forget_ahead();
    }

    /// Publishes and settles the next rows of the log; `None` when they were not published, and are to be
    /// read again.
    async fn advance<P: Delivery>(
        &mut self,
        session: &mut Session<'_, P>,
        token: &Token,
    ) -> Result<Option<Report>, Error> {
        let window = self.next_window().await?;
        self.stuck.clear();
        self.next.clone_from(&window.next);
        self.aside |= window.aside;
        self.due = window.due.map(|due| after(Instant::now(), due));
        let rows = window.entries.len();
        if rows == 0 {
            self.meanwhile.settle_now();
            return Ok(Some(Report::default()));
        }
        self.pace.found();
        // What would be published twice after a crash is never more than a window.
        let room = self.config.window.get().saturating_sub(rows);
        self.settle_but(room).await?;
        let verdicts = self.publish(&window, session, token).await?;
        if !verdicts.stand() {
            return Ok(None);
        }
        self.more |= self.is_full(&window) || self.meanwhile.has_ahead();
        let (settled, report) = verdicts.of_the_log();
        // A position at the broker is settled before the next one.
        if report.published == rows && !P::ATOMIC && !self.is_wary() {
            self.meanwhile.settle(window);
        } else {
            self.settle_rest().await?;
            self.settle(&window, &settled, report).await?;
        }
        self.wary = self.wary.saturating_sub(rows);
        self.go_on().await?;
        Ok(Some(report))
    }

    /// The next rows of the log, read now or before.
    async fn next_window(&mut self) -> Result<Window, Error> {
        self.wait_until(|meanwhile| !meanwhile.is_reading()).await?;
        match self.meanwhile.take_ahead() {
            Some(window) => Ok(self.follow(window)),
            None => self.read().await,
        }
    }

    /// Waits until all that was published is settled.
    pub(super) async fn settle_rest(&mut self) -> Result<(), Error> {
        self.settle_but(0).await
    }

    /// As [`settle_rest`](Self::settle_rest), but for so many rows.
    async fn settle_but(&mut self, rows: usize) -> Result<(), Error> {
        if self.meanwhile.unsettled() > rows {
            self.meanwhile.settle_now();
            self.wait_until(|meanwhile| meanwhile.unsettled() <= rows)
                .await?;
        }
        Ok(())
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
        self.settle_rest().await?;
        let (store, lease) = (self.store, self.lease().clone());
        let held = self.held.topics();
        let window = store.set_aside(&lease, &held, self.limit());
        let mut window = self.renewing(window).await??;
        session.fit(&mut window);
        self.aside = !held.is_empty() || !window.entries.is_empty();
        if window.entries.is_empty() {
            return Ok(report);
        }
        let verdicts = self.publish(&window, session, token).await?;
        // What still waits is where it was.
        let (window, settled, round) = verdicts.of_what_changed(window);
        if !settled.is_empty() {
            self.settle(&window, &settled, round).await?;
        }
        report += round;
        Ok(report)
    }

    /// Moves what is due into the log. That nothing is scheduled is known from the last window.
    async fn promote(&mut self) -> Result<(), Error> {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        let (store, lease) = (self.store, self.lease().clone());
        let next = store.promote(&lease, self.config.window);
        let next = self.renewing(next).await??;
        self.due = next.map(|next| after(Instant::now(), next));
        Ok(())
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
        let (store, lease) = (self.store, self.lease().clone());
        let from = self.next.clone();
        let window = store.read(&lease, from.as_ref(), self.limit());
        self.renewing(window).await?
    }

    pub(super) fn is_full(&self, window: &Window) -> bool {
        window.entries.len() >= self.limit().get()
    }

    /// How many rows to read.
    fn limit(&self) -> NonZeroUsize {
        if self.is_wary() {
            NonZeroUsize::MIN
        } else {
            self.limit
        }
    }

    /// Whether rows are read, published and settled one by one, as relays have ended before.
    pub(super) fn is_wary(&self) -> bool {
        self.wary > 0
    }

    /// Whether an operator has halted the outbox; a store that cannot say is asked again.
    pub(super) async fn is_halted(&mut self) -> Result<bool, Error> {
        let store = self.store;
        let halted = self.renewing(store.halted()).await?;
        Ok(halted.is_ok_and(|halted| halted.is_some()))
    }

    /// Notes the row that is published alone, or that there was an answer.
    pub(super) async fn trying(&mut self, row: Option<EntryId>) -> Result<(), Error> {
        let (store, lease) = (self.store, self.lease().clone());
        self.renewing(store.trying(&lease, row)).await?
    }

    /// Begins to read what comes after `window`, unless it has begun.
    pub(super) fn read_ahead(&mut self, window: &Window) {
        let (Some(next), false) = (window.next.clone(), self.meanwhile.has_ahead()) else {
            return;
        };
        let (store, lease, limit) = (self.store, self.lease().clone(), self.limit());
        self.meanwhile.read(async move {
            let window = store.read(&lease, Some(&next), limit).await.ok()?;
            Some(window).filter(|window| !window.entries.is_empty())
        });
    }

    async fn settle(
        &mut self,
        window: &Window,
        settled: &[Settled],
        report: Report,
    ) -> Result<(), Error> {
        let (store, lease) = (self.store, self.lease().clone());
        self.renewing(store.settle(&lease, window, settled))
            .await??;
        self.stats.settled(report, 1);
        for (entry, settled) in window.entries.iter().zip(settled) {
            if *settled != Settled::Published {
                self.stuck.extend(entry.ordering_key());
                self.aside = true;
            }
            if settled.reason().is_some() {
                // Once it is an operator's, it is his to say that it comes again.
                self.keeper.acquit(entry.id);
            }
        }
        Ok(())
    }

    /// Who has rows again before it sleeps needs nobody who wakes it.
    async fn go_on(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.slept) || self.sleeps == Some(false) {
            return Ok(());
        }
        let (store, lease) = (self.store, self.lease().clone());
        self.renewing(store.busy(&lease)).await??;
        self.sleeps = Some(false);
        Ok(())
    }

    /// From now on whoever writes has to wake us. Whoever wrote before wakes nobody: there is one more look
    /// before the next wait.
    async fn fall_asleep(&mut self) -> Result<(), Error> {
        self.slept = true;
        if self.sleeps != Some(true) {
            let (store, lease) = (self.store, self.lease().clone());
            self.renewing(store.idle(&lease)).await??;
            self.sleeps = Some(true);
        }
        Ok(())
    }

    /// Waits until rows may have been committed, until the next scheduled message is due, until those that
    /// wait aside may be tried, or until it is time to look again.
    pub(super) async fn idle(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let wait = match self.pace.rest(now) {
            Rest::Wait(wait) => wait,
            Rest::FallAsleep => return self.fall_asleep().await,
        };
        let look = after(now, wait);
        let until = match self.held.next_due() {
            Some(due) if self.aside => due.min(look),
            _ => look,
        };
        let until = match self.due {
            // What is due and could not be moved is being taken back, or the clocks do not agree.
            Some(due) if due <= now => until.min(after(now, LOOK)),
            Some(due) => until.min(due),
            None => until,
        };
        let mut hint = self.hint.take().unwrap_or_else(|| Hint::of(self.store));
        let hinted = async {
            tokio::select! {
                () = &mut hint => true,
                () = sleep_until(until) => false,
            }
        };
        if !self.renewing(hinted).await? {
            self.hint = Some(hint);
        }
        Ok(())
    }

    /// Waits for `work` and renews the lease in time, and goes on with what is done meanwhile.
    ///
    /// All goes on at the same time: `work` may be a transaction that holds the very row which the
    /// renewal waits for, and must come to its end then.
    pub(super) async fn renewing<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            Err(failed) = self.meanwhile.until(|_| false) => Err(failed),
            done = work => Ok(done),
            failed = self.keeper.keep() => Err(failed),
        }
    }

    /// As [`renewing`](Self::renewing), until what is done meanwhile has come so far.
    pub(super) async fn wait_until(
        &mut self,
        done: impl Fn(&Meanwhile<'a, S>) -> bool,
    ) -> Result<(), Error> {
        tokio::select! {
            biased;
            done = self.meanwhile.until(done) => done,
            failed = self.keeper.keep() => Err(failed),
        }
    }
}
