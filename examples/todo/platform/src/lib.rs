//! What the todo services share: settings, tokens, back-ends, HTTP edges, and how one is run.

pub mod auth;
mod backend;
pub mod broker;
pub mod faults;
pub mod http;
pub mod messages;
pub mod ops;
pub mod service;
pub mod settings;
pub mod sqlite;
#[cfg(feature = "distributed")]
mod start;

use bowline::error::{BoxError, Chain};
use bowline::shutdown::Shutdown;
use tracing_subscriber::EnvFilter;

#[cfg(feature = "distributed")]
pub use backend::Distributed;
pub use backend::{Backend, Embedded};
pub use settings::Settings;
#[cfg(feature = "distributed")]
pub use start::main;

/// How the system is deployed, and what comes with it.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "the two ways to run the example")]
pub enum Deployment {
    /// Each service is a process of its own, on PostgreSQL, Redis, and Kafka or Redis Streams.
    #[cfg(feature = "distributed")]
    Distributed(Distributed),
    /// All services are in one process, on SQLite files, and on another broker if so told.
    Embedded(Embedded),
}

/// Logs to stderr what `TODO_LOG` asks for; warnings and errors when it is not set or, which the
/// settings report, not readable.
pub fn log() {
    let filter = EnvFilter::try_from_env("TODO_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

/// Ends calmly at the first signal, and at once at the second.
pub async fn on_signals(shutdown: Shutdown) {
    for _ in 0..2 {
        if let Err(error) = shutdown.on_signal().await {
            tracing::error!(%error, "signals cannot be listened to");
            return;
        }
    }
    std::process::exit(1);
}

/// Says on stderr why the program `name` could not go on.
#[expect(
    clippy::print_stderr,
    reason = "the last word of a program that failed"
)]
pub fn complain(name: &str, error: &BoxError) {
    eprintln!("{name}: {}", Chain(&**error));
}
