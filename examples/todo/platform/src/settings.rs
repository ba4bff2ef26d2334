//! Settings from `TODO_*` environment variables; every problem is reported at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bowline::config::{ConfigError, Env, Secret};
use bowline::error::Error;
use http::Uri;
use http::uri::Scheme;

use crate::broker::{Choice, Program};

const ADDRESS: &str = "an address and a port, like 127.0.0.1:8080";
const SENDER: &str = "todo@localhost";
const SYSTEM: &str = "todo";
const SWITCH: &str = "true or false";
const WEBHOOK: &str = "an address like http://127.0.0.1:9000/hook";

/// `error`, and the `setting` to look at.
pub(crate) fn unusable(setting: &str, error: Error) -> Error {
    Error::new(error.kind(), "todo", "connect")
        .with_detail(format!("{setting} cannot be used"))
        .with_source(error)
}

/// Logging starts from the same variable before anything can be reported.
fn check_log(env: &mut Env) {
    let allowed = "filters of tracing, like warn or info,bowline=debug";
    let _: Option<tracing_subscriber::EnvFilter> = env.optional("LOG", allowed);
}

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
    /// Where notifications go besides the page.
    pub channels: Channels,
}

/// Where notifications go besides the page.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Channels {
    /// By mail.
    pub mail: Option<Mailing>,
    /// To whoever listens at this address.
    pub webhook: Option<Uri>,
}

/// How mails are sent.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "the two ways")]
pub enum Mailing {
    /// Each is a file in a folder.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The sender.
        from: String,
    },
    /// Through a server.
    Server {
        /// The server, like `smtp://user:password@host:587?tls=required`.
        server: Secret,
        /// The sender.
        from: String,
    },
}

/// Who may see and change the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operators {
    /// Every account: for a system that one person runs for themselves.
    Everyone,
    /// The accounts with these e-mail addresses. Nobody verifies an address, so registering one of
    /// them takes the invitation; without an invitation nobody can.
    Only {
        /// The addresses, in lower case.
        emails: Vec<String>,
        /// What an operator must know to register.
        invitation: Option<Secret>,
    },
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
    /// | `TODO_ADVERTISE` | host that others reach us by | that of `TODO_LISTEN`, if it is one |
    /// | `TODO_SECRET` or `TODO_SECRET_FILE` | signs tokens, at least 32 characters | required |
    /// | `TODO_OPERATORS` | e-mail addresses of operators, by comma | nobody |
    /// | `TODO_INVITATION` or `TODO_INVITATION_FILE` | what an operator must know to register | nobody can |
    /// | `TODO_DEMO` | `true` lets operators switch on faults | `false` |
    /// | `TODO_SETTLE` | wait between leaving the registry and stopping | `2s` |
    /// | `TODO_LOG` | what to log, as `tracing` filters say it | `warn` |
    ///
    /// And those of [`Channels`].
    pub fn read(env: &mut Env, name: &str) -> Self {
        check_log(env);
        let listen = env.or("LISTEN", SocketAddr::from(([127, 0, 0, 1], 0)), ADDRESS);
        let advertise = env.optional("ADVERTISE", "a host name or an address");
        if advertise.is_none() && listen.ip().is_unspecified() {
            let allowed = "a host name or an address, as TODO_LISTEN names none";
            env.problem("ADVERTISE", "not set", allowed);
        }
        let secret = env.secret("SECRET");
        if (1..Self::SECRET_MIN).contains(&secret.expose().len()) {
            env.problem(
                "SECRET",
                "too short",
                format!("at least {} characters", Self::SECRET_MIN),
            );
        }
        let operators = Operators::read(env).unwrap_or(Operators::Only {
            emails: Vec::new(),
            invitation: None,
        });
        Self {
            listen,
            advertise,
            secret,
            operators,
            demo: env.or("DEMO", false, SWITCH),
            settle: env.duration("SETTLE", Self::SETTLE),
            announce: Some(format!("{name} listens on")),
            channels: Channels::read(env, None),
        }
    }

    /// Settings of one service inside a single process.
    #[must_use]
    pub fn local(listen: SocketAddr, secret: Secret, operators: Operators, demo: bool) -> Self {
        Self {
            listen,
            advertise: None,
            secret,
            operators,
            demo,
            // All parts share one registry, so nobody holds an old listing.
            settle: Duration::ZERO,
            announce: None,
            channels: Channels::default(),
        }
    }
}

