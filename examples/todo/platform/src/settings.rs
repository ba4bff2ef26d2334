//! Settings from `TODO_*` environment variables; every problem is reported at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bowline::config::{ConfigError, Env, Secret};

/// What every service needs to know, whatever its back-end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The host name or address that other services reach this one by; that of `listen` when unset.
    pub advertise: Option<String>,
    /// Signs and checks tokens; the same for all services, at least 32 characters.
    pub secret: Secret,
    /// Who may see and change the operation.
    pub operators: Operators,
    /// Whether faults may be switched on from the operations page.
    pub demo: bool,
    /// How long to go on serving after the registry was told to forget us.
    pub settle: Duration,
    /// What to say before the address once it is listened on; nothing when unset.
    pub announce: Option<String>,
}

/// Who may see and change the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operators {
    /// Every account: for a system that one person runs for themselves.
    Everyone,
    /// The accounts with these e-mail addresses.
    Only(Vec<String>),
}

impl Settings {
    /// The shortest secret that is accepted.
    pub const SECRET_MIN: usize = 32;
    const SETTLE: Duration = Duration::from_secs(2);

    /// Settings of one service of the distributed system.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `TODO_LISTEN` | address to listen on | `127.0.0.1:0` |
    /// | `TODO_ADVERTISE` | host that others reach us by | that of `TODO_LISTEN` |
    /// | `TODO_SECRET` or `TODO_SECRET_FILE` | signs tokens, at least 32 characters | required |
    /// | `TODO_OPERATORS` | e-mail addresses of operators, by comma | nobody |
    /// | `TODO_DEMO` | `true` lets operators switch on faults | `false` |
    /// | `TODO_SETTLE` | wait between leaving the registry and stopping | `2s` |
    /// | `TODO_LOG` | what to log, as `tracing` filters say it | `warn` |
    pub fn read(env: &mut Env, name: &str) -> Self {
        // Read where logging starts, before anything can be reported.
        let _: Option<String> = env.optional("LOG");
        let listen = env.or("LISTEN", SocketAddr::from(([127, 0, 0, 1], 0)));
        let advertise = env.optional("ADVERTISE");
        let secret = env.secret("SECRET");
        if (1..Self::SECRET_MIN).contains(&secret.expose().len()) {
            env.problem(
                "SECRET",
                "too short",
                format!("at least {} characters", Self::SECRET_MIN),
            );
        }
        let operators = env
            .optional::<String>("OPERATORS")
            .map(|list| {
                list.split(',')
                    .map(|email| email.trim().to_lowercase())
                    .collect()
            })
            .unwrap_or_default();
        Self {
            listen,
            advertise,
            secret,
            operators: Operators::Only(operators),
            demo: env.or("DEMO", false),
            settle: env.duration("SETTLE", Self::SETTLE),
            announce: Some(format!("{name} listens on")),
        }
    }

    /// Settings of one service inside a single process that listens on loopback.
    #[must_use]
    pub fn local(listen: SocketAddr, secret: Secret, demo: bool) -> Self {
        Self {
            listen,
            advertise: None,
            secret,
            operators: Operators::Everyone,
            demo,
            // All parts share one registry, so nobody holds an old listing.
            settle: Duration::ZERO,
            announce: None,
        }
    }
}

impl Operators {
    /// Whether the account with address `email` is one.
    #[must_use]
    pub fn include(&self, email: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(emails) => emails.iter().any(|operator| operator == email),
        }
    }
}

/// Where the distributed system's servers are.
#[cfg(feature = "distributed")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Servers {
    /// The service's own PostgreSQL database.
    pub postgres: Secret,
    /// Kafka's bootstrap servers.
    pub kafka: String,
    /// The Redis that keeps the registry.
    pub redis: Secret,
    /// The name by which this system's topics, groups and registry entries begin.
    pub system: String,
}

#[cfg(feature = "distributed")]
impl Servers {
    /// `TODO_POSTGRES` (or `_FILE`), `TODO_KAFKA` and `TODO_REDIS` (or `_FILE`), all required but the
    /// first for a service without a database; `TODO_SYSTEM`, `todo` when unset.
    pub fn read(env: &mut Env, database: bool) -> Self {
        Self {
            postgres: if database {
                env.secret("POSTGRES")
            } else {
                Secret::new("")
            },
            kafka: env.required("KAFKA"),
            redis: env.secret("REDIS"),
            system: env.or("SYSTEM", "todo".to_owned()),
        }
    }
}

/// Reads the settings of one service of the distributed system from the environment.
///
/// # Errors
///
/// All problems at once.
#[cfg(feature = "distributed")]
pub fn from_environment(name: &str, database: bool) -> Result<(Settings, Servers), ConfigError> {
    let mut env = Env::prefix("TODO");
    let settings = Settings::read(&mut env, name);
    let servers = Servers::read(&mut env, database);
    env.finish().map(|()| (settings, servers))
}

/// Settings of the single-process system.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Local {
    /// The folder with its files.
    pub folder: PathBuf,
    /// The page's address.
    pub listen: SocketAddr,
    /// Whether faults may be switched on from the operations page.
    pub demo: bool,
}

impl Local {
    /// `TODO_DATA` (`./todo-data`), `TODO_LISTEN` (`127.0.0.1:8080`), `TODO_DEMO` (`false`) and
    /// `TODO_LOG` (`warn`).
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let mut env = Env::prefix("TODO");
        let _: Option<String> = env.optional("LOG");
        let local = Self {
            folder: env.or("DATA", PathBuf::from("todo-data")),
            listen: env.or("LISTEN", SocketAddr::from(([127, 0, 0, 1], 8080))),
            demo: env.or("DEMO", false),
        };
        env.finish().map(|()| local)
    }
}
