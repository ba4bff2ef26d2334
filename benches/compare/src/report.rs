//! What was measured, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::bare;

/// What goes wrong is said to whoever runs this.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What we are called in tables.
pub(crate) const OURS: &str = "bowline";

/// What one subject took, round by round.
pub(crate) struct Series {
    subject: &'static str,
    pub(crate) values: Vec<f64>,
    /// Empty when they were not counted.
    pub(crate) allocs: Vec<f64>,
}

/// One subject in one case.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) suite: &'static str,
    pub(crate) case: &'static str,
    pub(crate) subject: &'static str,
    /// How many threads share the subject; 0 when it has threads of its own.
    pub(crate) threads: usize,
    /// What the call itself does.
    pub(crate) work: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) rounds: usize,
    /// Of the rounds, the call itself included; not a number, which JSON shows as `null`, when in no
    /// round the threads ran at the same time.
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The median of what each round took more than the bare call in the same round.
    pub(crate) added: Option<f64>,
    /// The median of our time divided by theirs in the same round, the call itself included.
    pub(crate) ratio: Option<f64>,
    /// Per call.
    pub(crate) allocs: Option<f64>,
}

impl Series {
    pub(crate) fn new(subject: &'static str) -> Self {
        Self {
            subject,
            values: Vec::new(),
            allocs: Vec::new(),
        }
    }

    /// One row for each subject, like `row` in what all have in common.
    pub(crate) fn rows(all: &[Self], row: &Row) -> Vec<Row> {
        let named = |name| all.iter().find(|series| series.subject == name);
        let (bare, ours) = (named(bare::NAME), named(OURS));
        let other = |subject: &str| ![bare::NAME, OURS].contains(&subject);
        all.iter()
            .map(|series| Row {
                subject: series.subject,
                median: median(&series.values),
                min: series.values.iter().copied().fold(f64::NAN, f64::min),
                max: series.values.iter().copied().fold(f64::NAN, f64::max),
                added: bare
                    .filter(|_| series.subject != bare::NAME)
                    .map(|bare| series.by_round(bare, |value, bare| value - bare)),
                ratio: ours
                    .filter(|_| other(series.subject))
                    .map(|ours| ours.by_round(series, |ours, theirs| ours / theirs)),
                allocs: (!series.allocs.is_empty()).then(|| median(&series.allocs)),
                ..row.clone()
            })
            .collect()
    }

    /// The median of what both took in the same round, taken together by `both`: what disturbs the
    /// machine for longer than a round disturbs both.
    fn by_round(&self, other: &Self, both: fn(f64, f64) -> f64) -> f64 {
        let pairs = self.values.iter().zip(&other.values);
        median(&pairs.map(|(a, b)| both(*a, *b)).collect::<Vec<_>>())
    }
}

/// The middle one of `values`, or the mean of the two in the middle; not a number when there is none.
/// What is not a number is left out.
pub(crate) fn median(values: &[f64]) -> f64 {
    let known = values.iter().copied().filter(|value| !value.is_nan());
    let mut sorted: Vec<f64> = known.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => f64::NAN,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => f64::midpoint(sorted.get(middle - 1).copied().unwrap_or(*upper), *upper),
    }
}

/// The rows of one case in one variant, for people.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    if let Some(row) = rows.first() {
        let threads = match row.threads {
            0 => String::new(),
            1 => "1 thread; ".to_owned(),
            threads => format!("{threads} threads share it; "),
        };
        let Row {
            suite,
            case,
            work,
            unit,
            rounds,
            ..
        } = row;
        line(
            &mut text,
            format_args!("\n{suite}: {case}; {threads}work in the call: {work}"),
        );
        line(
            &mut text,
            format_args!(
                "  {:<18} {:>10} {:>22} {:>10} {:>8} {:>9}   ({unit}, {rounds} rounds)",
                "", "median", "min..max", "over bare", "allocs", "us/theirs"
            ),
        );
    }
    for row in rows {
        let spread = format!("{}..{}", figure(row.min), figure(row.max));
        let optional = |value: Option<f64>, show: fn(f64) -> String| {
            value.map_or_else(|| "-".to_owned(), show)
        };
        line(
            &mut text,
            format_args!(
                "  {:<18} {:>10} {:>22} {:>10} {:>8} {:>9}",
                row.subject,
                figure(row.median),
                spread,
                optional(row.added, figure),
                optional(row.allocs, |allocs| format!("{allocs:.2}")),
                optional(row.ratio, |ratio| format!("{ratio:.3}")),
            ),
        );
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _written = writeln!(text, "{line}");
}

/// One digit after the point where it means something.
fn figure(value: f64) -> String {
    match value.abs() {
        unknown if !unknown.is_finite() => "-".to_owned(),
        small if small < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(subject: &'static str, values: &[f64]) -> Series {
        Series {
            values: values.to_vec(),
            allocs: vec![2.0; values.len()],
            ..Series::new(subject)
        }
    }

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_both_middles() {
        assert!(median(&[]).is_nan());
        assert_eq!(median(&[7.0]), 7.0);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[9.0, 1.0, 5.0, 2.0]), 3.5);
        assert_eq!(median(&[9.0, f64::NAN, 1.0, 5.0]), 5.0);
    }

    #[test]
    fn differences_and_ratios_are_taken_within_a_round() {
        // The machine is twice as slow in the second round and four times in the third.
        let all = [
            series("bare", &[2.0, 4.0, 8.0]),
            series("bowline", &[5.0, 10.0, 20.0]),
            series("peer", &[50.0, 100.0, 200.0]),
        ];
        let rows = Series::rows(
            &all,
            &Row {
                suite: "s",
                ..Row::default()
            },
        );
        let (bare, ours, peer) = (&rows[0], &rows[1], &rows[2]);
        assert_eq!((bare.added, bare.ratio), (None, None));
        assert_eq!((ours.added, ours.ratio), (Some(6.0), None));
        assert_eq!((peer.added, peer.ratio), (Some(96.0), Some(0.1)));
        assert_eq!((peer.median, peer.min, peer.max), (100.0, 50.0, 200.0));
        assert_eq!((peer.suite, peer.allocs), ("s", Some(2.0)));
    }

    #[test]
    fn without_us_there_is_no_ratio_and_without_the_bare_call_no_difference() {
        let rows = Series::rows(&[series("peer", &[1.0])], &Row::default());
        assert_eq!((rows[0].added, rows[0].ratio), (None, None));
    }

    #[test]
    fn a_table_shows_each_subject_once() {
        let all = [series("bare", &[2.04]), series("bowline", &[204.4])];
        let text = table(&Series::rows(
            &all,
            &Row {
                threads: 2,
                ..Row::default()
            },
        ));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].contains("2 threads share it"), "{text}");
        assert!(
            lines[3].contains("bare") && lines[3].contains("2.0..2.0"),
            "{text}"
        );
        assert!(
            lines[4].contains("bowline") && lines[4].contains(" 204 "),
            "{text}"
        );
    }
}