impl Channels {
    /// Reads the channels; with neither a server nor a folder mails go to the folder `otherwise`.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `TODO_SMTP` or `TODO_SMTP_FILE` | the mail server, `smtp://user:password@host:587?tls=required` | none |
    /// | `TODO_MAIL_FOLDER` | without a server: where mails are put as files | `otherwise` |
    /// | `TODO_MAIL_FROM` | the sender | `todo@localhost` |
    /// | `TODO_WEBHOOK` | where each notification is posted, `http://host/path` | nowhere |
    fn read(env: &mut Env, otherwise: Option<PathBuf>) -> Self {
        let from = env.or("MAIL_FROM", SENDER.to_owned(), "a mail address");
        let folder: Option<PathBuf> = env.optional("MAIL_FOLDER", "a folder");
        let server = env.is_set("SMTP").then(|| env.secret("SMTP"));
        let mail = match (server, folder.or(otherwise)) {
            (Some(server), _) => Some(Mailing::Server { server, from }),
            (None, Some(folder)) => Some(Mailing::Folder { folder, from }),
            (None, None) => None,
        };
        let webhook: Option<Uri> = env.optional("WEBHOOK", WEBHOOK);
        if let Some(uri) = &webhook
            && (uri.scheme() != Some(&Scheme::HTTP) || uri.host().is_none())
        {
            env.problem("WEBHOOK", uri, WEBHOOK);
        }
        Self { mail, webhook }
    }
}

impl Operators {
    /// `TODO_OPERATORS` and `TODO_INVITATION`; `None` when neither is set.
    fn read(env: &mut Env) -> Option<Self> {
        let emails: Option<String> = env.optional("OPERATORS", "e-mail addresses, by comma");
        let invitation = env.is_set("INVITATION").then(|| env.secret("INVITATION"));
        if emails.is_none() && invitation.is_none() {
            return None;
        }
        let emails = emails.unwrap_or_default();
        let emails = emails.split(',').map(|email| email.trim().to_lowercase());
        Some(Self::Only {
            emails: emails.filter(|email| !email.is_empty()).collect(),
            invitation,
        })
    }

    /// Whether the account with address `email` is one.
    #[must_use]
    pub fn include(&self, email: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only { emails, .. } => emails.iter().any(|operator| operator == email),
        }
    }

    /// Whether somebody who knows `invitation` may register `email`.
    #[must_use]
    pub fn admit(&self, email: &str, invitation: Option<&str>) -> bool {
        match self {
            Self::Only {
                invitation: expected,
                ..
            } if self.include(email) => expected
                .as_ref()
                .is_some_and(|expected| Some(expected.expose()) == invitation),
            _ => true,
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
    /// The broker.
    pub broker: Choice,
    /// The Redis that keeps the registry.
    pub redis: Secret,
    /// The name by which this system's topics, groups and registry entries begin.
    pub system: String,
}

#[cfg(feature = "distributed")]
impl Servers {
    /// `TODO_POSTGRES`, `TODO_BROKER` and `TODO_REDIS` (or with `_FILE`), all required but the first for a
    /// service without a database; `TODO_SYSTEM`, `todo` when unset.
    pub fn read(env: &mut Env, database: bool) -> Self {
        Self {
            postgres: if database {
                env.secret("POSTGRES")
            } else {
                Secret::new("")
            },
            // What stands in is never used: that there is none is a problem.
            broker: Choice::read(env, Program::Part).unwrap_or(Choice::Redis(Secret::new(""))),
            redis: env.secret("REDIS"),
            system: env.or("SYSTEM", SYSTEM.to_owned(), "a name"),
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
    /// The broker, unless it is a file in that folder.
    pub broker: Option<Choice>,
    /// The name by which this system's topics and groups begin.
    pub system: String,
    /// The page's address.
    pub listen: SocketAddr,
    /// Who may see and change the operation.
    pub operators: Operators,
    /// Whether faults may be switched on from the operations page.
    pub demo: bool,
    /// Where notifications go besides the page.
    pub channels: Channels,
}

impl Local {
    /// `TODO_DATA` (`./todo-data`), `TODO_LISTEN` (`127.0.0.1:8080`), `TODO_BROKER` (`embedded`),
    /// `TODO_SYSTEM` (`todo`), `TODO_DEMO` (`false`), `TODO_LOG` (`warn`), `TODO_OPERATORS` and
    /// `TODO_INVITATION`, and those of the channels; mails go to the folder `mail` of the data unless
    /// there is a server. On loopback everyone is an operator unless operators are named; elsewhere they
    /// must be.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let mut env = Env::prefix("TODO");
        check_log(&mut env);
        let folder = env.or("DATA", PathBuf::from("todo-data"), "a folder");
        let listen = env.or("LISTEN", SocketAddr::from(([127, 0, 0, 1], 8080)), ADDRESS);
        let demo = env.or("DEMO", false, SWITCH);
        let operators = Operators::read(&mut env);
        if operators.is_none() && !listen.ip().is_loopback() {
            let allowed = "e-mail addresses, by comma, as others can reach TODO_LISTEN";
            env.problem("OPERATORS", "not set", allowed);
        }
        let channels = Channels::read(&mut env, Some(folder.join("mail")));
        let broker = Choice::read(&mut env, Program::Whole);
        let system = env.or("SYSTEM", SYSTEM.to_owned(), "a name");
        env.finish().map(|()| Self {
            channels,
            folder,
            broker,
            system,
            listen,
            operators: operators.unwrap_or(Operators::Everyone),
            demo,
        })
    }
}
