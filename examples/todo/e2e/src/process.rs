use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use crate::PATIENCE;

/// One running program of the todo system.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    url: String,
    /// What it writes to stderr.
    log: File,
}

/// The path of the program `name`, built once per test run with everything the workspace has.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("the test has a path");
        let folder = test
            .ancestors()
            .nth(2)
            .expect("target/<profile>/deps/test")
            .to_path_buf();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--quiet",
            "--workspace",
            "--all-features",
            "--bins",
        ]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the workspace's programs do not build");
        folder
    });
    folder.join(name)
}

impl Process {
    /// Starts `name` and waits until it says where it listens.
    ///
    /// # Panics
    ///
    /// When it ends first, with what it wrote to stderr.
    pub fn start(name: &str, arguments: &[&str], environment: &[(String, String)]) -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let log = tempfile::tempfile().expect("a file for the log");
        let mut command = Command::new(binary(name));
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().expect("a second handle"));
        // A fork while another thread holds a pipe open would keep that pipe open in both children.
        let mut child = {
            let _guard = ONE_AT_A_TIME.lock();
            command.spawn().expect("the program starts")
        };
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let started = Instant::now();
        let url = loop {
            match lines.next() {
                Some(Ok(line)) => {
                    if let Some(at) = line.find("http://") {
                        break line[at..].trim().to_owned();
                    }
                }
                _ => panic!("{name} ended before it listened:\n{}", tail(&log)),
            }
            assert!(started.elapsed() < PATIENCE, "{name} does not listen");
        };
        // Whatever else it prints must not fill the pipe and stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            name: name.to_owned(),
            child,
            url,
            log,
        }
    }

    /// The program's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it still runs, and the end of what it wrote to stderr: for a test that fails.
    pub fn report(&mut self) -> String {
        let state = match self.child.try_wait() {
            Ok(None) => "runs".to_owned(),
            Ok(Some(status)) => format!("ended by itself, {status}"),
            Err(error) => format!("in an unknown state: {error}"),
        };
        format!("{} {state}\n{}", self.name, tail(&self.log))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("SIGKILL is sent");
        self.child.wait().expect("it has ended");
    }

    /// Asks it to end and waits until it has.
    #[must_use]
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state is known") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "{} does not end", self.name);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Sends the signal `name`, e.g. `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(
            status.success(),
            "SIG{name} could not be sent to {}",
            self.name
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; there is nobody left to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The last lines of `log`.
fn tail(mut log: &File) -> String {
    const LINES: usize = 40;
    let mut text = Vec::new();
    log.seek(SeekFrom::Start(0))
        .and_then(|_start| log.read_to_end(&mut text))
        .expect("the log can be read from its start");
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
