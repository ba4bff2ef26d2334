use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::RateLimiter;
use super::bucket::Place;

/// A permit that is somebody's from a given time on.
///
/// Dropped before that time it is given back; dropped later it counts as used, as it is by a caller who
/// has waited by himself. What is given back is not lost, and not given out twice: the latest place
/// makes the queue shorter; an earlier one goes to the next who asks, who may so pass by others that
/// wait, but delays nobody, for each keeps the time that was given.
#[derive(Debug)]
#[must_use = "a reservation that is dropped before its time is given back"]
pub struct Reservation {
    limiter: RateLimiter,
    place: Place,
    held: Held,
}

/// Until when a reservation is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Until its time.
    UntilItsTime,
    /// Until it says that it is used.
    UntilUsed,
    /// It is used.
    Used,
}

impl Reservation {
    pub(super) fn new(limiter: RateLimiter, place: Place) -> Self {
        Self {
            limiter,
            place,
            held: Held::UntilItsTime,
        }
    }

    /// How long until its time; zero once it has come.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_nanos(self.place.end.saturating_sub(self.limiter.now()))
    }

    /// The time from which on the call may go ahead. It does not change.
    #[must_use]
    pub fn ready_at(&self) -> Instant {
        self.limiter.instant(self.place.end)
    }

    /// Waits for its time, and uses it. A timer is armed only if the time has not yet come.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it gives the place back.
    pub async fn wait(self) {
        if self.place.end > self.limiter.now() {
            sleep_until(self.ready_at()).await;
        }
        self.used();
    }

    /// Gives it back although its time may have come, because the call was not made. A permit that has
    /// lain for longer than the burst takes to fill has run over, and nothing is left of it.
    pub fn cancel(mut self) {
        self.held = Held::UntilUsed;
    }

    /// Gives it back whenever it is dropped before [`used`](Self::used).
    pub(super) fn held_until_used(mut self) -> Self {
        self.held = Held::UntilUsed;
        self
    }

    pub(super) fn used(mut self) {
        self.held = Held::Used;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let is_free = match self.held {
            Held::UntilItsTime => self.place.end > self.limiter.now(),
            Held::UntilUsed => true,
            Held::Used => false,
        };
        if is_free {
            self.limiter.give_back(self.place);
        }
    }
}
