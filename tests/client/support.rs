//! A transport that answers from a closure, and a registry whose answers can be taken away.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bowline::discovery::client::TransportError;
use bowline::discovery::{Instance, InstanceId, Listing, Memory, Registry, ServiceClient};
use bowline::error::{Error, Kind};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use tower::Service;

pub(crate) type Answer = Result<Response<Bytes>, TransportError>;
type Behaviour = dyn Fn(&Seen) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// What a request looked like on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) host: String,
    pub(crate) headers: HeaderMap,
}

#[derive(Clone)]
pub(crate) struct Fake {
    behaviour: Arc<Behaviour>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    pub(crate) fn new<F, Fut>(behaviour: F) -> Self
    where
        F: Fn(&Seen) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Self {
            behaviour: Arc::new(move |seen| Box::pin(behaviour(seen))),
            seen: Arc::default(),
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("alone").clone()
    }

    pub(crate) fn hosts(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.host).collect()
    }
}

impl Service<Request<Bytes>> for Fake {
    type Response = Response<Bytes>;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let seen = Seen {
            host: request.uri().host().expect("a host").to_owned(),
            headers: request.headers().clone(),
        };
        self.seen.lock().expect("alone").push(seen.clone());
        (self.behaviour)(&seen)
    }
}

pub(crate) fn answer(status: StatusCode) -> Answer {
    let mut response = Response::new(Bytes::from_static(b"[]"));
    *response.status_mut() = status;
    Ok(response)
}

pub(crate) fn refused() -> Answer {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    Err(TransportError::not_sent(refused))
}

pub(crate) fn reset() -> Answer {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    Err(TransportError::unknown(reset))
}

/// A client of `hosts` as instances of the service `tasks`.
pub(crate) async fn client(hosts: &[&str], fake: &Fake) -> ServiceClient {
    let registry = Memory::new();
    for host in hosts {
        let instance = Instance::new("tasks", format!("{host}:80"));
        let ttl = Duration::from_secs(3600);
        registry.announce(&instance, ttl).await.expect("announced");
    }
    let client = ServiceClient::builder(registry, fake.clone());
    client.build().expect("valid")
}

/// A registry that can be cut off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flaky {
    pub(crate) inner: Memory,
    pub(crate) down: Arc<AtomicBool>,
    /// It takes questions and answers none.
    pub(crate) hanging: Arc<AtomicBool>,
}

impl Flaky {
    fn up(&self) -> Result<(), Error> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::new(Kind::Unavailable, "flaky", "ask"));
        }
        Ok(())
    }
}

impl Registry for Flaky {
    async fn announce(&self, instance: &Instance, ttl: Duration) -> Result<(), Error> {
        self.up()?;
        self.inner.announce(instance, ttl).await
    }

    async fn beat(&self, service: &str, id: InstanceId, ttl: Duration) -> Result<bool, Error> {
        self.up()?;
        self.inner.beat(service, id, ttl).await
    }

    async fn withdraw(&self, service: &str, id: InstanceId) -> Result<(), Error> {
        self.up()?;
        self.inner.withdraw(service, id).await
    }

    async fn list(&self, service: &str, known: Option<u64>) -> Result<Option<Listing>, Error> {
        self.up()?;
        if self.hanging.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.list(service, known).await
    }

    async fn changed(&self, service: &str) {
        self.inner.changed(service).await;
    }
}
