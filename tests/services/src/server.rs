use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::container::{self, Container};
use crate::process::{self, Process};
use crate::{Error, find};

/// One server with its folder, whatever it runs as.
pub(crate) struct Server {
    name: &'static str,
    address: SocketAddr,
    ready: Ready,
    recipe: Recipe,
    running: Mutex<Option<Running>>,
    /// Last, so that the folder goes after the process that writes into it.
    _dir: TempDir,
}

/// Asks the server one harmless question; an error means not ready yet.
pub(crate) type Ready = fn(SocketAddr) -> io::Result<()>;

pub(crate) enum Recipe {
    Process(process::Recipe),
    Container(container::Recipe),
}

enum Running {
    Process(Process),
    Container(Container),
}

const READY_WITHIN: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);
/// How often a server that ends while it is started again is started once more.
const RESTARTS: usize = 20;
const LOG_LINES: usize = 40;

impl Server {
    /// Starts the server and waits until it answers.
    pub(crate) fn start(
        name: &'static str,
        address: SocketAddr,
        ready: Ready,
        recipe: Recipe,
        dir: TempDir,
    ) -> Result<Self, Error> {
        let server = Self {
            name,
            address,
            ready,
            recipe,
            running: Mutex::new(None),
            _dir: dir,
        };
        server.begin(&mut server.running())?;
        Ok(server)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn kill(&self) -> Result<(), Error> {
        let mut running = self.running();
        match running.take() {
            None => Ok(()),
            Some(Running::Process(process)) => process.kill(),
            Some(Running::Container(container)) => {
                let killed = container.run(&["kill"]);
                *running = Some(Running::Container(container));
                killed.map(drop)
            }
        }
    }

    pub(crate) fn stop(&self) -> Result<(), Error> {
        self.steer("STOP", "pause")
    }

    pub(crate) fn resume(&self) -> Result<(), Error> {
        self.steer("CONT", "unpause")
    }

    pub(crate) fn quit(&self) -> Result<(), Error> {
        match &*self.running() {
            Some(Running::Process(process)) => process.signal("QUIT"),
            Some(Running::Container(container)) => {
                container.run(&["kill", "--signal", "QUIT"]).map(drop)
            }
            None => Err(Error::new(format!("{} is not running", self.name))),
        }
    }

    pub(crate) fn restart(&self) -> Result<(), Error> {
        self.kill()?;
        for _ in 0..RESTARTS {
            match self.begin(&mut self.running()) {
                // What it left behind may still be going away.
                Err(error) if error.has_exited() => thread::sleep(POLL),
                begun => return begun,
            }
        }
        self.begin(&mut self.running())
    }

    pub(crate) fn log_tail(&self) -> String {
        match (&self.recipe, &*self.running()) {
            (_, Some(Running::Container(container))) => container
                .run(&["logs", "--tail", "40"])
                .unwrap_or_else(|error| error.to_string()),
            (Recipe::Process(recipe), _) => tail(&recipe.log()),
            (Recipe::Container(_), _) => String::new(),
        }
    }

    fn steer(&self, signal: &str, verb: &str) -> Result<(), Error> {
        match &*self.running() {
            Some(Running::Process(process)) => process.signal(signal),
            Some(Running::Container(container)) => container.run(&[verb]).map(drop),
            None => Err(Error::new(format!("{} is not running", self.name))),
        }
    }

    fn begin(&self, running: &mut Option<Running>) -> Result<(), Error> {
        let mut started = match (&self.recipe, running.take()) {
            (_, Some(Running::Container(container))) => {
                container.run(&["start"])?;
                Running::Container(container)
            }
            (Recipe::Process(recipe), _) => Running::Process(recipe.start()?),
            (Recipe::Container(recipe), _) => Running::Container(recipe.start()?),
        };
        self.wait_until_ready(&mut started)?;
        *running = Some(started);
        Ok(())
    }

    fn wait_until_ready(&self, running: &mut Running) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let Err(last) = (self.ready)(self.address) else {
                return Ok(());
            };
            if let Some(status) = self.exited(running) {
                let message = format!("{} ended while it was starting ({status})", self.name);
                return Err(Error::new(message).with_log(self.log_of(running)).exited());
            }
            if began.elapsed() > READY_WITHIN {
                let message = format!(
                    "{} at {} did not answer within {READY_WITHIN:?}: {last}",
                    self.name, self.address
                );
                return Err(Error::new(message).with_log(self.log_of(running)));
            }
            thread::sleep(POLL);
        }
    }

    fn exited(&self, running: &mut Running) -> Option<String> {
        match running {
            Running::Process(process) => process.exited(),
            Running::Container(container) => {
                (!container.is_running()).then(|| "container not running".to_owned())
            }
        }
    }

    fn log_of(&self, running: &Running) -> String {
        match (running, &self.recipe) {
            (Running::Container(container), _) => {
                container.run(&["logs", "--tail", "40"]).unwrap_or_default()
            }
            (Running::Process(_), Recipe::Process(recipe)) => tail(&recipe.log()),
            (Running::Process(_), Recipe::Container(_)) => String::new(),
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.running().take());
    }
}

/// A new folder whose name says which server it belongs to.
pub(crate) fn folder(name: &str) -> Result<TempDir, Error> {
    use std::os::unix::fs::PermissionsExt as _;

    let failed = |error| Error::io("cannot make a temporary folder", &error);
    let dir = tempfile::Builder::new()
        .prefix(&format!("bowline-{name}-"))
        .tempdir()
        .map_err(failed)?;
    if find::is_root() {
        // A server that runs as another user must reach its data folder below.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).map_err(failed)?;
    }
    Ok(dir)
}

/// Tries `start` again when the server ended at once: somebody may have taken its port.
pub(crate) fn with_new_port<T>(start: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    match start() {
        Err(error) if error.has_exited() => start(),
        other => other,
    }
}

/// The last lines of a log file.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
