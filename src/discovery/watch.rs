use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::time::{Instant, sleep, timeout};

use super::{Instance, Listing, Registry};
use crate::config::{ConfigError, Problems, duration};
use crate::error::{Chain, Error, Kind};
use crate::shutdown::{Shutdown, Token};

/// Keeps the instances of `service` at hand, refreshed by a task that ends with the last clone of the
/// [`Watch`].
///
/// # Errors
///
/// When the first listing fails; nothing runs then.
///
/// # Panics
///
/// Outside a Tokio runtime.
///
/// # Cancel safety
///
/// Cancel safe.
pub async fn watch<R: Registry>(
    registry: &R,
    service: &str,
    options: WatchOptions,
) -> Result<Watch, Error> {
    let listing = bounded(registry.list(service, None), options.interval).await?;
    let listing = listing.unwrap_or_else(|| Listing::new(0, Vec::new()));
    let shared = Arc::new(Shared {
        service: service.into(),
        snapshot: ArcSwap::from_pointee(Snapshot::of(listing)),
    });
    let stop = Shutdown::new();
    let refresher = Refresher {
        registry: registry.clone(),
        shared: shared.clone(),
        options,
        vanished: None,
    };
    tokio::spawn(refresher.run(stop.token()));
    Ok(Watch {
        shared,
        _end: Arc::new(End(stop)),
    })
}

/// How a [`Watch`] keeps itself fresh.
///
/// # Default
///
/// Asks every second, which is what a change takes to arrive at most; keeps the last instances for
/// 30 s after the registry said that there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    interval: Duration,
    grace: Duration,
}

/// The instances of one service, always at hand and never older than the registry allows.
///
/// # How it decides
///
/// 1. A new listing replaces the old one in one step.
/// 2. While the registry cannot be asked, the last instances stay for ever; [`Snapshot::age`] grows.
/// 3. A listing without instances after one with some is not believed before the grace time has
///    passed: it is more often a registry that lost its data than a service without instances.
///
/// Clones share the snapshot.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<Shared>,
    _end: Arc<End>,
}

/// The instances of one service at one time.
#[derive(Debug, Clone)]
pub struct Snapshot {
    version: u64,
    instances: Arc<[Arc<Instance>]>,
    confirmed: Instant,
    state: Freshness,
}

/// Whether a [`Snapshot`] is what the registry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// The registry confirmed it when it was last asked.
    Fresh,
    /// The registry could not be asked.
    Unreachable,
    /// The registry says that there are no instances, and the grace time has not passed.
    Vanished,
}

struct Shared {
    service: Arc<str>,
    snapshot: ArcSwap<Snapshot>,
}

/// Stops the refreshing task when the last clone of a watch goes.
struct End(Shutdown);

struct Refresher<R> {
    registry: R,
    shared: Arc<Shared>,
    options: WatchOptions,
    vanished: Option<Instant>,
}

impl WatchOptions {
    /// How long the last instances outlive an empty listing unless said otherwise: two default times
    /// to live, in which every living instance has announced itself anew.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);
    /// How often the registry is asked unless said otherwise.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

    /// Sets how often the registry is asked, at least every 10 ms.
    ///
    /// # Errors
    ///
    /// When `interval` is shorter.
    pub fn with_interval(mut self, interval: Duration) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        problems.check(
            interval >= Duration::from_millis(10),
            "watch.interval",
            duration::format(interval),
            "at least 10ms",
        );
        problems.into_result()?;
        self.interval = interval;
        Ok(self)
    }

    /// Sets how long the last instances outlive an empty listing; zero believes it at once.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            interval: Self::DEFAULT_INTERVAL,
            grace: Self::DEFAULT_GRACE,
        }
    }
}

impl Watch {
    /// The service that is watched.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        &self.shared.service
    }

    /// The instances as they are known now. It does not wait and does not change.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// The snapshot without a reference count of its own, for a look that is over at once.
    pub(crate) fn peek(&self) -> Guard<Arc<Snapshot>> {
        self.shared.snapshot.load()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("service", &self.shared.service)
            .field("snapshot", &*self.peek())
            .finish()
    }
}

impl Snapshot {
    /// The instances, ordered by id.
    #[must_use]
    pub fn instances(&self) -> &[Arc<Instance>] {
        &self.instances
    }

    /// The registry's version of this set.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How long ago the registry confirmed it.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.confirmed.elapsed()
    }

    /// Whether it is what the registry says.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        self.state
    }

    fn of(listing: Listing) -> Self {
        Self {
            version: listing.version,
            instances: listing.instances.into_iter().map(Arc::new).collect(),
            confirmed: Instant::now(),
            state: Freshness::Fresh,
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

impl<R: Registry> Refresher<R> {
    async fn run(mut self, stop: Token) {
        tokio::select! {
            () = stop.stopped() => {}
            never = self.refresh_for_ever() => match never {},
        }
    }

    async fn refresh_for_ever(&mut self) -> std::convert::Infallible {
        loop {
            // Without jitter all clients that started together would ask together for ever.
            let pause = self.options.interval.mul_f64(0.9 + 0.1 * fastrand::f64());
            tokio::select! {
                () = sleep(pause) => {}
                () = self.registry.changed(&self.shared.service) => {}
            }
            self.refresh().await;
        }
    }

    async fn refresh(&mut self) {
        let current = self.shared.snapshot.load_full();
        // While an empty listing is held back, its version must not be taken for confirmed.
        let known = self.vanished.is_none().then_some(current.version);
        let listing = self.registry.list(&self.shared.service, known);
        let next = match bounded(listing, self.options.interval).await {
            Err(error) => {
                if current.state != Freshness::Unreachable {
                    tracing::warn!(
                        service = %self.shared.service,
                        error = %Chain(&error),
                        "could not list the instances, keeping the last ones"
                    );
                }
                current.with_state(Freshness::Unreachable)
            }
            Ok(None) => current.confirmed(),
            Ok(Some(listing)) => self.believe(&current, listing),
        };
        self.shared.snapshot.store(Arc::new(next));
    }

    fn believe(&mut self, current: &Snapshot, listing: Listing) -> Snapshot {
        if !listing.instances.is_empty() || current.instances.is_empty() {
            self.vanished = None;
            return Snapshot::of(listing);
        }
        let since = *self.vanished.get_or_insert_with(Instant::now);
        if since.elapsed() < self.options.grace {
            return current.with_state(Freshness::Vanished);
        }
        self.vanished = None;
        Snapshot::of(listing)
    }
}

impl Snapshot {
    fn confirmed(&self) -> Self {
        Self {
            confirmed: Instant::now(),
            state: Freshness::Fresh,
            ..self.clone()
        }
    }

    fn with_state(&self, state: Freshness) -> Self {
        Self {
            state,
            ..self.clone()
        }
    }
}

/// A registry that hangs is one that cannot be asked; at least a second, so that short intervals do
/// not turn a slow registry into a dead one.
async fn bounded<T>(
    listing: impl Future<Output = Result<T, Error>>,
    interval: Duration,
) -> Result<T, Error> {
    match timeout(interval.max(Duration::from_secs(1)), listing).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(Error::new(Kind::Timeout, "registry", "list").with_source(elapsed)),
    }
}
