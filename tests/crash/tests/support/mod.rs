//! A process of this package's program.

use std::process::Stdio;

use bowline_crash_tests::WORKS;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Everything it prints, read all the time so that a full pipe never holds it up.
    lines: JoinHandle<Vec<String>>,
}

impl Process {
    /// Starts it and waits until it works.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bowline-crash-tests"))
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = stdout.next_line().await.expect("readable");
        assert_eq!(first.as_deref(), Some(WORKS), "{arguments:?}");
        Self {
            child,
            lines: tokio::spawn(rest(stdout)),
        }
    }

    /// Ends it at once, as a crash would, and returns what it had printed.
    pub(crate) async fn kill(mut self) -> Vec<String> {
        self.child.kill().await.expect("killed");
        self.lines.await.expect("readable")
    }

    /// Waits until it has ended by itself.
    #[allow(dead_code, reason = "not every test waits")]
    pub(crate) async fn ended(&mut self) {
        self.child.wait().await.expect("it was started");
    }

    /// Sends a signal by its name, e.g. `STOP`.
    #[allow(dead_code, reason = "not every test signals")]
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.expect("kill runs").success(), "SIG{name}");
    }
}

async fn rest(mut stdout: Lines<BufReader<ChildStdout>>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = stdout.next_line().await.expect("readable") {
        lines.push(line);
    }
    lines
}
