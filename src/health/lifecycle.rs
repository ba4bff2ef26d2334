//! A calm end, in order.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Health;
use crate::discovery::Registration;
use crate::error::{BoxError, Chain};
use crate::shutdown::{Shutdown, Token};

type Work = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
type Start = Box<dyn FnOnce(Token) -> Work + Send>;

/// Runs the parts of a process and ends them in order, so that no caller notices.
///
/// # How it ends
///
/// When its [`Shutdown`] is triggered, or when a part fails; a part that returns `Ok` before has
/// finished, and the others go on:
///
/// 1. [`Health`] says not ready.
/// 2. The registrations are withdrawn.
/// 3. For the settle time it goes on serving: callers still have old lists.
/// 4. Servers stop accepting and finish the requests they have.
/// 5. Then tasks (consumers, relays) get their token and finish what they have.
///
/// Steps 4 and 5 together end after the drain time at the latest; what still runs is given up. The
/// servers have three quarters of it, so that a request that does not end leaves the tasks theirs.
///
/// # Default
///
/// Settles for 2 s, two refreshes of a [`Watch`](crate::discovery::Watch); drains for 20 s, so that
/// all is over before the 30 s after which orchestrators kill.
#[must_use = "a lifecycle does nothing until it runs"]
pub struct Lifecycle {
    shutdown: Shutdown,
    health: Option<Health>,
    registrations: Vec<Registration>,
    servers: Vec<(Arc<str>, Start)>,
    tasks: Vec<(Arc<str>, Start)>,
    settle: Duration,
    drain: Duration,
}

/// Why a process ended otherwise than calmly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A part returned an error; the others were ended in order.
    #[error("{name} failed")]
    #[non_exhaustive]
    Failed {
        /// The part's name.
        name: Arc<str>,
        /// Its error.
        source: BoxError,
    },
    /// A part panicked; the others were ended in order.
    #[error("{name} panicked")]
    #[non_exhaustive]
    Panicked {
        /// The part's name.
        name: Arc<str>,
    },
    /// Parts did not finish in the drain time and were given up.
    #[error("not finished in time: {}", names.join(", "))]
    #[non_exhaustive]
    Undrained {
        /// Their names.
        names: Vec<Arc<str>>,
    },
}

impl Lifecycle {
    /// How long parts have to finish unless said otherwise.
    pub const DEFAULT_DRAIN: Duration = Duration::from_secs(20);
    /// How long it serves on after it left the registry unless said otherwise.
    pub const DEFAULT_SETTLE: Duration = Duration::from_secs(2);

