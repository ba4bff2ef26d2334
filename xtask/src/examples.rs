use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::report::Report;
use crate::run;
use crate::suite::{Binary, Environment};

/// Runs each example that has an expected output and compares the two.
pub(crate) fn compare(built: &[Binary], environment: &Environment, report: &mut Report) {
    let Ok(folder) = fs::read_dir(run::root().join("examples/expected")) else {
        return;
    };
    let files = folder.flatten().map(|entry| entry.path());
    let mut expected: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    expected.sort();
    for file in &expected {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("example {stem}");
        let began = Instant::now();
        report.check(&name, || {
            let binary = built.iter().find(|binary| binary.name == name);
            let binary = binary.ok_or_else(|| format!("there is no {name}"))?;
            example(binary, file, environment)
        });
        report.time(began.elapsed(), name);
    }
}

fn example(binary: &Binary, expected: &Path, environment: &Environment) -> Result<(), String> {
    let expected = fs::read_to_string(expected).map_err(|error| error.to_string())?;
    let mut command = Command::new(&binary.path);
    command
        .envs(environment.iter().cloned())
        .current_dir(run::root())
        .stdin(Stdio::null());
    let printed = run::read(&mut command)?;
    match printed.trim_end() == expected.trim_end() {
        true => Ok(()),
        false => Err(format!(
            "the output differs\n--- expected\n{expected}--- printed\n{printed}"
        )),
    }
}
