use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::OnPoison;
use crate::backoff::Backoff;
use crate::config::{ConfigError, Problems, duration};

/// How a relay works, as plain data, e.g. from a file.
///
/// | option | default | range |
/// |---|---|---|
/// | `window` | 1,000 rows | from 1 |
/// | `lease` | 10 s | from 1 s |
/// | `poll` | 500 ms | 1 ms to the lease |
/// | `backoff` | exponential from 50 ms to 5 s, full jitter | base above 0 |
/// | `on_poison` | `park-key` | `park-key`, `park-event`, `halt` |
/// | `crash_limit` | 5 | from 1 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How many rows are published together: at most so many are published twice after a crash.
    pub window: NonZeroUsize,
    /// How long a relay that says nothing keeps the lease.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// The longest wait without a hint before looking for new rows: waits begin with a millisecond and
    /// double after eight of them while none come.
    #[serde(with = "duration")]
    pub poll: Duration,
    /// How long to wait after a transient failure.
    pub backoff: Backoff,
    /// What becomes of a row that can never be published.
    pub on_poison: OnPoison,
    /// A row is poison when so many relays have ended with it alone in hand, or the publisher has panicked
    /// over it so often. Where one process relays several lanes, a row of another lane that is published at
    /// the same moments may go with it.
    pub crash_limit: NonZeroU32,
}

impl Config {
    /// Enough to make a round trip worth it, few enough to repeat.
    pub const WINDOW: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
    /// Longer than any sensible pause of a process; also how long a takeover takes at most.
    pub const LEASE: Duration = Duration::from_secs(10);
    /// A lease is renewed at a third of it; below this a renewal would be late on a busy machine.
    pub const LEASE_MIN: Duration = Duration::from_secs(1);
    /// The wake-up brings new rows at once; this is for when it is lost.
    pub const POLL: Duration = Duration::from_millis(500);
    /// Few enough to end a crash loop, more than an unlucky row survives relays that are killed from outside.
    pub const CRASH_LIMIT: NonZeroU32 = NonZeroU32::new(5).unwrap();
    /// The shortest wait between looks.
    pub const POLL_MIN: Duration = Duration::from_millis(1);

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        let shown = duration::format;
        problems.check(
            self.lease >= Self::LEASE_MIN,
            "lease",
            shown(self.lease),
            format!("at least {}", shown(Self::LEASE_MIN)),
        );
        problems.check(
            (Self::POLL_MIN..=self.lease).contains(&self.poll),
            "poll",
            shown(self.poll),
            format!(
                "{} to the lease, {}",
                shown(Self::POLL_MIN),
                shown(self.lease)
            ),
        );
        self.backoff.check("backoff", &mut problems);
        problems.into_result()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Self::WINDOW,
            lease: Self::LEASE,
            poll: Self::POLL,
            backoff: Backoff::default().cap(Duration::from_secs(5)),
            on_poison: OnPoison::ParkKey,
            crash_limit: Self::CRASH_LIMIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported() {
        let config = Config {
            lease: Duration::ZERO,
            poll: Duration::ZERO,
            backoff: Backoff::constant(Duration::ZERO),
            ..Config::default()
        };
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["lease", "poll", "backoff.base"]);
        assert!(Config::default().check().is_ok());
    }
}
