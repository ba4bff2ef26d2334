//! Publishes what an outbox holds; see the [module docs](super).

mod attempt;
mod builder;
mod config;
mod delivery;
mod exactly_once;
mod held;
mod keeper;
mod latency;
mod mark;
mod meanwhile;
mod meters;
mod pace;
mod poison;
mod report;
mod stats;
mod stuck;
mod tenure;
mod verdict;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{Halted, Lease, Store};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Chain, Error, Kind};
use crate::shutdown::{Shutdown, Token};
use meters::{Levels, Meters};
use tenure::Tenure;

pub use builder::Builder;
pub use config::Config;
pub use delivery::Delivery;
pub use exactly_once::ExactlyOnce;
pub use latency::Latency;
pub use poison::OnPoison;
pub use report::Report;
pub use stats::{Snapshot, Stats};

/// How often the state of the outbox is looked at for metrics.
const WATCH: Duration = Duration::from_secs(10);

/// Publishes what an outbox holds, as long as it holds the lease.
///
/// Any number of relays may run for one outbox; one works, the others wait to take over. Those of a
/// `PostgresQueue` all work.
#[derive(Debug)]
pub struct Relay<S, P> {
    store: S,
    publisher: P,
    config: Config,
    owner: Arc<str>,
    stats: Stats,
}

impl<S: Store, P: Delivery> Relay<S, P> {
    /// A relay from `store` to `publisher`: a [`Publisher`](crate::broker::Publisher), or
    /// [`ExactlyOnce`].
    pub fn builder(store: S, publisher: P) -> Builder<S, P> {
        Builder::new(store, publisher)
    }
}

impl<S, P> Relay<S, P> {
    fn new(store: S, publisher: P, config: Config, name: &Arc<str>) -> Self {
        Self {
            store,
            publisher,
            config,
            owner: Uuid::now_v7().to_string().into(),
            stats: Stats::new(Meters::new(name)),
        }
    }

    /// A handle that shows what the relay has done, for an operations page.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }
}

impl<S: Store, P: Delivery> Relay<S, P> {
    /// Publishes until `token` says stop: then it finishes the window in hand, settles it and gives
    /// the lease up.
    ///
    /// # Errors
    ///
    /// When the store fails in a way that time does not mend, e.g. without its tables. Transient
    /// failures of store and publisher are waited out.
    ///
    /// # Cancel safety
    ///
    /// Dropping it is like a crash: nothing is lost, the window in hand may be published again, and
    /// the lease is free only when it has expired. Use the token.
    pub async fn run(self, token: Token) -> Result<(), Error> {
        let mut delays = self.config.backoff.delays();
        let mut halted = None;
        let mut is_halted = self.stats.meters().halted();
        while !token.is_stopped() {
            let lease = tokio::select! {
                () = token.stopped() => return Ok(()),
                lease = self.take_lease() => lease,
            };
            let wait = match lease {
                Ok(Some(tenure)) => {
                    let before = self.stats.windows();
                    is_halted.set(0);
                    if halted.take().is_some() {
                        tracing::info!(name: "bowline.outbox.halted", "the outbox goes on");
                    }
                    // Boxed once per lease, so that callers need not carry it.
                    match Box::pin(self.work(tenure, &token)).await {
                        Ok(()) => Duration::ZERO,
                        Err(error) => {
                            if self.stats.windows() > before {
                                delays = self.config.backoff.delays();
                            }
                            self.trouble(error, &mut delays)?
                        }
                    }
                }
                Ok(None) => self.config.lease / 3,
                Err(error) => self.trouble(error, &mut delays)?,
            };
            if !token.is_stopped() && !wait.is_zero() {
                self.tell_halted(&mut halted).await;
                is_halted.set(halted.is_some().into());
            }
            tokio::select! {
                () = token.stopped() => {}
                () = sleep(wait) => {}
            }
        }
        Ok(())
    }

