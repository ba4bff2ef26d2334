//! Servers that stay up between test runs.
//!
//! A background process of this tool holds them. It listens on a loopback port: a connection that
//! sends `stop` ends it, and with it the servers, so nothing depends on process ids.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use bowline_test_services::{Service, Services, shared};

use crate::run;
use crate::suite::Environment;

const CONTROL: &str = "control";
const POLL: Duration = Duration::from_millis(100);

/// The variables by which tests find running servers.
pub(crate) fn variables(servers: &Services) -> Environment {
    let postgres = servers
        .postgres()
        .map(|server| (shared::POSTGRES, server.url()));
    let redis = servers.redis().map(|server| (shared::REDIS, server.url()));
    let kafka = servers.kafka().map(|server| (shared::KAFKA, server.url()));
    [postgres, redis, kafka].into_iter().flatten().collect()
}

/// Starts the servers unless they run already, and prints their addresses.
pub(crate) fn up() -> Result<(), String> {
    if running().is_some() {
        return env();
    }
    fs::create_dir_all(run::target()).map_err(text)?;
    forget();
    let log = fs::File::create(log()).map_err(text)?;
    let this = std::env::current_exe().map_err(text)?;
    let mut holder = Command::new(this)
        .args(["services", "hold"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(text)?;
    while running().is_none() {
        if let Ok(Some(_)) = holder.try_wait() {
            return Err(fs::read_to_string(self::log()).unwrap_or_default());
        }
        thread::sleep(POLL);
    }
    env()
}

/// Prints the addresses as shell exports.
pub(crate) fn env() -> Result<(), String> {
    let state = running().ok_or("no servers are up; start them with `cargo xtask services up`")?;
    for (name, value) in state.lines().filter_map(|line| line.split_once('=')) {
        if name != CONTROL {
            println!("export {name}='{value}'");
        }
    }
    Ok(())
}

/// Ends the servers and returns when they are gone.
pub(crate) fn down() -> Result<(), String> {
    let Some(mut holder) = connect() else {
        println!("no servers are up");
        return Ok(());
    };
    holder.write_all(b"stop").map_err(text)?;
    // The holder closes the connection when its servers are gone.
    let mut rest = Vec::new();
    holder.read_to_end(&mut rest).map_err(text)?;
    forget();
    Ok(())
}

/// Holds the servers until `down`.
pub(crate) fn hold() -> Result<(), String> {
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    let all = [Service::Postgres, Service::Redis, Service::Kafka];
    let servers = Services::start(&all).map_err(|error| error.to_string())?;
    let mut lines = format!("{CONTROL}={}\n", control.local_addr().map_err(text)?);
    for (name, value) in variables(&servers) {
        lines.push_str(&format!("{name}={value}\n"));
    }
    let partial = state().with_extension("partial");
    fs::write(&partial, lines).map_err(text)?;
    fs::rename(&partial, state()).map_err(text)?;
    for caller in control.incoming() {
        let Ok(mut caller) = caller else { continue };
        let mut word = [0; 4];
        if caller.read_exact(&mut word).is_ok() && &word == b"stop" {
            drop(servers);
            return Ok(());
        }
    }
    Ok(())
}

/// What the state file says, if its holder lives.
fn running() -> Option<String> {
    connect()?;
    fs::read_to_string(state()).ok()
}

fn connect() -> Option<TcpStream> {
    let state = fs::read_to_string(state()).ok()?;
    let mut lines = state.lines().filter_map(|line| line.split_once('='));
    let (_, address) = lines.find(|(name, _)| *name == CONTROL)?;
    TcpStream::connect(address).ok()
}

/// A state file that is not there is forgotten already.
fn forget() {
    drop(fs::remove_file(state()));
}

fn state() -> PathBuf {
    run::target().join("test-services.env")
}

fn log() -> PathBuf {
    run::target().join("test-services.log")
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn text(error: std::io::Error) -> String {
    error.to_string()
}
