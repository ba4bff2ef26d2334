use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Problems};

/// A share between 0 and 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// 0.5.
    pub const HALF: Self = Self(0.5);
    /// 1.
    pub const ONE: Self = Self(1.0);
    /// 0.1.
    pub const TENTH: Self = Self(0.1);
    /// 0.
    pub const ZERO: Self = Self(0.0);

    /// `value` as a ratio.
    ///
    /// # Errors
    ///
    /// When `value` is below 0, above 1 or not a number.
    pub fn new(value: f64) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        problems.check((0.0..=1.0).contains(&value), "ratio", value, "0 to 1");
        problems.into_result().map(|()| Self(value))
    }

    /// `percent` hundredths; above 100 is 1.
    #[must_use]
    pub fn percent(percent: u8) -> Self {
        Self(f64::from(percent.min(100)) / 100.0)
    }

    /// The number, from 0 to 1.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = ConfigError;

    fn try_from(value: f64) -> Result<Self, ConfigError> {
        Self::new(value)
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> Self {
        ratio.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zero_to_one_is_a_ratio() {
        for fine in [0.0, 0.5, 1.0] {
            assert!(Ratio::new(fine).is_ok());
        }
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Ratio::new(bad).is_err(), "{bad}");
        }
    }
}
