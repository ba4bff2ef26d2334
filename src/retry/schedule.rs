use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Config;
use super::exhausted::Exhausted;
use crate::backoff::Delays;
use crate::clock::after;

/// Begins the waits of each call that needs some, by a schedule of the user's own.
///
/// A box in an `Arc`, so that a [`Schedule`] is two words: what is larger is written to memory on its way.
#[derive(Clone)]
pub(super) struct OwnSchedule(Arc<Box<dyn Fn() -> OwnWaits + Send + Sync>>);

type OwnWaits = Box<dyn Iterator<Item = Duration> + Send>;

/// When a call that begins `now` must have ended, by its own policy.
pub(super) fn end(config: &Config, now: Instant) -> Instant {
    after(now, config.deadline)
}

/// The waits of one call. It begins with the first one: a call that succeeds needs no random numbers.
pub(super) enum Schedule {
    /// That of the policy, not begun.
    Policy,
    /// The user's own, not begun.
    Own(OwnSchedule),
    Begun(Box<Waits>),
}

/// A schedule that has begun.
pub(super) enum Waits {
    Backoff(Delays),
    Own(OwnWaits),
}

impl OwnSchedule {
    pub(super) fn new<F, I>(begin: F) -> Self
    where
        F: Fn() -> I + Send + Sync + 'static,
        I: IntoIterator<Item = Duration>,
        I::IntoIter: Send + 'static,
    {
        Self(Arc::new(Box::new(move || Box::new(begin().into_iter()))))
    }
}

impl Schedule {
    #[inline]
    pub(super) fn new(own: Option<&OwnSchedule>) -> Self {
        match own {
            Some(own) => Self::Own(own.clone()),
            None => Self::Policy,
        }
    }

    /// Whether it holds nothing.
    #[inline]
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Policy)
    }

    /// How long to wait from `now`, at least `asked` if the service has asked for that; nothing when the
    /// schedule has ended or the wait would not end before `end`.
    pub(super) fn wait(
        &mut self,
        config: &Config,
        asked: Option<Duration>,
        now: Instant,
        end: Instant,
    ) -> Result<Duration, Exhausted> {
        let fits = |wait: &Duration| now.checked_add(*wait).is_some_and(|next| next < end);
        let waits = self.begin(config).ok_or(Exhausted::Attempts)?;
        let drawn = waits.next().ok_or(Exhausted::Attempts)?;
        let wait = match asked {
            None => drawn,
            // All who were asked to come at the same moment would; chance makes them later, never earlier.
            Some(asked) => Some(match waits {
                Waits::Backoff(delays) if delays.is_jittered() => asked.saturating_add(drawn),
                _ => asked.max(drawn),
            })
            .filter(fits)
            .unwrap_or_else(|| asked.max(drawn)),
        };
        Some(wait).filter(fits).ok_or(Exhausted::Deadline)
    }

    /// Always something: it has begun by then.
    fn begin(&mut self, config: &Config) -> Option<&mut Waits> {
        let waits = match self {
            Self::Policy => Some(Waits::Backoff(config.backoff.delays())),
            Self::Own(OwnSchedule(begin)) => Some(Waits::Own(begin())),
            Self::Begun(_) => None,
        };
        if let Some(waits) = waits {
            *self = Self::Begun(Box::new(waits));
        }
        match self {
            Self::Begun(waits) => Some(waits),
            Self::Policy | Self::Own(_) => None,
        }
    }
}

impl Iterator for Waits {
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
