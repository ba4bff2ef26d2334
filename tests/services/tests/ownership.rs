//! No server, and no file of one, outlives the process that started it.
#![allow(clippy::expect_used, reason = "a test says what it expects")]
#![allow(
    clippy::disallowed_methods,
    reason = "waits for other processes in real time"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Generous: the servers are gone within a second on an idle machine.
const ATTEMPTS: usize = 300;
const PAUSE: Duration = Duration::from_millis(100);

#[test]
fn servers_end_when_their_owner_is_killed() {
    let temp = tempfile::tempdir().expect("a folder");
    open_to_all(temp.path());
    let (mut owner, addresses) = owner(temp.path());
    assert!(addresses.iter().all(|address| accepts(address)));
    owner.kill().expect("killed with SIGKILL");
    owner.wait().expect("reaped");
    assert_gone(&addresses, temp.path());
}

#[test]
fn servers_end_with_their_owner() {
    let temp = tempfile::tempdir().expect("a folder");
    open_to_all(temp.path());
    let (mut owner, addresses) = owner(temp.path());
    drop(owner.stdin.take());
    assert!(owner.wait().expect("reaped").success());
    assert!(addresses.iter().all(|address| !accepts(address)));
    assert_gone(&addresses, temp.path());
}

fn owner(temp: &Path) -> (Child, Vec<String>) {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_hold-services"))
        .env("TMPDIR", temp)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut line = String::new();
    let stdout = owner.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let addresses: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    assert_eq!(addresses.len(), 3, "all three are up");
    (owner, addresses)
}

fn assert_gone(addresses: &[String], temp: &Path) {
    let left = || {
        let listening = addresses.iter().filter(|address| accepts(address)).cloned();
        let entries = fs::read_dir(temp).expect("readable").flatten();
        let folders = entries.map(|entry| entry.path().display().to_string());
        listening.chain(folders).collect::<Vec<_>>()
    };
    for _ in 0..ATTEMPTS {
        if left().is_empty() {
            return;
        }
        thread::sleep(PAUSE);
    }
    assert_eq!(left(), Vec::<String>::new());
}

/// PostgreSQL may run as another user than we do.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("set");
}

fn accepts(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}
