use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::find::User;
use crate::guard::Guard;

/// How to run one server as a process.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) command: Vec<OsString>,
    /// Runs as this user instead of ours.
    pub(crate) user: Option<User>,
    /// The signal that ends the server fastest without leaving anything behind on the machine.
    pub(crate) end_signal: &'static str,
    pub(crate) dir: PathBuf,
}

/// A running server, leader of its own process group.
pub(crate) struct Process {
    child: Child,
    guard: Option<Guard>,
    end_signal: &'static str,
}

/// Waits for the word that the guard stands, so that there is no moment without one.
const LAUNCH: &str = r#"read -r go && exec "$@" </dev/null"#;

impl Recipe {
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Starts the server; it is not yet ready.
    pub(crate) fn start(&self) -> Result<Process, Error> {
        let failed = |error| Error::io(format!("cannot start {}", self.name), &error);
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.log())
            .map_err(failed)?;
        let mut launcher = Command::new("sh");
        launcher
            .args(["-c", LAUNCH, self.name])
            .args(&self.command)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0);
        if let Some(user) = &self.user {
            launcher.uid(user.id).gid(user.group);
        }
        let mut child = launcher.spawn().map_err(failed)?;
        let guard = Guard::over_group(child.id(), self.end_signal, &self.dir)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(b"go\n").map_err(failed)?;
        }
        Ok(Process {
            child,
            guard: Some(guard),
            end_signal: self.end_signal,
        })
    }
}

impl Process {
    /// Sends a signal to the server and the processes it started.
    pub(crate) fn signal(&self, signal: &str) -> Result<(), Error> {
        let id = self.child.id();
        // PostgreSQL's children leave the group, so they are named one by one.
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let status = Command::new("sh")
            .args(["-c", r#"s=$1; shift; kill -s "$s" -- "$@""#, "kill", signal])
            .arg(format!("-{id}"))
            .args(children.unwrap_or_default().split_whitespace())
            .stderr(Stdio::null())
            .status();
        match status {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::io("cannot run sh", &error)),
        }
    }

    /// The exit status in words, once the server has ended.
    pub(crate) fn exited(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(status.to_string())
    }

    /// Kills the server with SIGKILL and returns when it is gone.
    pub(crate) fn kill(mut self) -> Result<(), Error> {
        self.signal("KILL")?;
        self.reap();
        Ok(())
    }

    fn reap(&mut self) {
        // The guard goes first: once the child is reaped its id may belong to somebody else.
        drop(self.guard.take());
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.guard.is_none() {
            return;
        }
        let _ = self.signal(self.end_signal);
        let _ = self.signal("CONT");
        for _ in 0..100 {
            if self.exited().is_some() {
                drop(self.guard.take());
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.signal("KILL");
        self.reap();
    }
}
