//! Sizes as text: `512B`, `64KiB`, `1MiB`, `2GiB`. For serde use `#[serde(with = "size")]`.

use serde::{Deserialize, Deserializer, Serializer, de};

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads a whole number with its unit; a number without a unit is not a size.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(*bytes)
}

/// Writes `bytes` in the largest unit that needs no fraction.
#[must_use]
pub fn format(bytes: u64) -> String {
    for (unit, size) in UNITS {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    "0B".to_owned()
}

/// Writes a size as text.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*bytes))
}

/// Reads a size from text.
///
/// # Errors
///
/// When the text is not a whole number with a unit.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        de::Error::custom(format!(
            "{text:?} is not a size, allowed: a whole number with B, KiB, MiB or GiB"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip_and_nonsense_is_refused() {
        for bytes in [0, 1, 1_000, 1 << 10, 3 << 20, 5 << 30] {
            assert_eq!(parse(&format(bytes)), Some(bytes));
        }
        for bad in ["", "5", "5 kB", "-1B", "1.5KiB", "99999999999999999999B"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
