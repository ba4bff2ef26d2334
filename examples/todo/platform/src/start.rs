//! The `main` of a service that is a process of its own.

use std::future::Future;
use std::process::ExitCode;

use bowline::error::BoxError;
use bowline::shutdown::Shutdown;

use crate::settings::from_environment;
use crate::{Deployment, Distributed, Settings};

/// Reads the settings, runs the service until a signal, and says what was wrong if it failed.
///
/// `database` says whether the service has one.
pub fn main<F, Fut>(name: &str, database: bool, run: F) -> ExitCode
where
    F: FnOnce(Deployment, Settings, Shutdown) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    match start(name, database, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::complain(name, &error);
            ExitCode::FAILURE
        }
    }
}

fn start<F, Fut>(name: &str, database: bool, run: F) -> Result<(), BoxError>
where
    F: FnOnce(Deployment, Settings, Shutdown) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    crate::log();
    let (settings, servers) = from_environment(name, database)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let backend = Distributed::connect(&servers).await?;
            let shutdown = Shutdown::new();
            tokio::spawn(crate::on_signals(shutdown.clone()));
            run(Deployment::Distributed(backend), settings, shutdown).await
        })
}
