use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::postgres::wire;
use crate::process;
use crate::server::{Recipe, Server, folder, with_new_port};
use crate::shared::Owned;
use crate::{Error, Postgres, find, port};

/// A `PgBouncer` before a PostgreSQL server, which gives out connections by the transaction.
pub struct PgBouncer(Owned);

const NAME: &str = "pgbouncer";
const USER: &str = "postgres";
const MISSING: &str = "PgBouncer is missing: no `pgbouncer` on PATH or in /usr/sbin. Install it \
    (Debian: `apt-get install pgbouncer`).";
const NO_USER: &str = "PgBouncer refuses to run as root, and this machine has neither a user \
    `postgres` nor `nobody` to run it as";

impl PgBouncer {
    /// Starts one before `server`, with so many connections to each database.
    ///
    /// # Errors
    ///
    /// When there is no `PgBouncer` on this machine, or it does not start; the text holds the end of its
    /// log.
    pub fn start(server: &Postgres, connections: u32) -> Result<Self, Error> {
        with_new_port(|| Ok(Self(Owned::server(start(server, connections)?))))
    }

    /// The URL of the database at `url`, through this one.
    #[must_use]
    pub fn url_of(&self, url: &str) -> String {
        let database = url.rsplit_once('/').map_or("", |(_, database)| database);
        format!("postgres://{USER}@{}/{database}", self.0.address())
    }
}

crate::shared::steering!(PgBouncer);

fn start(server: &Postgres, connections: u32) -> Result<Server, Error> {
    let address = port::free()?;
    let dir = folder(NAME)?;
    let program = program()?.ok_or_else(|| Error::new(MISSING))?;
    let user = match find::is_root() {
        true => Some(find::user(&[USER, "nobody"]).ok_or_else(|| Error::new(NO_USER))?),
        false => None,
    };
    let settings = dir.path().join("pgbouncer.ini");
    fs::write(&settings, ini(server, address, connections))
        .map_err(|error| Error::io("cannot write the settings of pgbouncer", &error))?;
    let recipe = process::Recipe {
        name: NAME,
        command: vec![program.into(), settings.into()],
        user,
        end_signal: "KILL",
        dir: dir.path().to_owned(),
    };
    Server::start(NAME, address, ping, Recipe::Process(recipe), dir)
}

fn ini(server: &Postgres, address: SocketAddr, connections: u32) -> String {
    let (host, port) = server.address().rsplit_once(':').unwrap_or_default();
    format!(
        "[databases]\n* = host={host} port={port} user={USER}\n\
         [pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = transaction\ndefault_pool_size = {connections}\n\
         ignore_startup_parameters = extra_float_digits\n",
        address.ip(),
        address.port()
    )
}

fn program() -> Result<Option<PathBuf>, Error> {
    if let Some(found) = find_program() {
        return Ok(Some(found));
    }
    find::install(&[NAME])?;
    Ok(find_program())
}

fn find_program() -> Option<PathBuf> {
    let installed = Path::new("/usr/sbin").join(NAME);
    find::on_path(NAME).or_else(|| find::is_program(&installed).then_some(installed))
}

fn ping(address: SocketAddr) -> io::Result<()> {
    wire::query(&address.to_string(), USER, USER, "select 1").map(drop)
}
