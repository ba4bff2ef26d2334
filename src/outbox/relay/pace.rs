use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::outbox::Store;

/// The first waits after rows have come; each one after them is twice as long.
const FIRST: Duration = Duration::from_millis(1);
/// How many they are: rows that come one by one, some hundred in a second, find the relay looking.
const FIRST_WAITS: u32 = 8;
/// After so long without rows the relay sleeps.
const AWAKE: Duration = Duration::from_millis(100);

/// When to look for new rows again: soon after the last ones have come, then ever less often.
#[derive(Debug)]
pub(super) struct Pace {
    /// The longest wait.
    poll: Duration,
    /// The next wait.
    wait: Duration,
    /// How many waits were so long as the first one.
    first: u32,
    /// Since when no rows have come.
    since: Option<Instant>,
    asleep: bool,
}

/// What to do while there are no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Look again after so long.
    Wait(Duration),
    /// From now on look rarely, but once more at once: rows may have come that nobody has told of.
    FallAsleep,
}

impl Pace {
    pub(super) fn new(poll: Duration) -> Self {
        Self {
            poll,
            wait: FIRST.min(poll),
            first: 0,
            since: None,
            asleep: false,
        }
    }

    /// Rows have come.
    pub(super) fn found(&mut self) {
        *self = Self::new(self.poll);
    }

    /// What to do after a look that found nothing more, at `now`.
    pub(super) fn rest(&mut self, now: Instant) -> Rest {
        let since = *self.since.get_or_insert(now);
        if !self.asleep && now - since >= AWAKE {
            self.asleep = true;
            return Rest::FallAsleep;
        }
        let wait = self.wait;
        self.first = self.first.saturating_add(1);
        if self.first >= FIRST_WAITS {
            self.wait = wait.saturating_mul(2).min(self.poll);
        }
        Rest::Wait(wait)
    }
}

/// The store's next hint. It is kept from one wait to the next: a store may take longer than a wait to
/// begin listening.
pub(super) struct Hint<'a>(Pin<Box<dyn Future<Output = ()> + Send + 'a>>);

impl<'a> Hint<'a> {
    pub(super) fn of(store: &'a impl Store) -> Self {
        Self(Box::pin(store.committed()))
    }
}

impl Future for Hint<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hint").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits until `pace` sleeps, and two more, each waited out.
    fn waits(pace: &mut Pace, now: &mut Instant) -> Vec<u128> {
        let mut waits = Vec::new();
        let mut left = None;
        while left != Some(0) {
            match pace.rest(*now) {
                Rest::Wait(wait) => {
                    *now += wait;
                    waits.push(wait.as_millis());
                    left = left.map(|left: u32| left - 1);
                }
                Rest::FallAsleep => left = Some(2),
            }
        }
        waits
    }

    #[test]
    fn waits_double_up_to_the_poll_and_begin_again_when_rows_come() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(200));
        let expected = [1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 64, 128, 200];
        assert_eq!(waits(&mut pace, &mut now), expected);
        assert_eq!(pace.rest(now), Rest::Wait(Duration::from_millis(200)));
        pace.found();
        assert_eq!(waits(&mut pace, &mut now), expected);
    }

    #[test]
    fn it_falls_asleep_once_however_short_the_poll() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(5));
        let waits = waits(&mut pace, &mut now);
        assert_eq!(waits[7..12], [1, 2, 4, 5, 5]);
        for _ in 0..100 {
            now += Duration::from_secs(1);
            assert_ne!(pace.rest(now), Rest::FallAsleep);
        }
    }
}
