//! Running one service: it listens, registers, works, and ends in order.

use std::fmt;
use std::future::Future;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use bowline::broker::Publisher;
use bowline::config::ConfigError;
use bowline::discovery::{self, Instance, Registry, Ttl};
use bowline::error::{BoxError, Chain, Error, Kind};
use bowline::health::{Answer, Health, Lifecycle};
use bowline::outbox::{self, Relay};
use bowline::shutdown::{Shutdown, Token};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::{Backend, Settings};

/// After a crash of a relay the next one waits so long.
const LEASE: Duration = Duration::from_secs(1);
/// How long it is remembered that a request or an event was handled: longer than any of them is
/// repeated.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How often what is older is forgotten.
const SWEEP: Duration = Duration::from_secs(24 * 60 * 60);

type Task =
    Box<dyn FnOnce(Token) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send>;

type Ask = Box<dyn Fn() -> Answer + Send + Sync>;

/// What a service consists of: its routes and the work beside them.
pub struct Parts {
    router: Router,
    database: Option<Ask>,
    tasks: Vec<(&'static str, Task)>,
}

/// A service about to run.
#[derive(Debug)]
pub struct Service<B> {
    name: &'static str,
    backend: B,
    settings: Settings,
}

impl Parts {
    /// A service that only answers requests.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self {
            router,
            database: None,
            tasks: Vec::new(),
        }
    }

    /// Work that goes on until its token says stop.
    #[must_use]
    pub fn task<F, Fut>(mut self, name: &'static str, work: F) -> Self
    where
        F: FnOnce(Token) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.tasks
            .push((name, Box::new(move |token| Box::pin(work(token)))));
        self
    }

    /// Forgets, once a day, what `sweep` may forget that is older than it is told.
    #[must_use]
    pub fn sweep<F, Fut, E>(self, sweep: F) -> Self
    where
        F: Fn(Duration) -> Fut + Send + 'static,
        Fut: Future<Output = Result<u64, E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        self.task("sweep", async move |token| {
            loop {
                match sweep(KEEP).await {
                    Ok(rows) => tracing::debug!(rows, "swept"),
                    Err(error) => tracing::warn!(error = %Chain(&error), "could not sweep"),
                }
                tokio::select! {
                    () = token.stopped() => return Ok(()),
                    () = sleep(SWEEP) => {}
                }
            }
        })
    }

    /// The relay from `store` to `publisher`. While the outbox does not answer, the service is not
    /// ready: its database is the service's own.
    ///
    /// # Errors
    ///
    /// Those of the relay's configuration.
    pub fn relay<S: outbox::Store + Clone, P: Publisher>(
        mut self,
        store: S,
        publisher: P,
    ) -> Result<Self, ConfigError> {
        let asked = store.clone();
        self.database = Some(Box::new(move || {
            let asked = asked.clone();
            Box::pin(async move { Ok(asked.status().await.map(drop)?) })
        }));
        let relay = Relay::builder(store, publisher).lease(LEASE).build()?;
        Ok(self.task("relay", async move |token| {
            relay.run(token).await.map_err(BoxError::from)
        }))
    }
}

impl<B: Backend> Service<B> {
    /// The service `name` on `backend`.
    #[must_use]
    pub fn new(name: &'static str, backend: B, settings: Settings) -> Self {
        Self {
            name,
            backend,
            settings,
        }
    }

    /// Listens, says where on stdout, registers, and runs `parts` until `shutdown`.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or a part has failed.
    pub async fn run(self, parts: Parts, shutdown: Shutdown) -> Result<(), BoxError> {
        let Self {
            name,
            backend,
            settings,
        } = self;
        let listener = listen(settings.listen).await?;
        let local = listener.local_addr()?;
        let instance = Instance::new(
            backend.service(name),
            address(settings.advertise.as_deref(), local),
        );
        let registration = discovery::register(backend.registry(), instance, Ttl::DEFAULT).await?;
        let (registry, full_name) = (backend.registry().clone(), backend.service(name));
        let mut health = Health::builder().degraded("registry", move || {
            let (registry, name) = (registry.clone(), full_name.clone());
            async move { Ok(registry.list(&name, None).await.map(drop)?) }
        });
        if let Some(database) = parts.database {
            health = health.critical("database", database);
        }
        let health = health.build()?;
        let router = crate::http::complete(parts.router.merge(health.routes()));
        tracing::info!(service = name, address = %local, "listening");
        let mut lifecycle = Lifecycle::new(shutdown)
            .health(health)
            .registration(registration)
            .settle(settings.settle);
        for (task, work) in parts.tasks {
            lifecycle = lifecycle.task(task, work);
        }
        if let Some(words) = &settings.announce {
            announce(words, local);
        }
        lifecycle
            .serve(router, listener)
            .await
            .map_err(BoxError::from)
    }
}

/// Binds `address`.
///
/// # Errors
///
/// Which address, and why not.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| {
        Error::new(Kind::Unavailable, "todo", "listen")
            .with_detail(format!("{address} cannot be listened on"))
            .with_source(source)
    })
}

/// Where others reach what listens at `local`: by the name it is `advertised` under, if it has one.
fn address(advertised: Option<&str>, local: SocketAddr) -> String {
    match advertised {
        Some(host) if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]:{}", local.port()),
        Some(host) => format!("{host}:{}", local.port()),
        None => local.to_string(),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the one line that a person or a script reads"
)]
fn announce(words: &str, local: SocketAddr) {
    println!("{words} http://{local}");
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<_> = self.tasks.iter().map(|(name, _)| name).collect();
        f.debug_struct("Parts")
            .field("tasks", &tasks)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_others_can_use() {
        let local = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80));
        assert_eq!(address(None, local), "[::1]:80");
        assert_eq!(address(Some("fd00::7"), local), "[fd00::7]:80");
        assert_eq!(address(Some("tasks.local"), local), "tasks.local:80");
    }
}
