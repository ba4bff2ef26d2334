//! What the benchmark has measured, as Markdown.

use std::fs;

use serde_json::Value;

/// Prints the figures in `file` as one table for each suite.
pub(crate) fn print(file: &str) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let figures = figures(&text).map_err(|problem| format!("{file}: {problem}"))?;
    print!("{}", markdown(&figures));
    Ok(())
}

/// What one subject took in one case.
struct Figure {
    suite: String,
    case: String,
    subject: String,
    /// `None` when it could not be measured.
    median: Option<f64>,
    /// Bytes are not shown as time.
    megabytes: bool,
}

const OURS: &str = "bowline";

fn figures(text: &str) -> Result<Vec<Figure>, String> {
    let rows: Vec<Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    rows.iter().map(figure).collect()
}

fn figure(row: &Value) -> Result<Figure, String> {
    let text = |field: &str| {
        let text = row[field].as_str().map(str::to_owned);
        text.ok_or_else(|| format!("a row without a {field}"))
    };
    let mut case = text("case")?;
    let unit = text("unit")?;
    if let Some((_, quantile)) = unit.split_once(", ") {
        case += &format!(", {quantile}");
    }
    if let Some(threads) = row["threads"].as_u64().filter(|threads| *threads > 1) {
        case += &format!(", {threads} threads");
    }
    if let Some(work) = row["work"].as_str().filter(|work| *work != "none") {
        case += &format!(", {work} of work");
    }
    Ok(Figure {
        suite: text("suite")?,
        case,
        subject: text("subject")?,
        median: row["median"].as_f64(),
        megabytes: unit.starts_with("MB"),
    })
}

/// A table for each suite: cases as lines, subjects as columns, in the order in which they come.
fn markdown(figures: &[Figure]) -> String {
    let mut text = String::new();
    for suite in distinct(figures, |figure| &figure.suite) {
        let figures: Vec<_> = figures.iter().filter(|f| f.suite == suite).collect();
        let subjects = distinct(figures.iter().copied(), |figure| &figure.subject);
        text += &format!("| {suite} | {} |\n", subjects.join(" | "));
        text += &format!("|---|{}\n", "---|".repeat(subjects.len()));
        for case in distinct(figures.iter().copied(), |figure| &figure.case) {
            let of = |subject: &str| {
                let mut figures = figures.iter();
                figures.find(|figure| figure.case == case && figure.subject == subject)
            };
            let cell = |subject: &&str| cell(of(subject), of(OURS));
            let cells: Vec<String> = subjects.iter().map(cell).collect();
            text += &format!("| {case} | {} |\n", cells.join(" | "));
        }
        text += "\n";
    }
    text
}

/// The time of a call, or the memory; at a peer's also ours divided by it.
fn cell(figure: Option<&&Figure>, ours: Option<&&Figure>) -> String {
    let Some((figure, median)) = figure.and_then(|figure| Some((figure, figure.median?))) else {
        return "-".to_owned();
    };
    let shown = match figure.megabytes {
        true => format!("{} MB", two_digits(median)),
        false => time(median),
    };
    match ours.and_then(|ours| ours.median) {
        Some(ours) if ![OURS, "bare"].contains(&figure.subject.as_str()) => {
            format!("{shown} ({})", ratio(ours / median))
        }
        _ => shown,
    }
}

/// With as many digits as another run would show again.
fn time(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 9.5 => format!("{nanos:.1} ns"),
        nanos if nanos < 9_950.0 => format!("{} ns", two_digits(nanos)),
        nanos if nanos < 9_950_000.0 => format!("{} us", two_digits(nanos / 1e3)),
        nanos => format!("{} ms", two_digits(nanos / 1e6)),
    }
}

fn two_digits(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor() - 1.0).max(1.0);
    (value / unit).round() * unit
}

fn ratio(ratio: f64) -> String {
    match ratio {
        tiny if tiny < 0.01 => "< 0.01".to_owned(),
        small if small < 0.995 => format!("{small:.2}"),
        large => format!("{large:.1}"),
    }
}

/// The different values of a part, in the order in which they come.
fn distinct<'a>(
    figures: impl IntoIterator<Item = &'a Figure>,
    part: fn(&Figure) -> &String,
) -> Vec<&'a str> {
    let mut values: Vec<&str> = Vec::new();
    for figure in figures {
        let value = part(figure).as_str();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_lines_and_subjects_are_columns() {
        let text = r#"[
            {"suite": "breaker", "case": "closed", "subject": "bare", "unit": "ns", "median": 0.83},
            {"suite": "breaker", "case": "closed", "subject": "bowline", "unit": "ns", "median": 5.0},
            {"suite": "breaker", "case": "closed", "subject": "peer", "unit": "ns", "median": 268.4},
            {"suite": "breaker", "case": "closed", "subject": "bowline", "unit": "ns",
             "median": 705.0, "threads": 2, "work": "0.7 us"},
            {"suite": "breaker", "case": "open", "subject": "peer", "unit": "ns, p99", "median": 2180826},
            {"suite": "breaker", "case": "open", "subject": "peer", "unit": "MB, memory", "median": 433.2},
            {"suite": "rate", "case": "below", "subject": "peer", "unit": "ns", "median": 33},
            {"suite": "rate", "case": "below", "subject": "busy", "unit": "ns", "median": null}
        ]"#;
        let expected = "\
| breaker | bare | bowline | peer |
|---|---|---|---|
| closed | 0.8 ns | 5.0 ns | 270 ns (0.02) |
| closed, 2 threads, 0.7 us of work | - | 710 ns | - |
| open, p99 | - | - | 2200 us |
| open, memory | - | - | 430 MB |

| rate | peer | busy |
|---|---|---|
| below | 33 ns | - |

";
        assert_eq!(markdown(&figures(text).expect("rows")), expected);
    }

    #[test]
    fn figures_have_no_more_digits_than_they_are_worth() {
        let times = [0.04, 9.44, 9.5, 12.4, 99.6, 268.4, 9_949.0, 9_950.0, 1e7];
        let times = times.map(time);
        assert_eq!(times[..5], ["0.0 ns", "9.4 ns", "10 ns", "12 ns", "100 ns"]);
        assert_eq!(times[5..], ["270 ns", "9900 ns", "10 us", "10 ms"]);
        assert_eq!(
            [0.001, 0.0149, 0.99, 1.0, 2.64].map(ratio),
            ["< 0.01", "0.01", "0.99", "1.0", "2.6"]
        );
    }

    #[test]
    fn a_file_that_is_no_list_of_rows_is_refused() {
        assert!(figures("{}").is_err());
        let problem = figures(r#"[{"suite": "a", "case": "b"}]"#).err();
        assert_eq!(problem.as_deref(), Some("a row without a unit"));
    }
}