    /// Publishes one window and gives the lease up: for tests, and for a relay that is run by a
    /// timer.
    ///
    /// # Errors
    ///
    /// Those of the store. What the publisher could not do is in the report.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_once(&self) -> Result<Report, Error> {
        let Some(mut tenure) = self.take_lease().await? else {
            return Ok(Report::default());
        };
        // One that is stopped already: what fails transiently is not waited for.
        let stopped = Shutdown::new();
        stopped.trigger();
        tenure.look_aside();
        let turn = Box::pin(async {
            let mut session = tenure.begin(&self.publisher).await?;
            let report = tenure.turn(&mut session, &stopped.token()).await?;
            tenure.settle_rest().await?;
            Ok(report)
        });
        let report = turn.await;
        let lease = tenure.lease().clone();
        // What it reads may have the only connection.
        drop(tenure);
        // What was published stands, whether the lease is given up now or ends by itself.
        self.give_up(&lease).await;
        report
    }

    async fn take_lease(&self) -> Result<Option<Tenure<'_, S>>, Error> {
        // The lease counts from before it was asked for: an answer that came late is no longer
        // good for its whole time.
        let asked = Instant::now();
        let lease = self.store.lease(&self.owner, self.config.lease).await?;
        Ok(lease.map(|lease| Tenure::new(&self.store, &self.stats, lease, asked, self.config)))
    }

    /// Publishes window after window until it is time to stop or something fails.
    async fn work(&self, mut tenure: Tenure<'_, S>, token: &Token) -> Result<(), Error> {
        tracing::debug!(name: "bowline.outbox.lease", owner = %self.owner, epoch = tenure.lease().epoch);
        let levels = self.stats.meters().leased();
        let worked = tokio::select! {
            worked = self.turns(&mut tenure, token) => worked,
            // Boxed once per lease: it would make the future of every relay larger.
            never = Box::pin(self.watch(levels)) => never,
        };
        // Also after a failure, so that little is published again.
        let worked = worked.and(tenure.settle_rest().await);
        self.stats.meters().lease_ended();
        let lease = tenure.lease().clone();
        // What it reads may have the only connection.
        drop(tenure);
        // Also after a failure: what was asked and not answered may still come, and is of an epoch then that
        // is over.
        self.give_up(&lease).await;
        worked
    }

    async fn turns(&self, tenure: &mut Tenure<'_, S>, token: &Token) -> Result<(), Error> {
        let mut session = tenure.begin(&self.publisher).await?;
        while !token.is_stopped() {
            tenure.turn(&mut session, token).await?;
            if !tenure.has_more() {
                tokio::select! {
                    () = token.stopped() => {}
                    idle = tenure.idle() => idle?,
                }
            }
        }
        Ok(())
    }

    /// Shows the state of the outbox now and then, as long as it is not dropped.
    async fn watch<T>(&self, mut levels: Levels) -> T {
        if !cfg!(feature = "metrics") {
            return pending().await;
        }
        loop {
            let asked = Instant::now();
            match self.store.status().await {
                Ok(status) => levels.set(&status, SystemClock.now()),
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "the state of the outbox is not known");
                }
            }
            // Counting a long backlog must not keep the database from shortening it.
            sleep(WATCH.max(20 * asked.elapsed())).await;
        }
    }

    /// Says once why nothing is published.
    async fn tell_halted(&self, told: &mut Option<Halted>) {
        // One that cannot say is asked for the lease again soon.
        let Ok(halted) = self.store.halted().await else {
            return;
        };
        if let (Some(Halted { reason, since }), None) = (&halted, &told) {
            tracing::error!(name: "bowline.outbox.halted", %since, reason, "the outbox is halted");
        }
        *told = halted.or(told.take());
    }

    /// A store that does not answer is not waited for long: the lease ends by itself.
    async fn give_up(&self, lease: &Lease) {
        let released = timeout(self.config.lease / 3, self.store.release(lease));
        match released.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(error = %Chain(&error), "the lease could not be given up");
            }
            Err(_late) => tracing::debug!("the lease was not given up in time"),
        }
    }

    /// How long to wait after `error`; the error itself when waiting is of no use.
    fn trouble(
        &self,
        error: Error,
        delays: &mut crate::backoff::Delays,
    ) -> Result<Duration, Error> {
        if error.kind() == Kind::Fenced {
            tracing::info!(owner = %self.owner, "the lease has ended");
            return Ok(self.config.lease / 3);
        }
        if !error.is_transient() {
            return Err(error);
        }
        tracing::warn!(error = %Chain(&error), "the outbox is in trouble; trying again");
        Ok(delays.next().unwrap_or(self.config.poll))
    }
}