    /// A process that ends when `shutdown` is triggered.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            health: None,
            registrations: Vec::new(),
            servers: Vec::new(),
            tasks: Vec::new(),
            settle: Self::DEFAULT_SETTLE,
            drain: Self::DEFAULT_DRAIN,
        }
    }

    /// Sets the health of the process; its checks run with it.
    pub fn health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// Adds a registration, withdrawn when the end begins.
    pub fn registration(mut self, registration: Registration) -> Self {
        self.registrations.push(registration);
        self
    }

    /// Adds a part that runs until its token says stop and then returns when it has drained. The
    /// token stops after the servers have ended, not with the shutdown itself.
    pub fn task<F, Fut, E>(mut self, name: impl Into<Arc<str>>, start: F) -> Self
    where
        F: FnOnce(Token) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.tasks.push((name.into(), boxed(start)));
        self
    }

    /// Adds a server: a part whose token stops before those of the tasks.
    pub fn server<F, Fut, E>(mut self, name: impl Into<Arc<str>>, start: F) -> Self
    where
        F: FnOnce(Token) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.servers.push((name.into(), boxed(start)));
        self
    }

    /// Sets how long it serves on after it left the registry.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// Sets how long parts have to finish, servers and tasks together.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Serves `app` on `listener` and runs everything until the end. Handlers find the peer's address in
    /// axum's `ConnectInfo<SocketAddr>`.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    #[cfg(feature = "axum")]
    pub async fn serve(
        self,
        app: axum::Router,
        listener: tokio::net::TcpListener,
    ) -> Result<(), Error> {
        let server = self.server("http", move |stop| async move {
            axum::serve(
                listener,
                app.into_make_service_with_connect_info::<std::net::SocketAddr>(),
            )
            .with_graceful_shutdown(async move { stop.stopped().await })
            .await
        });
        server.run().await
    }

    /// Runs everything until the end.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] or [`Error::Panicked`] for a part that did, [`Error::Undrained`] with the names
    /// of those that did not finish in time. Of several, the one that began the end comes first, then
    /// that of the servers, then that of the tasks.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped, all parts are given up at once and registrations withdrawn in the background.
    pub async fn run(mut self) -> Result<(), Error> {
        let (stop_servers, stop_tasks) = (Shutdown::new(), Shutdown::new());
        if let Some(health) = self.health.clone() {
            let checks = move |token| async move {
                health.run(token).await;
                Ok::<_, BoxError>(())
            };
            self.tasks.push(("health".into(), boxed(checks)));
        }
        let mut servers = Parts::start(self.servers.drain(..), &stop_servers);
        let mut tasks = Parts::start(self.tasks.drain(..), &stop_tasks);
        let token = self.shutdown.token();
        let failure = tokio::select! {
            () = token.stopped() => None,
            error = servers.failure() => Some(error),
            error = tasks.failure() => Some(error),
        };
        if let Some(error) = &failure {
            tracing::error!(error = %Chain(error), "a part ended early, ending the others");
            self.shutdown.trigger();
        }
        self.leave().await;
        let began = Instant::now();
        stop_servers.trigger();
        let served = servers.finish(began + self.drain * 3 / 4).await;
        stop_tasks.trigger();
        let done = tasks.finish(began + self.drain).await;
        let undrained = match (served.err(), done.err()) {
            (Some(Error::Undrained { mut names }), Some(Error::Undrained { names: more })) => {
                names.extend(more);
                Some(Error::Undrained { names })
            }
            (served, done) => served.or(done),
        };
        failure.or(undrained).map_or(Ok(()), Err)
    }

    /// At most the drain time, should a registry hang, and the settle time.
    async fn leave(&mut self) {
        if let Some(health) = &self.health {
            health.set_draining();
        }
        let withdrawn = async {
            for registration in self.registrations.drain(..) {
                if let Err(error) = registration.deregister().await {
                    tracing::warn!(error = %Chain(&error), "could not leave the registry");
                }
            }
        };
        if timeout(self.drain, withdrawn).await.is_err() {
            tracing::warn!("could not leave the registry in time");
        }
        sleep(self.settle).await;
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |parts: &[(Arc<str>, Start)]| -> Vec<Arc<str>> {
            parts.iter().map(|(name, _)| name.clone()).collect()
        };
        f.debug_struct("Lifecycle")
            .field("registrations", &self.registrations)
            .field("servers", &names(&self.servers))
            .field("tasks", &names(&self.tasks))
            .finish_non_exhaustive()
    }
}

/// Parts that run; dropped, they are given up.
struct Parts {
    running: JoinSet<Result<(), BoxError>>,
    names: std::collections::HashMap<tokio::task::Id, Arc<str>>,
}

impl Parts {
    fn start(parts: impl Iterator<Item = (Arc<str>, Start)>, stop: &Shutdown) -> Self {
        let mut running = JoinSet::new();
        let mut names = std::collections::HashMap::new();
        for (name, start) in parts {
            let task = running.spawn(start(stop.token()));
            names.insert(task.id(), name);
        }
        Self { running, names }
    }

    /// The first part that fails; a part that ends well is left out, and when all did this never
    /// returns.
    async fn failure(&mut self) -> Error {
        while let Some(done) = self.running.join_next_with_id().await {
            if let Err(error) = self.outcome(done) {
                return error;
            }
        }
        std::future::pending().await
    }

    async fn finish(&mut self, deadline: Instant) -> Result<(), Error> {
        let mut first = Ok(());
        loop {
            match timeout_at(deadline, self.running.join_next_with_id()).await {
                Ok(Some(done)) => first = first.and(self.outcome(done)),
                Ok(None) => return first,
                Err(_elapsed) => break,
            }
        }
        let mut names: Vec<_> = self.names.drain().map(|(_, name)| name).collect();
        names.sort();
        self.running.abort_all();
        first.and(Err(Error::Undrained { names }))
    }

    fn outcome(
        &mut self,
        done: Result<(tokio::task::Id, Result<(), BoxError>), JoinError>,
    ) -> Result<(), Error> {
        let (id, result) = match done {
            Ok((id, result)) => (id, Some(result)),
            Err(panic) => (panic.id(), None),
        };
        let name = self.names.remove(&id).unwrap_or_else(|| "part".into());
        match result {
            Some(Ok(())) => Ok(()),
            Some(Err(source)) => Err(Error::Failed { name, source }),
            None => Err(Error::Panicked { name }),
        }
    }
}

fn boxed<F, Fut, E>(start: F) -> Start
where
    F: FnOnce(Token) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    Box::new(move |token| {
        let work = start(token);
        Box::pin(async move { work.await.map_err(Into::into) })
    })
}
