//! Java, and the jars of Apache Kafka.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, find};

/// A way to run Kafka's classes.
pub(crate) struct Java {
    pub(crate) program: PathBuf,
    pub(crate) classpath: OsString,
}

/// What this machine lacks, in words.
pub(crate) type Missing = String;

const POM: &str = include_str!("../kafka/pom.xml");
const OLDEST_JAVA: u32 = 17;
const PACKAGES: [&str; 2] = ["openjdk-17-jre-headless", "maven"];

/// Finds Java and Kafka, fetching Kafka's jars once per user when they are not there.
///
/// # Errors
///
/// When a package or the jars were there to be had and getting them failed.
pub(crate) fn java_and_kafka() -> Result<Result<Java, Missing>, Error> {
    let mut java = find_java();
    if java.is_none() {
        find::install(&PACKAGES[..1])?;
        java = find_java();
    }
    let Some(program) = java else {
        return Ok(Err(format!(
            "no Java {OLDEST_JAVA} or newer (JAVA_HOME, PATH)"
        )));
    };
    let jars = match env::var_os("KAFKA_HOME") {
        Some(home) => Ok(PathBuf::from(home).join("libs")),
        None => fetched_jars()?,
    };
    Ok(jars.map(|jars| Java {
        program,
        classpath: jars.join("*").into_os_string(),
    }))
}

fn find_java() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    home.filter(|java| find::is_program(java))
        .or_else(|| find::on_path("java"))
        .filter(|java| version(java).is_some_and(|version| version >= OLDEST_JAVA))
}

/// The major version from a text such as `openjdk version "17.0.15" 2025-04-15`.
fn version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = text.split('"').nth(1)?;
    number.split(['.', '-', '+']).next()?.parse().ok()
}

/// The folder of jars in the user's cache, named by the pinned versions.
fn fetched_jars() -> Result<Result<PathBuf, Missing>, Error> {
    let Some(cache) = cache("bowline-kafka") else {
        return Ok(Err("neither HOME nor XDG_CACHE_HOME is set".to_owned()));
    };
    let mut pinned = DefaultHasher::new();
    POM.hash(&mut pinned);
    let jars = cache.join(format!("jars-{:016x}", pinned.finish()));
    if jars.is_dir() {
        return Ok(Ok(jars));
    }
    if find::on_path("mvn").is_none() {
        find::install(&PACKAGES)?;
    }
    let Some(maven) = find::on_path("mvn") else {
        return Ok(Err(
            "no Maven (`mvn` on PATH) to fetch its jars with".to_owned()
        ));
    };
    let failed = |error| Error::io(format!("cannot write to {}", cache.display()), &error);
    fs::create_dir_all(&cache).map_err(failed)?;
    let lock = File::create(cache.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if !jars.is_dir() {
        fetch(&maven, &cache, &jars)?;
    }
    Ok(Ok(jars))
}

/// Fetches into a folder beside `jars` and renames it, so that `jars` is never half full.
fn fetch(maven: &Path, cache: &Path, jars: &Path) -> Result<(), Error> {
    let failed = |error| Error::io(format!("cannot write to {}", cache.display()), &error);
    let partial = tempfile::tempdir_in(cache).map_err(failed)?;
    let pom = partial.path().join("pom.xml");
    let libs = partial.path().join("libs");
    fs::write(&pom, POM).map_err(failed)?;
    let output = Command::new(maven)
        .args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-f",
        ])
        .arg(&pom)
        .arg(format!("-DoutputDirectory={}", libs.display()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io("cannot run Maven", &error))?;
    if !output.status.success() {
        let message = "Maven could not fetch the jars of Kafka; without a network, set \
            BOWLINE_TEST_KAFKA or KAFKA_HOME, or start Docker with the image there";
        let log = [output.stdout, output.stderr].concat();
        return Err(Error::new(message).with_log(String::from_utf8_lossy(&log).into_owned()));
    }
    fs::rename(&libs, jars).map_err(failed)
}

/// The folder `name` in the user's cache.
pub(crate) fn cache(name: &str) -> Option<PathBuf> {
    let xdg = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::home_dir().map(|home| home.join(".cache"));
    let base = xdg.filter(|path| path.is_absolute()).or_else(home)?;
    Some(base.join(name))
}
