use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::{env, fs};

use crate::report::Result;

/// A program: what it is called, what it depends on, and itself.
pub(crate) struct Program {
    name: &'static str,
    pom: &'static str,
    source: &'static str,
}

pub(crate) const CONSUMER: Program = Program {
    name: "Consumer",
    pom: include_str!("../jvm/consumer/pom.xml"),
    source: include_str!("../jvm/consumer/Consumer.java"),
};

#[cfg(feature = "outbox")]
pub(crate) const OUTBOX: Program = Program {
    name: "Outbox",
    pom: include_str!("../jvm/outbox/pom.xml"),
    source: include_str!("../jvm/outbox/Outbox.java"),
};

/// What the programs share.
const BOOK: &str = include_str!("../jvm/Book.java");

impl Program {
    /// Runs it, made once for each user; its arguments are to follow.
    ///
    /// # Errors
    ///
    /// There is no Maven, or it cannot make the program.
    pub(crate) fn command(&self) -> Result<Command> {
        let built = self.built()?;
        let mut classes = built.join("target/classes").into_os_string();
        classes.push(":");
        classes.push(built.join("target/libs/*"));
        let mut command = Command::new("java");
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=error");
        command.arg("-cp").arg(classes).arg(self.name);
        Ok(command)
    }

    /// The folder of what Maven has made of the sources, in the user's cache, named by the sources.
    fn built(&self) -> Result<PathBuf> {
        let mut sources = DefaultHasher::new();
        (self.pom, self.source, BOOK).hash(&mut sources);
        let cache = cache().ok_or("neither HOME nor XDG_CACHE_HOME is set")?;
        let built = cache.join(format!("jvm-{:016x}", sources.finish()));
        if !built.is_dir() {
            // Made beside it and renamed, so that it is never half full.
            let partial = cache.join(format!("partial-{}", process::id()));
            let made = self.make(&partial);
            let made = made.and_then(|()| Ok(fs::rename(&partial, &built)?));
            if made.is_err() && partial.is_dir() {
                fs::remove_dir_all(&partial)?;
            }
            made?;
        }
        Ok(built)
    }

    fn make(&self, folder: &Path) -> Result<()> {
        let sources = folder.join("src/main/java");
        fs::create_dir_all(&sources)?;
        fs::write(folder.join("pom.xml"), self.pom)?;
        fs::write(sources.join("Book.java"), BOOK)?;
        fs::write(sources.join(format!("{}.java", self.name)), self.source)?;
        let made = Command::new("mvn")
            .args(["-q", "-B", "compile", "dependency:copy-dependencies"])
            .args(["-DincludeScope=runtime", "-DoutputDirectory=target/libs"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run mvn: {error}"))?;
        if made.status.success() {
            return Ok(());
        }
        let log = [made.stdout, made.stderr].concat();
        Err(format!("mvn failed: {}", String::from_utf8_lossy(&log)).into())
    }
}

fn cache() -> Option<PathBuf> {
    let xdg = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::home_dir().map(|home| home.join(".cache"));
    let base = xdg.filter(|path| path.is_absolute()).or_else(home)?;
    Some(base.join("bowline-compare"))
}
