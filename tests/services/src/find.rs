//! Programs, users and packages of this machine.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Error;

/// A user of this machine.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

/// Where `name` is on `PATH`. Links stay: some programs ask what name they were called by.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| is_program(file))
}

/// Whether `path` is an executable file.
pub(crate) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        tempfile::tempfile()
            .and_then(|file| file.metadata())
            .is_ok_and(|data| data.uid() == 0)
    })
}

/// The first of `names` that is a user here.
pub(crate) fn user(names: &[&str]) -> Option<User> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    names.iter().find_map(|name| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(*name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some(User {
            id: ids.next()?.ok()?,
            group: ids.next()?.ok()?,
        })
    })
}

/// Installs Debian's `packages`, when this process is root and `BOWLINE_TEST_INSTALL` is not
/// `never`; says whether it did.
///
/// # Errors
///
/// When the installation was tried and failed.
pub fn install(packages: &[&str]) -> Result<bool, Error> {
    let allowed = env::var_os("BOWLINE_TEST_INSTALL").is_none_or(|value| value != "never");
    if !allowed || !is_root() || on_path("apt-get").is_none() {
        return Ok(false);
    }
    // Parallel test binaries take turns; all but the first find the packages installed.
    let lock = File::create(env::temp_dir().join("bowline-apt.lock"))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| Error::io("cannot lock the package installation", &error))?;
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if apt(&install).is_err() {
        apt(&["update"])?;
        apt(&install)?;
    }
    drop(lock);
    Ok(true)
}

fn apt(arguments: &[&str]) -> Result<(), Error> {
    let output = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io("cannot run apt-get", &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(
        Error::new(format!("`apt-get {}` failed", arguments.join(" ")))
            .with_log(String::from_utf8_lossy(&output.stderr).into_owned()),
    )
}
