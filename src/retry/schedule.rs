use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Config;
use crate::backoff::Delays;
use crate::clock::after;

/// The waits of one call, from a schedule of the user's own.
pub(super) type Waits = Box<dyn Iterator<Item = Duration> + Send>;

/// Begins a [`Waits`] for each call that needs one.
#[derive(Clone)]
pub(super) struct OwnSchedule(Arc<dyn Fn() -> Waits + Send + Sync>);

/// When a call that begins `now` must have ended, by its own policy.
pub(super) fn end(config: &Config, now: Instant) -> Instant {
    after(now, config.deadline)
}

/// The waits of one call.
pub(super) enum Schedule {
    Backoff(Delays),
    Own(Waits),
}

impl OwnSchedule {
    pub(super) fn new<F, I>(begin: F) -> Self
    where
        F: Fn() -> I + Send + Sync + 'static,
        I: IntoIterator<Item = Duration>,
        I::IntoIter: Send + 'static,
    {
        Self(Arc::new(move || Box::new(begin().into_iter())))
    }
}

impl Schedule {
    pub(super) fn new(config: &Config, own: Option<&OwnSchedule>) -> Self {
        match own {
            Some(OwnSchedule(begin)) => Self::Own(begin()),
            None => Self::Backoff(config.backoff.delays()),
        }
    }

    /// How long to wait from `now`, at least `asked` if the service has asked for that; `None` when the
    /// schedule has ended or the wait would not end before `end`.
    pub(super) fn wait(
        &mut self,
        asked: Option<Duration>,
        now: Instant,
        end: Instant,
    ) -> Option<Duration> {
        let fits = |wait: &Duration| now.checked_add(*wait).is_some_and(|next| next < end);
        let drawn = self.next()?;
        let Some(asked) = asked else {
            return Some(drawn).filter(fits);
        };
        // All who were asked to come at the same moment would; chance makes them later, never earlier.
        let spread = match self {
            Self::Backoff(delays) if delays.is_jittered() => asked.saturating_add(drawn),
            _ => asked.max(drawn),
        };
        Some(spread)
            .filter(fits)
            .or_else(|| Some(asked.max(drawn)).filter(fits))
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        match self {
            Self::Backoff(delays) => delays.next(),
            Self::Own(waits) => waits.next(),
        }
    }
}

impl fmt::Debug for OwnSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnSchedule(..)")
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backoff(delays) => delays.fmt(f),
            Self::Own(_) => f.write_str("Own(..)"),
        }
    }
}
