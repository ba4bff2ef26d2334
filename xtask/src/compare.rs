//! Measures us beside our peers.

use std::fs;
use std::path::PathBuf;

use crate::run::{self, cargo, show};

/// Runs the benchmark with `arguments`.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let suites = suites()?;
    check(arguments, &suites)?;
    // What cargo builds for others stays: it has its own directory, as it has its own lock file.
    let target = run::target().join("compare");
    let manifest = package().join("Cargo.toml");
    let mut command = cargo(&["run", "--release", "--locked", "--quiet"]);
    if let Some(feature) = feature(arguments) {
        command.args(["--features", feature]);
    }
    // The file of `--json` is where the caller is, not at the root.
    command.current_dir(".");
    command.arg("--manifest-path").arg(manifest);
    command.arg("--target-dir").arg(target);
    show(command.arg("--").args(arguments))
}

/// What the suites need that work with servers.
fn feature(arguments: &[&str]) -> Option<&'static str> {
    let has = |name| arguments.contains(&name);
    match (has("outbox") || has("all"), has("consumer")) {
        (true, _) => Some("outbox"),
        (false, true) => Some("kafka"),
        (false, false) => None,
    }
}

/// That at least one suite is named and each is known, before anything is built.
fn check(arguments: &[&str], suites: &[String]) -> Result<(), String> {
    let known = format!("{} all", suites.join(" "));
    let mut named = 0;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument.starts_with("--") {
            // The benchmark knows its options; each but one has a value.
            if *argument != "--jvm" {
                arguments.next();
            }
            continue;
        }
        if *argument != "all" && !suites.iter().any(|suite| suite == argument) {
            return Err(format!("no suite `{argument}`: {known}"));
        }
        named += 1;
    }
    match named {
        0 => Err(format!("which suite? {known}")),
        _ => Ok(()),
    }
}

/// Each suite is a file.
fn suites() -> Result<Vec<String>, String> {
    let directory = package().join("src/suites");
    let files = fs::read_dir(&directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?
        .filter_map(|file| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> = files.filter(|name| name != "mod").collect();
    names.sort();
    Ok(names)
}

fn package() -> PathBuf {
    run::root().join("benches/compare")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_unknown_suite_is_answered_with_all_names() {
        let suites = suites().expect("readable");
        let wanted = [
            "breaker", "bulkhead", "consumer", "outbox", "rate", "retry", "stack",
        ];
        assert_eq!(suites, wanted);
        let problem = |arguments: &[&str]| check(arguments, &suites).expect_err("refused");
        let names = "breaker bulkhead consumer outbox rate retry stack all";
        assert_eq!(problem(&[]), format!("which suite? {names}"));
        assert_eq!(problem(&["--json", "all"]), format!("which suite? {names}"));
        assert_eq!(
            problem(&["rate", "brake"]),
            format!("no suite `brake`: {names}")
        );
        check(&["rate", "--filter", "open", "all"], &suites).expect("fine");
        check(&["--jvm", "consumer"], &suites).expect("fine");
    }
}
