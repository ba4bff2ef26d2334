//! Brings a fresh machine to the point where the build can begin; the servers see to themselves.

use std::env;
use std::process::{Command, Stdio};

use crate::run;

/// A program that the build or a test runs, the Debian package that holds it, and what for.
const PROGRAMS: [(&str, &str, &str); 5] = [
    ("chromedriver", "chromium-driver", "it drives the browser"),
    ("chromium", "chromium", "the example's page is tested in it"),
    ("c++", "g++", "librdkafka and SQLite are compiled"),
    ("make", "make", "librdkafka is compiled with it"),
    (
        "pkg-config",
        "pkg-config",
        "librdkafka finds its libraries with it",
    ),
];

pub(crate) fn prepare() -> Result<(), String> {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(name, ..)| !is_there(name))
        .collect();
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
        println!("installing {}", packages.join(" "));
        let installed = bowline_test_services::install(&packages).map_err(|e| e.to_string())?;
        if !installed {
            let lines = missing
                .iter()
                .map(|(name, _, why)| format!("  {name}: {why}\n"));
            return Err(format!(
                "these programs are missing:\n{}as root on Debian they are installed for you; \
                 here, run `apt-get install {}` or its like",
                lines.collect::<String>(),
                packages.join(" ")
            ));
        }
    }
    for (tool, component) in [("clippy", "clippy"), ("fmt", "rustfmt")] {
        if run::read(run::cargo(&[tool, "--version"]).stdout(Stdio::null())).is_err() {
            let mut rustup = Command::new("rustup");
            run::show(rustup.args(["component", "add", component]))
                .map_err(|problem| format!("`cargo {tool}` is missing, and {problem}"))?;
        }
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
