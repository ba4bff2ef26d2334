use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{Bucket, Levels, ORIGIN, Place, Refused};
use super::meters::Meters;
use super::{Builder, Config, RateLimitLayer, Reservation, Snapshot, WaitingLayer};
use crate::clock::after;
use crate::config::ConfigError;
use crate::deadline;
use crate::error::Rejected;
use crate::keyed::Evict;

/// Lets so many calls pass in so much time; see the [module docs](super).
///
/// Clones are the same limiter.
#[derive(Clone)]
pub struct RateLimiter(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    /// When the limiter was made; its times are counted from there.
    made: Instant,
    bucket: Bucket,
    meters: Meters,
}

impl RateLimiter {
    /// A limiter called `name`; a [`rate`](Builder::rate) must be set, for the rest see the defaults of
    /// the [module docs](super).
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    pub(super) fn new(name: Arc<str>, config: Config) -> Self {
        let meters = Meters::new(&name);
        Self::with_meters(name, config, meters)
    }

    fn with_meters(name: Arc<str>, config: Config, meters: Meters) -> Self {
        Self(Arc::new(Shared {
            name,
            made: Instant::now(),
            bucket: Bucket::new(config),
            meters,
        }))
    }

    /// Takes a permit that is there now. It is used up: there is nothing to give back.
    ///
    /// # Errors
    ///
    /// [`Rejected::RateLimited`] when there is none, with the time until there is.
    #[inline]
    pub fn try_acquire(&self) -> Result<(), Rejected> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` at once, all or none, e.g. for a call that costs as much as several. None are
    /// always there.
    ///
    /// # Errors
    ///
    /// [`Rejected::RateLimited`] when there are not as many, with the time until there are;
    /// [`Rejected::ExceedsBurst`] when there never are.
    #[inline]
    pub fn try_acquire_many(&self, permits: u32) -> Result<(), Rejected> {
        if permits == 0 {
            return Ok(());
        }
        match self.0.bucket.take(permits, self.now(), 0) {
            Ok(_) => {
                self.0.meters.allowed();
                Ok(())
            }
            Err(refused) => Err(self.rejected(refused, permits)),
        }
    }

    /// Takes a permit that is there now, or the next one that is nobody's, if that comes within
    /// [`max_wait`](Config::max_wait). Who reserves earlier has the earlier one.
    ///
    /// # Errors
    ///
    /// [`Rejected::RateLimited`] when the wait would be longer, with the time until a permit is there.
    pub fn reserve(&self) -> Result<Reservation, Rejected> {
        self.reserve_many(1)
    }

    /// As [`reserve`](Self::reserve), for `permits` at once.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve); and [`Rejected::ExceedsBurst`] when there are never as many.
    pub fn reserve_many(&self, permits: u32) -> Result<Reservation, Rejected> {
        let now = self.now();
        let place = self.place(permits, now)?;
        Ok(Reservation::new(self.clone(), place))
    }

    /// Waits for a permit, in the order of asking, if it comes within [`max_wait`](Config::max_wait).
    /// A permit that is there now is taken without a timer.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve), at once.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it gives its place back, as a [`Reservation`] does.
    pub async fn acquire(&self) -> Result<(), Rejected> {
        self.acquire_many(1).await
    }

    /// As [`acquire`](Self::acquire), for `permits` at once.
    ///
    /// # Errors
    ///
    /// As [`reserve_many`](Self::reserve_many), at once.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_many(&self, permits: u32) -> Result<(), Rejected> {
        if let Some(reservation) = self.wait_for(permits)? {
            reservation.wait().await;
        }
        Ok(())
    }

    /// Waits for a permit as [`acquire`](Self::acquire) does, and runs `call`.
    ///
    /// # Errors
    ///
    /// The error of `call`, or [`Rejected::RateLimited`] made into it.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it gives its place back; the permit of a call that has begun is used.
    pub async fn call<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected>,
    {
        self.acquire().await?;
        call().await
    }

    /// A Tower layer that takes a permit for each call and rejects it when there is none; it never
    /// waits, whatever [`max_wait`](Config::max_wait) says. All that is made from it shares the state.
    #[must_use]
    pub fn layer(&self) -> RateLimitLayer {
        RateLimitLayer::new(self.clone())
    }

    /// A Tower layer in which calls wait for their permit as in [`acquire`](Self::acquire). It needs a
    /// service that can be cloned: see [the order in a stack](super#order-in-a-stack).
    #[must_use]
    pub fn waiting_layer(&self) -> WaitingLayer {
        WaitingLayer::new(self.clone())
    }

    /// Another limiter of the same name and policy, with a full burst, that shares nothing with this
    /// one, as for each key of a [`Registry`](crate::keyed::Registry).
    #[must_use]
    pub fn fresh(&self) -> Self {
        let Shared { name, meters, .. } = &*self.0;
        Self::with_meters(Arc::clone(name), self.config(), meters.clone())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The policy.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.bucket.config()
    }

    /// How many permits are there now. Takes none; another call may take them the next moment.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.0.bucket.levels(self.now()).available
    }

    /// All there is to see, for an operations page. Takes no permit.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let Levels {
            available,
            next_in,
            full_in,
        } = self.0.bucket.levels(self.now());
        let config = self.config();
        Snapshot {
            name: Arc::clone(&self.0.name),
            rate: config.rate,
            burst: config.burst_or_default(),
            available,
            next_in: Duration::from_nanos(next_in),
            full_in: Duration::from_nanos(full_in),
            rejected: self.0.bucket.rejected(),
        }
    }

    /// Takes on another policy from now on. It gives nothing away: as many permits are there as before,
    /// as far as the new burst holds them, and more come at the new rate. Who waits keeps the time that
    /// was given, and whoever asks later comes after that.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.0.bucket.reconfigure(config, || self.now());
        Ok(())
    }

    /// A permit that is there now (`None`), or the place to wait for.
    pub(crate) fn wait_for(&self, permits: u32) -> Result<Option<Reservation>, Rejected> {
        let now = self.now();
        let place = self.place(permits, now)?;
        Ok((place.end > now).then(|| Reservation::new(self.clone(), place)))
    }

    fn place(&self, permits: u32, now: u64) -> Result<Place, Rejected> {
        if permits == 0 {
            return Ok(Place {
                start: now,
                end: now,
            });
        }
        match self.0.bucket.take(permits, now, self.longest_wait()) {
            Ok(place) => {
                match place.end.saturating_sub(now) {
                    0 => self.0.meters.allowed(),
                    wait => self.0.meters.delayed(wait),
                }
                Ok(place)
            }
            Err(refused) => Err(self.rejected(refused, permits)),
        }
    }

    /// How long a call may wait from now on, in nanoseconds: no longer than until its deadline.
    fn longest_wait(&self) -> u64 {
        let policy = self.0.bucket.max_wait();
        if policy == 0 {
            return 0;
        }
        let left = deadline::remaining().map_or(u128::MAX, |left| left.as_nanos());
        policy.min(u64::try_from(left).unwrap_or(u64::MAX))
    }

    pub(super) fn give_back(&self, place: Place) {
        self.0.meters.cancelled();
        self.0.bucket.give_back(place, self.now());
    }

    /// Now, in the bucket's time.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// `now` in the bucket's time. A clock that shows a time before the limiter was made stands still.
    #[inline]
    fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.made);
        let nanos = since.as_secs().saturating_mul(1_000_000_000);
        let nanos = nanos.saturating_add(u64::from(since.subsec_nanos()));
        ORIGIN.saturating_add(nanos)
    }

    /// The moment `at` of the bucket's time.
    pub(super) fn instant(&self, at: u64) -> Instant {
        after(self.0.made, Duration::from_nanos(at.saturating_sub(ORIGIN)))
    }

    #[cold]
    fn rejected(&self, refused: Refused, permits: u32) -> Rejected {
        self.0.meters.rejected();
        let name = Arc::clone(&self.0.name);
        let rejected = match refused {
            Refused::For(nanos) => Rejected::rate_limited(name, Duration::from_nanos(nanos)),
            Refused::TooMany => {
                let burst = self.config().burst_or_default();
                Rejected::exceeds_burst(name, permits, burst)
            }
        };
        tracing::debug!(
            name: "bowline.rate.rejected",
            limiter = &*self.0.name,
            permits,
            retry_after = rejected.retry_after().map(tracing::field::debug),
        );
        rejected
    }
}

/// Idle while the burst is full and nobody else holds a handle: a new limiter would do the same.
impl Evict for RateLimiter {
    fn is_idle(&self, now: Instant) -> bool {
        Arc::strong_count(&self.0) == 1 && self.0.bucket.is_full(self.at(now))
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("name", &self.0.name)
            .field("config", &self.config())
            .finish_non_exhaustive()
    }
}
