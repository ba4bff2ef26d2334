use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, duration};

/// So many permits in so much time, spread evenly.
///
/// As text it is `100/s`, `6000/m` or `10/500ms`. A limiter gives a permit each
/// [`interval`](Self::interval), a whole number of nanoseconds: what does not divide evenly is rounded
/// up, so that it is never faster than the rate, and at 1,000,000/s slower by at most a thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    permits: u32,
    period: Duration,
}

impl Rate {
    /// `permits` in each `period`. Zero of either is refused where the rate is used.
    #[must_use]
    pub const fn new(permits: u32, period: Duration) -> Self {
        Self { permits, period }
    }

    /// `permits` in each second.
    #[must_use]
    pub const fn per_second(permits: u32) -> Self {
        Self::new(permits, Duration::from_secs(1))
    }

    /// `permits` in each minute.
    #[must_use]
    pub const fn per_minute(permits: u32) -> Self {
        Self::new(permits, Duration::from_secs(60))
    }

    /// `permits` in each hour.
    #[must_use]
    pub const fn per_hour(permits: u32) -> Self {
        Self::new(permits, Duration::from_secs(3_600))
    }

    /// How many permits a period has.
    #[must_use]
    pub const fn permits(self) -> u32 {
        self.permits
    }

    /// The time for which they are.
    #[must_use]
    pub const fn period(self) -> Duration {
        self.period
    }

    /// The time from one permit to the next.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_nanos(self.interval_nanos())
    }

    /// The interval rounded up, so that the limit holds exactly.
    pub(super) fn interval_nanos(self) -> u64 {
        let nanos = self.period.as_nanos();
        u64::try_from(nanos.div_ceil(u128::from(self.permits.max(1)))).unwrap_or(u64::MAX)
    }

    /// How many permits `time` has; never none.
    pub(super) fn permits_in(self, time: Duration) -> u32 {
        let permits = time.as_nanos() / u128::from(self.interval_nanos().max(1));
        u32::try_from(permits).unwrap_or(u32::MAX).max(1)
    }

    pub(super) fn check(self, field: &str, problems: &mut Problems) {
        let fine = self.permits > 0 && u128::from(self.permits) <= self.period.as_nanos();
        problems.check(
            fine,
            field,
            self,
            "from 1 permit, at most 1 in a nanosecond",
        );
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = duration::format(self.period);
        // One second is `s`; ten are `10s`.
        let unit = period.strip_prefix('1').unwrap_or(&period);
        let is_one = unit.starts_with(|c: char| c.is_ascii_alphabetic());
        let period = if is_one { unit } else { &period };
        write!(f, "{}/{period}", self.permits)
    }
}

impl FromStr for Rate {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let parsed = text.split_once('/').and_then(|(permits, period)| {
            let permits = permits.trim().parse().ok()?;
            let period = period.trim();
            let is_one = period.starts_with(|c: char| c.is_ascii_alphabetic());
            let one = if is_one { "1" } else { "" };
            Some(Self::new(
                permits,
                duration::parse(&format!("{one}{period}"))?,
            ))
        });
        let mut problems = Problems::default();
        if parsed.is_none() {
            let shown = format!("{text:?}");
            problems.add("rate", shown, "permits per time, as 100/s or 10/500ms");
        }
        let rate = parsed.unwrap_or(Self::new(0, Duration::ZERO));
        problems.into_result().map(|()| rate)
    }
}

impl TryFrom<String> for Rate {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_a_text() {
        let cases = [
            (Rate::per_second(100), "100/s"),
            (Rate::per_minute(1), "1/m"),
            (Rate::per_hour(5_000), "5000/h"),
            (Rate::new(10, Duration::from_millis(500)), "10/500ms"),
            (Rate::new(10, Duration::from_secs(10)), "10/10s"),
            (Rate::new(3, Duration::from_millis(1)), "3/ms"),
        ];
        for (rate, text) in cases {
            assert_eq!(rate.to_string(), text);
            assert_eq!(text.parse::<Rate>().ok(), Some(rate));
            let json = serde_json::to_string(&rate).expect("writable");
            assert_eq!(serde_json::from_str::<Rate>(&json).ok(), Some(rate));
        }
        assert_eq!(
            " 7 / 2 m ".parse::<Rate>().ok(),
            Some(Rate::new(7, Duration::from_secs(120)))
        );
        for bad in [
            "", "100", "/s", "100/", "-1/s", "1.5/s", "1/week", "1/5", "s/1",
        ] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_interval_that_does_not_divide_is_rounded_up() {
        assert_eq!(Rate::per_second(100).interval(), Duration::from_millis(10));
        assert_eq!(
            Rate::per_second(3).interval(),
            Duration::from_nanos(333_333_334)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(permits: u32, millis in 1u64..10_000_000_000) {
            let rate = Rate::new(permits, Duration::from_millis(millis));
            prop_assert_eq!(rate.to_string().parse::<Rate>().ok(), Some(rate));
        }
    }
}
