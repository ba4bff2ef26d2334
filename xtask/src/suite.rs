//! Builds the workspace's tests and runs the binaries one by one.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::report::Report;
use crate::run::{self, cargo};

/// Names and values that tests find the servers by.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// A program that cargo built, and the folder of its package.
pub(crate) struct Binary {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    folder: PathBuf,
}

const SCOPE: [&str; 2] = ["--workspace", "--all-features"];
/// A binary that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How long the output may stay open after the binary has ended: by something it started.
const LINGER: Duration = Duration::from_secs(2);

/// What `cargo test` built.
pub(crate) struct Built {
    pub(crate) tests: Vec<Binary>,
    pub(crate) examples: Vec<Binary>,
}

/// Builds every test and example of the workspace.
pub(crate) fn build() -> Result<Built, String> {
    println!("\n=== build of the tests");
    let mut command = cargo(&[
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    let messages = run::read(command.args(SCOPE))?;
    let mut built = Built {
        tests: Vec::new(),
        examples: Vec::new(),
    };
    for line in messages.lines() {
        let Ok(artifact) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        match binary(&artifact) {
            Some(binary) if artifact["profile"]["test"] == true => built.tests.push(binary),
            Some(binary) if artifact["target"]["kind"][0] == "example" => {
                built.examples.push(binary);
            }
            _ => {}
        }
    }
    match built.tests.is_empty() {
        true => Err("cargo built no test".to_owned()),
        false => Ok(built),
    }
}

/// Runs one test binary and counts its tests.
pub(crate) fn run(binary: &Binary, environment: &Environment, report: &mut Report) {
    println!("\n=== {}", binary.name);
    // Times per test are reported by no stable means; only running the binary needs this.
    let child = Command::new(&binary.path)
        .args(["-Z", "unstable-options", "--format=json", "--report-time"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .envs(environment.iter().cloned())
        .current_dir(&binary.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let name = &binary.name;
    let mut counted = false;
    let ended = child
        .map_err(|error| error.to_string())
        .and_then(|child| follow(child, |line| counted |= event(name, line, report)));
    for test in report.unfinished() {
        report.fail(format!("{test} did not end"));
    }
    match ended {
        Ok(_) if counted => {}
        Ok(status) => report.fail(format!("{name} ended before its tests did ({status})")),
        Err(problem) => report.fail(format!("{name}: {problem}")),
    }
}

/// Runs the doctests of the workspace's libraries.
pub(crate) fn doctests(environment: &Environment, report: &mut Report) {
    println!("\n=== doctests");
    let began = Instant::now();
    let child = cargo(&["test", "--doc", "--no-fail-fast"])
        .args(SCOPE)
        .envs(environment.iter().cloned())
        .stdout(Stdio::piped())
        .spawn();
    let mut failed = 0;
    let ended = child.map_err(|error| error.to_string()).and_then(|child| {
        follow(child, |line| {
            println!("{line}");
            if let Some([passed, wrong, ignored]) = summary(line) {
                report.pass(passed);
                report.skip(ignored);
                failed += wrong;
            } else if let Some(test) = line.strip_suffix(" ... FAILED") {
                report.fail(format!("doctest {}", test.trim_start_matches("test ")));
            }
        })
    });
    match ended {
        Ok(status) if !status.success() && failed == 0 => {
            report.fail(format!("doctests did not build ({status})"));
        }
        Ok(_) => {}
        Err(problem) => report.fail(format!("doctests: {problem}")),
    }
    report.time(began.elapsed(), "all doctests".to_owned());
}

fn binary(artifact: &Value) -> Option<Binary> {
    let path = PathBuf::from(artifact["executable"].as_str()?);
    let folder = Path::new(artifact["manifest_path"].as_str()?)
        .parent()?
        .to_owned();
    let package = folder
        .strip_prefix(run::root())
        .unwrap_or(&folder)
        .display()
        .to_string();
    let target = artifact["target"]["name"].as_str()?;
    let kind = artifact["target"]["kind"][0].as_str()?;
    let name = format!("{package} {kind} {target}").trim_start().to_owned();
    Some(Binary { name, path, folder })
}

/// Reads one line of a test binary's report; true for the line that ends it.
fn event(binary: &str, line: &str, report: &mut Report) -> bool {
    let Ok(event) = serde_json::from_str::<Value>(line) else {
        println!("{line}");
        return false;
    };
    let test = format!("{binary}: {}", event["name"].as_str().unwrap_or_default());
    let seconds = event["exec_time"]
        .as_f64()
        .and_then(|s| Duration::try_from_secs_f64(s).ok());
    match (event["type"].as_str(), event["event"].as_str()) {
        (Some("suite"), Some("ok" | "failed")) => {
            println!(
                "{} passed, {} failed, {} ignored",
                event["passed"], event["failed"], event["ignored"]
            );
            return true;
        }
        (Some("test"), Some("started")) => {
            report.begin(test);
            return false;
        }
        (Some("test"), Some("ok")) => report.pass(1),
        (Some("test"), Some("ignored")) => report.skip(1),
        (Some("test"), Some("failed" | "timeout")) if event["event"] == "failed" => {
            println!(
                "FAILED {test}\n{}",
                event["stdout"].as_str().unwrap_or_default()
            );
            report.fail(test.clone());
        }
        _ => return false,
    }
    report.time(seconds.unwrap_or_default(), test);
    false
}

/// `[passed, failed, ignored]` from `test result: ok. 1 passed; 0 failed; 2 ignored; ...`.
fn summary(line: &str) -> Option<[usize; 3]> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut numbers = counts
        .split("; ")
        .map(|part| part.split(' ').next()?.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// Passes each line that `child` prints to `line`, until it ends or has run for too long.
fn follow(mut child: Child, mut line: impl FnMut(&str)) -> Result<ExitStatus, String> {
    let stdout = child.stdout.take().ok_or("no output to read")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let read = BufReader::new(stdout).lines().map_while(Result::ok);
        read.into_iter().all(|line| sender.send(line).is_ok())
    });
    let began = Instant::now();
    let mut ended: Option<Instant> = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                if ended.is_some_and(|at| at.elapsed() > LINGER) {
                    break;
                }
                if matches!(child.try_wait(), Ok(Some(_))) {
                    ended.get_or_insert_with(Instant::now);
                }
            }
        }
        if began.elapsed() > LONGEST {
            let killed = child.kill().and_then(|()| child.wait());
            return Err(format!("killed after {LONGEST:?} ({killed:?})"));
        }
    }
    child.wait().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_libtest_is_read() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 4 ignored; 0 measured; 0 filtered out";
        assert_eq!(summary(line), Some([12, 3, 4]));
        assert_eq!(summary("test a::b ... ok"), None);
    }

    #[test]
    fn events_of_libtest_are_counted() {
        let mut report = Report::default();
        let lines = [
            r#"{ "type": "suite", "event": "started", "test_count": 2 }"#,
            r#"{ "type": "test", "event": "started", "name": "a" }"#,
            r#"{ "type": "test", "name": "a", "event": "ok", "exec_time": 0.5 }"#,
            r#"{ "type": "test", "name": "b", "event": "failed", "exec_time": 0.1, "stdout": "x" }"#,
        ];
        for line in lines {
            assert!(!event("bin", line, &mut report));
        }
        let last =
            r#"{ "type": "suite", "event": "failed", "passed": 1, "failed": 1, "ignored": 0 }"#;
        assert!(event("bin", last, &mut report));
        report.finish().expect_err("one test failed");
    }
}
