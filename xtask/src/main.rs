//! Development tasks, run with `cargo xtask`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a blocking tool without a runtime: it measures and waits in real time"
)]

mod checks;
mod compare;
mod examples;
mod report;
mod run;
mod services;
mod setup;
mod size;
mod suite;
mod table;
mod test;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task>

  test             everything CI checks, against real servers; needs nothing but Rust on Debian as root
  services up      start PostgreSQL, Redis and Kafka in the background and print their addresses
  services env     print the addresses again, as shell exports
  services down    end them
  compare <suite>... | all [--json FILE] [--filter CASE] [--rounds N] [--jvm]
                   measure us beside our peers, and write the figures to FILE; with --jvm also
                   beside those that need Java and Maven
  compare table FILE
                   the figures in FILE as the table of the README
  size             the size of the sources against the budget
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["test"] => test::run(),
        ["services", "up"] => services::up(),
        ["services", "env"] => services::env(),
        ["services", "down"] => services::down(),
        ["services", "hold"] => services::hold(),
        ["compare", "table", file] => table::print(file),
        ["compare", ref arguments @ ..] => compare::run(arguments),
        ["size"] => size::check().map(|text| println!("{text}")),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("unknown task `{}`\n\n{HELP}", arguments.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
