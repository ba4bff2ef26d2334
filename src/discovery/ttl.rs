use std::time::Duration;

use crate::config::{ConfigError, Problems, duration};

/// How long an instance stays listed without a beat.
///
/// Its owner beats at a third of it, so that one lost beat drops nobody.
///
/// # Default
///
/// 15 s: a crashed instance is gone within 15 s, and a pause of 10 s harms nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(Duration);

impl Ttl {
    /// 15 s.
    pub const DEFAULT: Self = Self(Duration::from_secs(15));
    /// The longest, 1 h: longer ones would list the dead rather than the living.
    pub const MAX: Self = Self(Duration::from_secs(3600));
    /// The shortest, 1 s: below it the way to the registry takes a good part of the time.
    pub const MIN: Self = Self(Duration::from_secs(1));

    /// A time to live of `ttl`, from 1 s to 1 h.
    ///
    /// # Errors
    ///
    /// When `ttl` is out of that range.
    pub fn new(ttl: Duration) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        problems.check(
            (Self::MIN.0..=Self::MAX.0).contains(&ttl),
            "ttl",
            duration::format(ttl),
            "1s to 1h",
        );
        problems.into_result().map(|()| Self(ttl))
    }

    /// The time itself.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// The time between two beats, before jitter: a third of the time to live.
    #[must_use]
    pub fn beat(self) -> Duration {
        self.0 / 3
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_second_to_one_hour_is_a_time_to_live() {
        for fine in [1, 15, 3600] {
            assert!(Ttl::new(Duration::from_secs(fine)).is_ok(), "{fine}");
        }
        for bad in [
            Duration::ZERO,
            Duration::from_millis(999),
            Duration::from_secs(3601),
        ] {
            assert!(Ttl::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Ttl::DEFAULT.beat(), Duration::from_secs(5));
    }
}
