//! The whole todo system in one process: `cargo run -p todo`, then open the address it prints.
//!
//! Everything it keeps is in `./todo-data`, but for its events when `TODO_BROKER` names another broker. With `--demo`, operators can break parts of it from the
//! operations page and watch breakers, outboxes and dead letters react.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use bowline::config::Secret;
use bowline::error::{BoxError, Error, Kind};
use bowline::shutdown::Shutdown;
use todo_platform::settings::Local;
use todo_platform::{Deployment, Embedded, Settings};
use tokio::task::JoinSet;

const HELP: &str = "usage: todo [--demo]\n\
    TODO_DATA    the folder for its files, ./todo-data\n\
    TODO_LISTEN  the address of the page, 127.0.0.1:8080\n\
    TODO_BROKER  embedded, redis://host:port or kafka://host:port\n\
    TODO_SYSTEM  by what its names in a shared broker begin, todo\n\
    TODO_DEMO    true is the same as --demo\n\
    TODO_LOG     what to log, warn\n\
    TODO_SMTP    the mail server; without one mails are put into the folder mail of TODO_DATA\n\
    TODO_WEBHOOK where each notification is posted, nowhere\n\
    TODO_OPERATORS and TODO_INVITATION  who may see and change the operation: on loopback everyone";

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            todo_platform::complain("todo", &error);
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), BoxError> {
    let mut local = Local::from_environment()?;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--demo" => local.demo = true,
            "--help" | "-h" => return help(),
            other => return Err(format!("{other} is not known\n{HELP}").into()),
        }
    }
    todo_platform::log();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(local))
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn help() -> Result<(), BoxError> {
    println!("{HELP}");
    Ok(())
}

/// Runs all services until a signal, or until one of them fails.
async fn run(local: Local) -> Result<(), BoxError> {
    let backend = Embedded::open(&local.folder, &local.system, local.broker.as_ref()).await?;
    let secret = secret(&local.folder)?;
    let shutdown = Shutdown::new();
    let mut inner = Settings::local(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        secret.clone(),
        local.operators.clone(),
        local.demo,
    );
    inner.channels = local.channels;
    let mut front = Settings::local(local.listen, secret, local.operators, local.demo);
    front.announce = Some("todo is at".to_owned());

    let mut services = JoinSet::new();
    let of = |backend: &Embedded| Deployment::Embedded(backend.clone());
    services.spawn(todo_users::run(
        of(&backend),
        inner.clone(),
        shutdown.clone(),
    ));
    services.spawn(todo_tasks::run(
        of(&backend),
        inner.clone(),
        shutdown.clone(),
    ));
    services.spawn(todo_notifications::run(
        of(&backend),
        inner,
        shutdown.clone(),
    ));
    services.spawn(todo_gateway::run(of(&backend), front, shutdown.clone()));
    let waiting = tokio::spawn(todo_platform::on_signals(shutdown.clone()));

    let mut first = Ok(());
    while let Some(ended) = services.join_next().await {
        let ended = ended.map_err(BoxError::from).and_then(|ended| ended);
        // One part alone is of no use: whatever ends it ends all, and the first reason is told.
        shutdown.trigger();
        first = first.and(ended);
    }
    waiting.abort();
    backend.close().await;
    first
}

/// The secret that signs tokens, made once and kept with the data.
fn secret(folder: &Path) -> Result<Secret, Error> {
    let path = folder.join("secret");
    let failed = |what: &str, source: std::io::Error| {
        Error::new(Kind::Unavailable, "todo", "open")
            .with_detail(format!("{} cannot be {what}", path.display()))
            .with_source(source)
    };
    match fs::read_to_string(&path) {
        Ok(secret) if secret.trim().len() >= Settings::SECRET_MIN => Ok(Secret::new(secret.trim())),
        Ok(_) => Err(
            Error::new(Kind::Corrupt, "todo", "open").with_detail(format!(
                "{} holds no secret; remove it to get a new one, which signs everybody out",
                path.display()
            )),
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
            write_private(&path, &secret).map_err(|error| failed("written", error))?;
            Ok(Secret::new(secret))
        }
        Err(error) => Err(failed("read", error)),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)
}
