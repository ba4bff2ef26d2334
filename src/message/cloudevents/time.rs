//! Times as RFC 3339.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// The longest: nine digits after the second.
pub(super) const LONGEST: usize = "2026-01-31T23:59:59.123456789Z".len();

/// Whether the year has four digits, the only ones that RFC 3339 knows.
pub(in crate::message) fn is_writable(time: DateTime<Utc>) -> bool {
    (0..=9999).contains(&time.year())
}

/// Writes `time`, with as many digits after the second as it needs: none, 3, 6 or 9.
pub(super) fn push(out: &mut String, time: DateTime<Utc>) {
    /// A leap second counts on after the second before it.
    const SECOND: u32 = 1_000_000_000;
    let time = time.naive_utc();
    let leap = time.nanosecond() / SECOND;
    let nanos = time.nanosecond() % SECOND;
    digits(out, time.year().unsigned_abs(), 4);
    let parts = [
        ('-', time.month()),
        ('-', time.day()),
        ('T', time.hour()),
        (':', time.minute()),
        (':', time.second() + leap),
    ];
    for (before, part) in parts {
        out.push(before);
        digits(out, part, 2);
    }
    let (fraction, count) = match nanos {
        0 => (0, 0),
        _ if nanos.is_multiple_of(1_000_000) => (nanos / 1_000_000, 3),
        _ if nanos.is_multiple_of(1_000) => (nanos / 1_000, 6),
        _ => (nanos, 9),
    };
    if count > 0 {
        out.push('.');
        digits(out, fraction, count);
    }
    out.push('Z');
}

/// Reads what [`push`] writes and everything else that is RFC 3339.
pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    is_writable(time).then_some(time)
}

fn digits(out: &mut String, number: u32, count: u32) {
    for place in (0..count).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        if let Some(digit) = char::from_digit(digit, 10) {
            out.push(digit);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_time_is_written_as_chrono_does_it_and_reads_back(
            second in -62_167_219_200_i64..253_402_300_800,
            nanos in prop_oneof![
                Just(0),
                (0..1_000_u32).prop_map(|milli| milli * 1_000_000),
                (0..1_000_000_u32).prop_map(|micro| micro * 1_000),
                0..1_000_000_000_u32,
            ],
        ) {
            let time = DateTime::from_timestamp(second, nanos).expect("in range");
            let mut text = String::new();
            push(&mut text, time);
            prop_assert_eq!(&text, &time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            prop_assert!(text.len() <= LONGEST);
            prop_assert_eq!(parse(&text), Some(time));
        }
    }

    #[test]
    fn a_leap_second_reads_back() {
        let text = "2016-12-31T23:59:60.5Z";
        let time = parse(text).expect("a time");
        let mut written = String::new();
        push(&mut written, time);
        assert_eq!(written, "2016-12-31T23:59:60.500Z");
        assert_eq!(parse(&written), Some(time));
    }

    #[test]
    fn a_time_that_could_not_be_written_again_is_refused() {
        assert_eq!(parse("0000-01-01T00:00:00+01:00"), None);
        assert_eq!(parse("9999-12-31T23:59:59-01:00"), None);
        assert_eq!(parse("yesterday"), None);
        assert!(parse("2026-01-31t23:59:59.1+05:30").is_some());
    }
}
