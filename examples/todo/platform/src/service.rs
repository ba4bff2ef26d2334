//! Running one service: it listens, registers, works, and ends in order.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use bowline::broker::Publisher;
use bowline::config::ConfigError;
use bowline::discovery::{self, Instance, Ttl};
use bowline::error::{BoxError, Error, Kind};
use bowline::health::{Health, Lifecycle};
use bowline::outbox::{self, Relay};
use bowline::shutdown::{Shutdown, Token};
use tokio::net::TcpListener;

use crate::{Backend, Settings};

/// After a crash of a relay the next one waits so long.
const LEASE: Duration = Duration::from_secs(1);

type Task =
    Box<dyn FnOnce(Token) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send>;

/// What a service consists of: its routes and the work beside them.
pub struct Parts {
    router: Router,
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

    /// The relay from `store` to `publisher`.
    ///
    /// # Errors
    ///
    /// Those of the relay's configuration.
    pub fn relay<S: outbox::Store, P: Publisher>(
        self,
        store: S,
        publisher: P,
    ) -> Result<Self, ConfigError> {
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
        let host = settings
            .advertise
            .clone()
            .unwrap_or_else(|| local.ip().to_string());
        let instance = Instance::new(backend.service(name), format!("{host}:{}", local.port()));
        let registration = discovery::register(backend.registry(), instance, Ttl::DEFAULT).await?;
        let health = Health::builder().build()?;
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
            .with_detail(format!("{address} cannot be listened on: {source}"))
            .with_source(source)
    })
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
