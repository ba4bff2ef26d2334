use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Error;
use crate::find;
use crate::guard::Guard;

/// How to run one server as a Docker container.
pub(crate) struct Recipe {
    pub(crate) name: String,
    /// Arguments of `docker run` from the published port to the image and its command.
    pub(crate) arguments: Vec<String>,
    pub(crate) dir: PathBuf,
}

/// A container that exists, running or not.
pub(crate) struct Container {
    name: String,
    guard: Option<Guard>,
}

/// Whether a Docker daemon answers.
pub(crate) fn is_available() -> bool {
    find::on_path("docker").is_some() && docker(&["info"]).is_ok()
}

impl Recipe {
    pub(crate) fn start(&self) -> Result<Container, Error> {
        let guard = Guard::over_container(&self.name, &self.dir)?;
        let mut arguments = vec!["run", "--detach", "--name", &self.name];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let container = Container {
            name: self.name.clone(),
            guard: Some(guard),
        };
        docker(&arguments)?;
        Ok(container)
    }
}

impl Container {
    /// Runs `docker <verb> <container>` and returns what it printed.
    pub(crate) fn run(&self, verb: &[&str]) -> Result<String, Error> {
        docker(&[verb, &[&self.name]].concat())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.run(&["inspect", "--format", "{{.State.Running}}"])
            .is_ok_and(|running| running.trim() == "true")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.run(&["rm", "--force", "--volumes"]);
        drop(self.guard.take());
    }
}

/// Runs `docker`; its standard output and standard error together when it succeeds.
fn docker(arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io("cannot run docker", &error))?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(format!(
            "{}{stderr}",
            String::from_utf8_lossy(&output.stdout)
        ));
    }
    Err(Error::new(format!("`docker {}` failed", arguments.join(" "))).with_log(stderr))
}
