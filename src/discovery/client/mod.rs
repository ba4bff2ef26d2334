//! Calls a service by its name.
//!
//! An address that was looked up may be dead by the time it is called, and a caller that tries again
//! has to know whether it may. A [`ServiceClient`] finds the instances, balances, repeats what may be
//! repeated and refuses what is of no use, all in bounded time; [how it decides](ServiceClient) stands
//! there. Options and their defaults are in the [table of `discovery`](super#defaults).
//!
//! # When not to use it
//!
//! For responses that do not fit into memory, and for streams: bodies are whole. For one fixed address
//! outside of the system: an HTTP client behind a [`breaker`] and a
//! [`retry`](crate::retry) does it.
//!
//! # Examples
//!
//! A transport is any `tower` service from request to response, so that a test needs no network.
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::discovery::client::{DEADLINE, ServiceClient, TransportError};
//! use bowline::discovery::{Instance, StaticList};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use tower::service_fn;
//!
//! let transport = service_fn(|request: Request<Bytes>| async move {
//!     assert_eq!(request.uri(), "http://10.0.0.1:80/tasks/7");
//!     assert!(request.headers().contains_key(DEADLINE));
//!     Ok::<_, TransportError>(Response::new(Bytes::from(r#""done""#)))
//! });
//! let registry = StaticList::new([Instance::new("tasks", "10.0.0.1:80")]);
//! let client = ServiceClient::builder(registry, transport).build()?;
//!
//! let response = client.invoke("tasks").get("/tasks/7").send().await?;
//! assert_eq!(response.attempts, 1);
//! assert_eq!(response.json::<String>()?, "done");
//! # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod attempts;
mod call;
mod error;
mod headers;
#[cfg(feature = "hyper")]
mod hyper;
mod options;
mod response;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::OnceCell;

use self::options::Options;
use self::transport::Boxed;
use super::{Balance, Balancer, Registry, Watch, WatchOptions, watch};
use crate::breaker::{self, Breaker};
use crate::pipeline::{self, Pipeline};

pub use call::{Call, Invocation};
pub use error::{Error, Kind};
pub use headers::{DEADLINE, IDEMPOTENCY_KEY, REQUEST_ID, USER, deadline, end_to_end};
#[cfg(feature = "hyper")]
pub use hyper::Hyper;
pub use options::Builder;
pub use response::Response;
pub use transport::{Sent, Transport, TransportError};

/// Calls services by name: finds the instances, balances, repeats what may be repeated, in bounded
/// time.
///
/// # How it decides
///
/// 1. A whole call ends within its deadline, and within that of whoever makes it
///    ([`deadline::current`](crate::deadline::current)); what is left travels in the [`DEADLINE`]
///    header.
/// 2. An attempt that brings no response, or a response that [`HttpStatus`](crate::classify::HttpStatus)
///    takes for a transient failure, is repeated on the next instance as the [`retry`](crate::retry)
///    policy says: `GET`, `HEAD`, `OPTIONS`, `TRACE`, `PUT`, `DELETE` and what has an idempotency
///    key; anything else only when it was certainly not sent.
/// 3. Every service has a [`Pipeline`] of its own. Its [`Breaker`] sees each attempt, but for those that
///    reached no instance and were followed by another. An attempt that a pattern around the transport
///    refused is ignored; one whose caller gave it less than half of the usual time, and gave up, counts
///    as cancelled. While the breaker is open, calls are refused. Its
///    [bulkhead](crate::bulkhead) bounds the attempts that run at once.
/// 4. Every attempt continues the trace with a span of its own.
///
/// The instances of a service are looked up at the first call to it and kept fresh from then on.
/// Clones share everything.
#[derive(Clone)]
pub struct ServiceClient(Arc<Inner>);

struct Inner {
    watches: Watches,
    transport: Boxed,
    options: Options,
    upstreams: RwLock<HashMap<Arc<str>, Arc<OnceCell<Arc<Upstream>>>>>,
}

type Watching = Pin<Box<dyn Future<Output = Result<Watch, crate::Error>> + Send>>;

/// Starts to watch a service. Boxed once per service, so that the client needs no type parameter.
type Watches = Box<dyn Fn(Arc<str>) -> Watching + Send + Sync>;

