//! Bowline beside its peers, in one process and one run; started by `cargo xtask compare`.
//!
//! All subjects of a case protect the same call. They take turns round by round, so that what
//! disturbs the machine disturbs all of them, and what is quoted is a ratio or a difference within a
//! round. Calls are polled by hand, so that nobody pays for a runtime as long as nothing waits; what a
//! peer asks of a runtime is there. Before and after it is measured each subject must show that it
//! does what the case says. Where threads share a subject only that time counts during which all of
//! them ran, which on a busy machine is not all of it.
#![allow(
    clippy::disallowed_types,
    reason = "measures in real time, by the clock that costs least"
)]

mod alloc;
mod bare;
mod latency;
mod measure;
mod report;
mod subject;
mod suites;
mod together;

use std::process::ExitCode;
use std::{env, fs};

use bare::Work;
use report::{Result, Row};
use suites::Suite;

/// What is to be measured.
struct Options {
    suites: Vec<Suite>,
    json: Option<String>,
    rounds: usize,
    filter: String,
}

/// Fewer say nothing about the spread.
const ROUNDS_MIN: usize = 5;
const ROUNDS: usize = 9;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match Options::parse(&arguments).and_then(|options| options.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            suites: Vec::new(),
            json: None,
            rounds: ROUNDS,
            filter: String::new(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next().cloned();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--json" => options.json = Some(value()?),
                "--rounds" => options.rounds = value()?.parse()?,
                "--filter" => options.filter = value()?,
                "all" => options.suites = suites::all(),
                name => options.suites.push(suites::named(name)?),
            }
        }
        if options.suites.is_empty() {
            return Err(format!("which suite? {}", suites::names()).into());
        }
        if options.rounds < ROUNDS_MIN {
            return Err(format!("--rounds is at least {ROUNDS_MIN}").into());
        }
        Ok(options)
    }

    fn run(&self) -> Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        let work = Work::lasting(measure::WORK);
        for suite in &self.suites {
            for case in suite.cases.iter().filter(|case| self.wants(case.name)) {
                Self::show(
                    &mut rows,
                    measure::case(suite.name, case, work, self.rounds)?,
                );
            }
            for case in suite.latencies.iter().filter(|case| self.wants(case.name)) {
                Self::show(&mut rows, latency::case(suite.name, case, self.rounds)?);
            }
        }
        if rows.is_empty() {
            return Err(format!("no case has `{}` in its name", self.filter).into());
        }
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(&rows)?;
            fs::write(file, text + "\n").map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(())
    }

    fn wants(&self, case: &str) -> bool {
        case.contains(&self.filter)
    }

    fn show(rows: &mut Vec<Row>, tables: Vec<Vec<Row>>) {
        for table in tables {
            print!("{}", report::table(&table));
            rows.extend(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        Options::parse(&arguments)
    }

    fn problem(arguments: &[&str]) -> String {
        let problem = parse(arguments).err();
        problem.expect("refused").to_string()
    }

    #[test]
    fn suites_and_options_are_read_in_any_order() {
        let options = parse(&["--rounds", "7", "retry", "--json", "f", "rate"]).expect("fine");
        let suites: Vec<_> = options.suites.iter().map(|suite| suite.name).collect();
        assert_eq!(suites, ["retry", "rate"]);
        assert_eq!((options.rounds, options.json.as_deref()), (7, Some("f")));
    }

    #[test]
    fn a_missing_or_unknown_suite_is_answered_with_their_names() {
        assert!(problem(&[]).ends_with("breaker retry bulkhead rate stack all"));
        assert!(problem(&["brake"]).contains("no suite `brake`: breaker "));
        assert!(problem(&["rate", "--json"]).contains("--json needs a value"));
        assert!(problem(&["rate", "--rounds", "4"]).contains("at least 5"));
    }
}
