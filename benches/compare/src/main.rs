//! Bowline beside its peers, in one process and one run; started by `cargo xtask compare`.
//!
//! All subjects of a case protect the same call. They take turns round by round, so that what
//! disturbs the machine disturbs all of them, and what is quoted is a ratio or a difference within a
//! round. Calls are polled by hand, so that nobody pays for a runtime as long as nothing waits; what a
//! peer asks of a runtime is there. Before and after it is measured each subject must show that it
//! does what the case says. Where threads share a subject only that time counts during which all of
//! them ran, which on a busy machine is not all of it.
//!
//! The suites `consumer` and `outbox` are about records and events instead, with real servers; see their
//! modules.
#![allow(
    clippy::disallowed_types,
    reason = "measures in real time, by the clock that costs least"
)]

mod alloc;
mod bare;
#[cfg(feature = "kafka")]
mod book;
#[cfg(feature = "kafka")]
mod child;
#[cfg(feature = "kafka")]
mod jvm;
mod latency;
mod measure;
mod report;
#[cfg(feature = "kafka")]
mod spent;
mod subject;
mod suites;
mod together;
#[cfg(feature = "kafka")]
mod usage;

use std::process::ExitCode;
use std::{env, fs};

use bare::Work;
use report::{Result, Row};
use suites::Suite;

/// What is to be measured.
struct Options {
    suites: Vec<Suite>,
    json: Option<String>,
    plan: Plan,
}

/// How it is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    rounds: usize,
    filter: String,
    /// Whether peers that need a Java machine take part.
    jvm: bool,
}

/// Fewer say nothing about the spread.
const ROUNDS_MIN: usize = 5;
const ROUNDS: usize = 9;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match suites::worker(&arguments) {
        Some(done) => done,
        None => Options::parse(&arguments).and_then(|options| options.run()),
    };
    match done {
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
            plan: Plan {
                rounds: ROUNDS,
                filter: String::new(),
                jvm: false,
            },
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next().cloned();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--json" => options.json = Some(value()?),
                "--rounds" => options.plan.rounds = value()?.parse()?,
                "--filter" => options.plan.filter = value()?,
                "--jvm" => options.plan.jvm = true,
                "all" => options.suites = suites::all(),
                name => options.suites.push(suites::named(name)?),
            }
        }
        if options.suites.is_empty() {
            return Err(format!("which suite? {}", suites::names()).into());
        }
        if options.plan.rounds < ROUNDS_MIN {
            return Err(format!("--rounds is at least {ROUNDS_MIN}").into());
        }
        Ok(options)
    }

    fn run(&self) -> Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        let work = Work::lasting(measure::WORK);
        let Plan { rounds, filter, .. } = &self.plan;
        for suite in &self.suites {
            for case in suite.cases.iter().filter(|c| self.plan.wants(c.name)) {
                Self::show(&mut rows, measure::case(suite.name, case, work, *rounds)?);
            }
            for case in suite.latencies.iter().filter(|c| self.plan.wants(c.name)) {
                Self::show(&mut rows, latency::case(suite.name, case, *rounds)?);
            }
            if let Some(own) = suite.own {
                Self::show(&mut rows, own(&self.plan)?);
            }
        }
        if rows.is_empty() {
            return Err(format!("no case has `{filter}` in its name").into());
        }
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(&rows)?;
            fs::write(file, text + "\n").map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(())
    }

    fn show(rows: &mut Vec<Row>, tables: Vec<Vec<Row>>) {
        for table in tables {
            print!("{}", report::table(&table));
            rows.extend(table);
        }
    }
}

impl Plan {
    fn wants(&self, case: &str) -> bool {
        case.contains(&self.filter)
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
        let arguments = ["--rounds", "7", "retry", "--jvm", "--json", "f", "rate"];
        let options = parse(&arguments).expect("fine");
        let suites: Vec<_> = options.suites.iter().map(|suite| suite.name).collect();
        assert_eq!(suites, ["retry", "rate"]);
        assert_eq!(options.json.as_deref(), Some("f"));
        assert_eq!((options.plan.rounds, options.plan.jvm), (7, true));
    }

    #[test]
    fn a_missing_or_unknown_suite_is_answered_with_their_names() {
        let names = problem(&[]);
        assert!(names.contains("breaker retry bulkhead rate stack ") && names.ends_with(" all"));
        assert!(problem(&["brake"]).contains("no suite `brake`: breaker "));
        assert!(problem(&["rate", "--json"]).contains("--json needs a value"));
        assert!(problem(&["rate", "--rounds", "4"]).contains("at least 5"));
    }
}
