//! One server of each kind per test process, or the running one that the environment names.
//!
//! Tests that share a server keep apart by name: a database each
//! ([`Postgres::create_database`]), a key prefix each, a topic each.

use std::env;
use std::sync::OnceLock;

use crate::server::Server;
use crate::{Error, Kafka, Postgres, Redis};

/// Names a running PostgreSQL: `postgres://user@host:port/database`, which lets the user in
/// without a password and may create databases.
pub const POSTGRES: &str = "BOWLINE_TEST_POSTGRES";
/// Names a running Redis: `redis://host:port`.
pub const REDIS: &str = "BOWLINE_TEST_REDIS";
/// Names a running Kafka: `host:port`.
pub const KAFKA: &str = "BOWLINE_TEST_KAFKA";

/// The PostgreSQL server of this process; it ends with the process.
///
/// # Errors
///
/// As [`Postgres::start`], the same for every caller.
pub fn postgres() -> Result<&'static Postgres, Error> {
    static SERVER: OnceLock<Result<Postgres, Error>> = OnceLock::new();
    share(&SERVER, POSTGRES, Postgres::external, Postgres::start)
}

/// The Redis server of this process; it ends with the process.
///
/// # Errors
///
/// As [`Redis::start`], the same for every caller.
pub fn redis() -> Result<&'static Redis, Error> {
    static SERVER: OnceLock<Result<Redis, Error>> = OnceLock::new();
    share(&SERVER, REDIS, |url| Ok(Redis::external(url)), Redis::start)
}

/// The Kafka broker of this process; it ends with the process.
///
/// # Errors
///
/// As [`Kafka::start`], the same for every caller.
pub fn kafka() -> Result<&'static Kafka, Error> {
    static SERVER: OnceLock<Result<Kafka, Error>> = OnceLock::new();
    share(
        &SERVER,
        KAFKA,
        |address| Ok(Kafka::external(address)),
        Kafka::start,
    )
}

/// A server that is ours to steer, or the address of one that is not.
pub(crate) struct Owned {
    name: &'static str,
    address: String,
    server: Option<Server>,
}

impl Owned {
    pub(crate) fn server(server: Server) -> Self {
        Self {
            name: server.name(),
            address: server.address().to_string(),
            server: Some(server),
        }
    }

    pub(crate) fn external(name: &'static str, address: &str) -> Self {
        Self {
            name,
            address: address.to_owned(),
            server: None,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn ours(&self) -> Result<&Server, Error> {
        self.server.as_ref().ok_or_else(|| {
            let Self { name, address, .. } = self;
            Error::new(format!("the {name} at {address} was not started here"))
        })
    }

    pub(crate) fn log_tail(&self) -> String {
        self.server
            .as_ref()
            .map(Server::log_tail)
            .unwrap_or_default()
    }
}

/// What every server can be made to do.
macro_rules! steering {
    ($server:ident) => {
        impl $server {
            /// Its address, `host:port`.
            #[must_use]
            pub fn address(&self) -> &str {
                self.0.address()
            }

            /// Kills it with SIGKILL and returns when it is gone. Its data stays.
            ///
            /// # Errors
            ///
            /// When it was not started by this process.
            pub fn kill(&self) -> Result<(), Error> {
                self.0.ours()?.kill()
            }

            /// Stops it with SIGSTOP: connections stay open and nothing answers.
            ///
            /// # Errors
            ///
            /// When it is not running, or was not started by this process.
            pub fn stop(&self) -> Result<(), Error> {
                self.0.ours()?.stop()
            }

            /// Lets it go on with SIGCONT.
            ///
            /// # Errors
            ///
            /// When it is not running, or was not started by this process.
            pub fn resume(&self) -> Result<(), Error> {
                self.0.ours()?.resume()
            }

            /// Starts it again on the same port and data, killing it first when it runs, and
            /// returns when it answers.
            ///
            /// # Errors
            ///
            /// When it does not start, or was not started by this process.
            pub fn restart(&self) -> Result<(), Error> {
                self.0.ours()?.restart()
            }

            /// The last lines of its log; empty when it was not started by this process.
            #[must_use]
            pub fn log_tail(&self) -> String {
                self.0.log_tail()
            }
        }

        impl std::fmt::Debug for $server {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($server))
                    .field("address", &self.0.address())
                    .finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use steering;

fn share<T>(
    cell: &'static OnceLock<Result<T, Error>>,
    variable: &str,
    external: impl FnOnce(&str) -> Result<T, Error>,
    start: impl FnOnce() -> Result<T, Error>,
) -> Result<&'static T, Error> {
    let made = cell.get_or_init(|| match env::var(variable) {
        Ok(value) if !value.is_empty() => external(&value),
        _ => start(),
    });
    made.as_ref().map_err(|error| Error::new(error.to_string()))
}
