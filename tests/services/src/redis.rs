use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::container;
use crate::process;
use crate::server::{Recipe, Server, folder, with_new_port};
use crate::shared::Owned;
use crate::{Error, find, port};

/// A Redis server that keeps its data in an append-only file.
///
/// What it answered survives [`kill`](Self::kill), as the process writes the file before it
/// answers.
pub struct Redis(Owned);

const NAME: &str = "redis";
const IMAGE: &str = "redis:7";
const MISSING: &str = "Redis is missing: no `redis-server` on PATH, and no Docker daemon answers. \
    Install it (Debian: `apt-get install redis-server`), start Docker, or set BOWLINE_TEST_REDIS \
    to the URL of a running one.";
const PERSISTENCE: [&str; 4] = ["--appendonly", "yes", "--save", ""];

impl Redis {
    /// Starts a server of one's own.
    ///
    /// # Errors
    ///
    /// When there is no Redis on this machine, or it does not start; the text holds the end of
    /// its log.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with more arguments for the server, e.g. `--appendfsync always`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(arguments: &[&str]) -> Result<Self, Error> {
        with_new_port(|| Ok(Self(Owned::server(start(arguments)?))))
    }

    /// Its URL, without a database number.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.0.address())
    }

    pub(crate) fn external(value: &str) -> Self {
        let address = value.strip_prefix("redis://").unwrap_or(value);
        Self(Owned::external(NAME, address.trim_end_matches('/')))
    }
}

crate::shared::steering!(Redis);

fn start(arguments: &[&str]) -> Result<Server, Error> {
    let address = port::free()?;
    let dir = folder(NAME)?;
    let recipe = match program()? {
        Some(program) => Recipe::Process(process::Recipe {
            name: NAME,
            command: [program.into_os_string()]
                .into_iter()
                .chain(["--bind", "127.0.0.1", "--port"].map(Into::into))
                .chain([address.port().to_string().into()])
                .chain(PERSISTENCE.map(Into::into))
                .chain(arguments.iter().map(Into::into))
                .collect(),
            user: None,
            end_signal: "KILL",
            dir: dir.path().to_owned(),
        }),
        None if container::is_available() => Recipe::Container(container::Recipe {
            name: format!("bowline-{NAME}-{}", address.port()),
            arguments: [
                "--publish",
                &format!("127.0.0.1:{}:6379", address.port()),
                IMAGE,
                "redis-server",
            ]
            .into_iter()
            .chain(PERSISTENCE)
            .chain(arguments.iter().copied())
            .map(str::to_owned)
            .collect(),
            dir: dir.path().to_owned(),
        }),
        None => return Err(Error::new(MISSING)),
    };
    Server::start(NAME, address, ping, recipe, dir)
}

fn program() -> Result<Option<std::path::PathBuf>, Error> {
    if let Some(found) = find::on_path("redis-server") {
        return Ok(Some(found));
    }
    find::install(&["redis-server"])?;
    Ok(find::on_path("redis-server"))
}

fn ping(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim_end() {
        "+PONG" => Ok(()),
        other => Err(io::Error::other(other.to_owned())),
    }
}
