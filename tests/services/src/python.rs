//! Python with packages that nobody here wrote, to be read by and written to.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, artifacts, find};

const PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// The interpreter of a virtual environment with `packages`, as `pip` names them with their versions.
///
/// It is made once per user and set of packages, in the user's cache.
///
/// # Errors
///
/// When there is no Python to be had, or the packages cannot be fetched.
pub fn python(packages: &[&str]) -> Result<PathBuf, Error> {
    let cache = artifacts::cache("bowline-python");
    let cache = cache.ok_or_else(|| Error::new("neither HOME nor XDG_CACHE_HOME is set"))?;
    let failed = |error| Error::io(format!("cannot write to {}", cache.display()), &error);
    fs::create_dir_all(&cache).map_err(failed)?;
    let mut pinned = DefaultHasher::new();
    packages.hash(&mut pinned);
    let home = cache.join(format!("venv-{:016x}", pinned.finish()));
    let lock = File::create(cache.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let (python, ready) = (home.join("bin/python"), home.join("ready"));
    if !ready.is_file() {
        create(&home)?;
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        run(pip.args(packages))?;
        // What is not finished does not pass for what is.
        File::create(&ready).map_err(failed)?;
    }
    Ok(python)
}

fn create(home: &Path) -> Result<(), Error> {
    let attempt = || {
        let python = find::on_path("python3").unwrap_or_else(|| PathBuf::from("python3"));
        run(Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(home))
    };
    match attempt() {
        Ok(()) => Ok(()),
        Err(error) if find::install(&PACKAGES)? => attempt().map_err(|_again| error),
        Err(error) => Err(error),
    }
}

fn run(command: &mut Command) -> Result<(), Error> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::io(format!("cannot run {command:?}"), &error))?;
    if output.status.success() {
        return Ok(());
    }
    let log = [output.stdout, output.stderr].concat();
    Err(Error::new(format!("{command:?} failed"))
        .with_log(String::from_utf8_lossy(&log).into_owned()))
}
