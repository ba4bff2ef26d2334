//! Durations as text: `250ms`, `1.5s`, `2m`, `1h`, `7d`. For serde use `#[serde(with = "duration")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a number with its unit; a number without a unit is not a duration.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number = number.trim_end();
    // Whole numbers stay exact; only a fraction goes through floating point.
    if let Ok(whole) = number.parse::<u64>() {
        let nanos = u128::from(whole) * u128::from(*nanos);
        return u64::try_from(nanos / 1_000_000_000)
            .ok()
            .zip(u32::try_from(nanos % 1_000_000_000).ok())
            .map(|(seconds, nanos)| Duration::new(seconds, nanos));
    }
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(Duration::from_nanos(*nanos).as_secs_f64() * number).ok()
}

/// Writes `duration` in the largest unit that needs no fraction.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    for (unit, size) in UNITS {
        let size = u128::from(size);
        if nanos >= size && nanos.is_multiple_of(size) {
            return format!("{}{unit}", nanos / size);
        }
    }
    "0s".to_owned()
}

/// Writes a duration as text.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Reads a duration from text.
///
/// # Errors
///
/// When the text is not a number with a unit.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        de::Error::custom(format!(
            "{text:?} is not a duration, allowed: a number with ns, us, ms, s, m, h or d"
        ))
    })
}

/// The serde form of a time that may be missing, for `#[serde(with = "duration::option")]`.
pub mod option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Text(#[serde(with = "super")] Duration);

    /// Writes `duration` as text, or nothing.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(Text).serialize(serializer)
    }

    /// Reads a duration from text, or nothing.
    ///
    /// # Errors
    ///
    /// When the text is not a number with a unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = Option::<Text>::deserialize(deserializer)?;
        Ok(text.map(|Text(duration)| duration))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_without_unit_or_number_is_refused() {
        for bad in ["", "5", "ms", "-1s", "1 week", "NaNs", "1e400s", "s1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(" 1.5s "), Some(Duration::from_millis(1_500)));
        assert_eq!(parse("2 m"), Some(Duration::from_secs(120)));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0u64..10_000_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&format(duration)), Some(duration));
        }
    }
}
