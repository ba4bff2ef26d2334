use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::report::Report;
use crate::run;
use crate::suite::Environment;

/// Runs each example that has an expected output and compares the two.
pub(crate) fn compare(environment: &Environment, report: &mut Report) {
    let Ok(folder) = fs::read_dir(run::root().join("examples/expected")) else {
        return;
    };
    let mut expected: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    expected.sort();
    for file in expected
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "txt"))
    {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let began = Instant::now();
        report.check(&format!("example {name}"), || {
            example(&name, file, environment)
        });
        report.time(began.elapsed(), format!("example {name}"));
    }
}

fn example(name: &str, expected: &Path, environment: &Environment) -> Result<(), String> {
    let expected = fs::read_to_string(expected).map_err(|error| error.to_string())?;
    let scope = ["--quiet", "--package", "bowline", "--all-features"];
    let mut command = run::cargo(&["run"]);
    command.args(scope).args(["--example", name]);
    let printed = run::read(command.envs(environment.iter().cloned()))?;
    match printed.trim_end() == expected.trim_end() {
        true => Ok(()),
        false => Err(format!(
            "the output differs\n--- expected\n{expected}--- printed\n{printed}"
        )),
    }
}