/// What the client keeps for one service.
#[derive(Debug)]
pub(crate) struct Upstream {
    balancer: Balancer,
    pipeline: Pipeline,
}

impl ServiceClient {
    /// A client that finds instances in `registry` and reaches them through `transport`.
    pub fn builder<R: Registry>(registry: R, transport: impl Transport) -> Builder {
        let watches = move |service: Arc<str>| -> Watching {
            let registry = registry.clone();
            Box::pin(async move { watch(&registry, &service, WatchOptions::default()).await })
        };
        Builder::new(Box::new(watches), Boxed::new(transport))
    }

    /// Begins a call to `service`.
    #[must_use]
    pub fn invoke(&self, service: impl Into<Arc<str>>) -> Invocation<'_> {
        Invocation::new(self, service.into())
    }

    /// The services that were called so far, with their instances, ordered by name.
    #[must_use]
    pub fn watches(&self) -> Vec<Watch> {
        let upstreams = self.upstreams().into_iter();
        upstreams
            .map(|upstream| upstream.balancer.watch().clone())
            .collect()
    }

    /// The breakers of the services that were called so far, ordered by name.
    #[must_use]
    pub fn breakers(&self) -> Vec<breaker::Snapshot> {
        let upstreams = self.upstreams().into_iter();
        upstreams
            .filter_map(|upstream| upstream.pipeline.breaker().map(Breaker::snapshot))
            .collect()
    }

    /// All parts of the pipelines of the services that were called so far, ordered by name.
    #[must_use]
    pub fn pipelines(&self) -> Vec<pipeline::Snapshot> {
        let upstreams = self.upstreams().into_iter();
        upstreams
            .map(|upstream| upstream.pipeline.snapshot())
            .collect()
    }

    fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let known = self.0.upstreams.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let mut known: Vec<_> = known
            .values()
            .filter_map(|cell| cell.get().cloned())
            .collect();
        known.sort_by(|a, b| a.pipeline.name().cmp(b.pipeline.name()));
        known
    }

    fn new(watches: Watches, transport: Boxed, options: Options) -> Self {
        Self(Arc::new(Inner {
            watches,
            transport,
            options,
            upstreams: RwLock::default(),
        }))
    }

    fn options(&self) -> &Options {
        &self.0.options
    }

    fn default_deadline(&self) -> Duration {
        let deadline = self.options().pipeline.deadline;
        deadline.unwrap_or(Builder::DEFAULT_DEADLINE)
    }

    fn transport(&self) -> Boxed {
        self.0.transport.clone()
    }

    async fn upstream(&self, service: &Arc<str>) -> Result<Arc<Upstream>, Error> {
        let cell = self.cell(service);
        // Calls that come while the first one looks the service up wait for it.
        let upstream = cell.get_or_try_init(|| self.discover(service.clone()));
        upstream.await.cloned()
    }

    async fn discover(&self, service: Arc<str>) -> Result<Arc<Upstream>, Error> {
        let options = self.options();
        let pipeline = Pipeline::from_config(service.clone(), options.pipeline.clone())
            .map_err(|error| Error::new(service.clone(), Kind::Invalid, error))?;
        let watch = (self.0.watches)(service.clone())
            .await
            .map_err(|error| Error::new(service, Kind::Registry, error))?;
        Ok(Arc::new(Upstream {
            balancer: Balancer::new(watch, options.balance),
            pipeline,
        }))
    }

    fn cell(&self, service: &Arc<str>) -> Arc<OnceCell<Arc<Upstream>>> {
        let known = self.0.upstreams.read();
        let known = known
            .unwrap_or_else(PoisonError::into_inner)
            .get(service)
            .cloned();
        known.unwrap_or_else(|| {
            let upstreams = self.0.upstreams.write();
            let mut upstreams = upstreams.unwrap_or_else(PoisonError::into_inner);
            upstreams.entry(service.clone()).or_default().clone()
        })
    }
}

impl fmt::Debug for ServiceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceClient")
            .field("options", &self.0.options)
            .field("upstreams", &self.upstreams())
            .finish_non_exhaustive()
    }
}
