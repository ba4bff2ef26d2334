pub(crate) mod wire;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{self as std_process, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{ffi::OsString, fs};

use crate::container;
use crate::find::User;
use crate::process;
use crate::server::{Recipe, Server, folder, with_new_port};
use crate::shared::Owned;
use crate::{Error, find, port};

/// A PostgreSQL server that keeps every promise about durability (`fsync` is on).
pub struct Postgres(Owned, Account);

/// Who connects, and to which database by default.
struct Account {
    user: String,
    database: String,
}

const NAME: &str = "postgres";
const IMAGE: &str = "postgres:17";
const MISSING: &str = "PostgreSQL is missing: no `initdb` and `postgres` on PATH or in \
    /usr/lib/postgresql/*/bin, and no Docker daemon answers. Install it (Debian: `apt-get install \
    postgresql`), start Docker, or set BOWLINE_TEST_POSTGRES to the URL of a running one.";
const NO_USER: &str = "PostgreSQL refuses to run as root, and this machine has neither a user \
    `postgres` nor `nobody` to run it as";
/// Small, as durable as in production, and leaving nothing outside its folder when it is killed.
const SETTINGS: [&str; 8] = [
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "shared_buffers=32MB",
    "max_connections=200",
    "max_prepared_transactions=0",
    "dynamic_shared_memory_type=mmap",
    "unix_socket_directories=",
];
/// PostgreSQL cuts longer names.
const LONGEST_NAME: usize = 63;

impl Postgres {
    /// Starts a server of one's own.
    ///
    /// # Errors
    ///
    /// When there is no PostgreSQL on this machine, or it does not start; the text holds the end
    /// of its log.
    pub fn start() -> Result<Self, Error> {
        let account = Account {
            user: NAME.to_owned(),
            database: NAME.to_owned(),
        };
        let server = with_new_port(start)?;
        Ok(Self(Owned::server(server), account))
    }

    /// The URL of its default database.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(&self.1.database)
    }

    /// Creates an empty database for one test and returns its URL. Its name begins with `name`
    /// and is unique, so tests that share a server never meet.
    ///
    /// # Errors
    ///
    /// When the server refuses or does not answer.
    pub fn create_database(&self, name: &str) -> Result<String, Error> {
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let end = format!("_{}_{number}", std_process::id());
        let begin = name
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_');
        let begin: String = begin.take(LONGEST_NAME - end.len()).collect();
        let name = format!("{begin}{end}").to_ascii_lowercase();
        // A database of that name can only be left over from an earlier process with our id.
        for sql in [
            format!("drop database if exists \"{name}\" with (force)"),
            format!("create database \"{name}\""),
        ] {
            self.execute(&self.1.database, &sql)?;
        }
        Ok(self.url_of(&name))
    }

    /// Runs `sql` in the default database, and returns the first column of the last row.
    ///
    /// # Errors
    ///
    /// When the server refuses or does not answer.
    pub fn query(&self, sql: &str) -> Result<Option<String>, Error> {
        self.execute(&self.1.database, sql)
    }

    /// Begins an immediate shutdown: it ends every connection, and leaves its recovery to the next start.
    ///
    /// # Errors
    ///
    /// When it is not running, or was not started by this process.
    pub fn quit(&self) -> Result<(), Error> {
        self.0.ours()?.quit()
    }

    /// Where the program `name` is that came with the server on this machine, e.g. `pg_dump`.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn program(name: &str) -> Result<PathBuf, Error> {
        let beside = programs()?.map(|programs| programs.join(name));
        beside
            .filter(|path| find::is_program(path))
            .or_else(|| find::on_path(name))
            .ok_or_else(|| Error::new(format!("{name} is missing: install PostgreSQL's programs")))
    }

    pub(crate) fn external(url: &str) -> Result<Self, Error> {
        let invalid = || {
            let form = "postgres://user@host:port/database";
            Error::new(format!("BOWLINE_TEST_POSTGRES is not of the form {form}"))
        };
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(invalid)?;
        let (user, rest) = rest.split_once('@').ok_or_else(invalid)?;
        let (address, database) = rest.split_once('/').ok_or_else(invalid)?;
        let account = Account {
            user: user.to_owned(),
            database: database.to_owned(),
        };
        Ok(Self(Owned::external(NAME, address), account))
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{}@{}/{database}", self.1.user, self.0.address())
    }

    fn execute(&self, database: &str, sql: &str) -> Result<Option<String>, Error> {
        wire::query(self.0.address(), &self.1.user, database, sql).map_err(|error| {
            let doing = format!("postgres at {} did not run `{sql}`", self.0.address());
            Error::io(doing, &error).with_log(self.0.log_tail())
        })
    }
}

