use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Error;

/// A shell that waits on a pipe from this process and cleans up when the pipe closes, which also
/// happens when this process is killed.
pub(crate) struct Guard(Child);

/// `$1` process group, `$2` the signal to begin with, `$3` the folder to remove.
const PROCESS: &str = r#"
trap '' HUP INT TERM
read -r _
children=$(cat "/proc/$1/task/$1/children" 2>/dev/null)
kill -s "$2" -- "-$1"
kill -s CONT -- "-$1"
n=0
while [ "$n" -lt 30 ] && kill -s 0 -- "-$1"; do n=$((n + 1)); sleep 0.1; done
kill -s KILL -- "-$1" $children
rm -rf -- "$3"
"#;

/// `$1` container, `$2` the folder to remove.
const CONTAINER: &str = r#"
trap '' HUP INT TERM
read -r _
docker rm --force --volumes "$1"
rm -rf -- "$2"
"#;

impl Guard {
    /// Ends the process group `group` and removes `dir` once this process is gone.
    pub(crate) fn over_group(group: u32, signal: &str, dir: &Path) -> Result<Self, Error> {
        let mut shell = shell(PROCESS);
        shell.arg(group.to_string()).arg(signal).arg(dir);
        Self::spawn(shell)
    }

    /// Removes the container `name` and `dir` once this process is gone.
    pub(crate) fn over_container(name: &str, dir: &Path) -> Result<Self, Error> {
        let mut shell = shell(CONTAINER);
        shell.arg(name).arg(dir);
        Self::spawn(shell)
    }

    fn spawn(mut shell: Command) -> Result<Self, Error> {
        let child = shell
            .spawn()
            .map_err(|error| Error::io("cannot start a guard process", &error))?;
        Ok(Self(child))
    }
}

/// Dismisses the guard: the owner cleans up itself.
impl Drop for Guard {
    fn drop(&mut self) {
        // Killed before the pipe closes, or the guard would act.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn shell(script: &str) -> Command {
    use std::os::unix::process::CommandExt as _;

    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "guard"])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    shell
}