crate::shared::steering!(Postgres);

fn start() -> Result<Server, Error> {
    let address = port::free()?;
    let dir = folder(NAME)?;
    let recipe = match programs()? {
        Some(programs) => Recipe::Process(local(&programs, address, dir.path())?),
        None if container::is_available() => Recipe::Container(in_container(address, dir.path())),
        None => return Err(Error::new(MISSING)),
    };
    Server::start(NAME, address, ping, recipe, dir)
}

fn local(programs: &Path, address: SocketAddr, dir: &Path) -> Result<process::Recipe, Error> {
    let data = dir.join("data");
    let user = owner(&data)?;
    initialise(&programs.join("initdb"), &data, user.as_ref())?;
    let mut command: Vec<OsString> =
        vec![programs.join("postgres").into(), "-D".into(), data.into()];
    let place = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={}", address.port()),
    ];
    for setting in SETTINGS.map(str::to_owned).into_iter().chain(place) {
        command.extend(["-c".into(), setting.into()]);
    }
    Ok(process::Recipe {
        name: NAME,
        command,
        user,
        // An immediate shutdown: no checkpoint, but its shared memory is given back.
        end_signal: "QUIT",
        dir: dir.to_owned(),
    })
}

fn in_container(address: SocketAddr, dir: &Path) -> container::Recipe {
    let publish = format!("127.0.0.1:{}:5432", address.port());
    let mut arguments: Vec<String> = ["--publish", &publish, "--shm-size", "128m"]
        .into_iter()
        .chain(["--env", "POSTGRES_HOST_AUTH_METHOD=trust", IMAGE])
        .map(str::to_owned)
        .collect();
    for setting in SETTINGS
        .into_iter()
        .filter(|s| !s.starts_with("unix_socket"))
    {
        arguments.extend(["-c".to_owned(), setting.to_owned()]);
    }
    container::Recipe {
        name: format!("bowline-{NAME}-{}", address.port()),
        arguments,
        dir: dir.to_owned(),
    }
}

/// The folder that holds `initdb` and `postgres`.
fn programs() -> Result<Option<PathBuf>, Error> {
    if let Some(found) = find_programs() {
        return Ok(Some(found));
    }
    find::install(&["postgresql"])?;
    Ok(find_programs())
}

fn find_programs() -> Option<PathBuf> {
    let on_path = find::on_path("postgres")
        .and_then(|link| Some(link.canonicalize().ok()?.parent()?.to_owned()));
    let mut installed: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    installed.sort();
    on_path
        .into_iter()
        .chain(installed.into_iter().rev().map(|(_, bin)| bin))
        .find(|bin| {
            ["initdb", "postgres"]
                .iter()
                .all(|name| find::is_program(&bin.join(name)))
        })
}

/// Makes the data folder; as root, for the user that will run the server.
fn owner(data: &Path) -> Result<Option<User>, Error> {
    let failed = |error| Error::io("cannot make the data folder of postgres", &error);
    fs::create_dir(data).map_err(failed)?;
    if !find::is_root() {
        return Ok(None);
    }
    let user = find::user(&["postgres", "nobody"]).ok_or_else(|| Error::new(NO_USER))?;
    chown(data, Some(user.id), Some(user.group)).map_err(failed)?;
    Ok(Some(user))
}

fn initialise(initdb: &Path, data: &Path, user: Option<&User>) -> Result<(), Error> {
    use std::os::unix::process::CommandExt as _;

    let mut command = Command::new(initdb);
    command
        .args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
        ])
        .args(["--no-sync", "--pgdata"])
        .arg(data)
        .current_dir(data)
        .stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user.id).gid(user.group);
    }
    let output = command
        .output()
        .map_err(|error| Error::io("cannot run initdb", &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new("initdb failed").with_log(String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn ping(address: SocketAddr) -> io::Result<()> {
    wire::query(&address.to_string(), NAME, NAME, "select 1").map(drop)
}
