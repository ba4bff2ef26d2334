use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use super::transport::TransportError;

/// HTTP/1.1 over TCP, with connections kept per instance. Clones share them.
///
/// # Default
///
/// Connects within 500 ms, closes a connection that was idle for 30 s, takes bodies up to 8 MiB.
#[derive(Clone)]
pub struct Hyper {
    client: Client<HttpConnector, Full<Bytes>>,
    body_limit: usize,
}

impl Hyper {
    /// The largest response body unless said otherwise, in bytes.
    pub const DEFAULT_BODY_LIMIT: usize = 8 * 1024 * 1024;
    /// The time to connect: inside one data centre it takes a millisecond, and a second try needs
    /// its share of the attempt.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
    /// How long an unused connection is kept.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

    /// A transport without connections yet.
    #[must_use]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Self::CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Self::IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self {
            client,
            body_limit: Self::DEFAULT_BODY_LIMIT,
        }
    }

    /// Sets the largest response body, in bytes.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }
}

impl Default for Hyper {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hyper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hyper")
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}

impl Service<Request<Bytes>> for Hyper {
    type Response = Response<Bytes>;
    type Error = TransportError;
    // Boxed: a request over a network costs a thousand times as much as the box.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, TransportError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let response = self.client.request(request.map(Full::new));
        let body_limit = self.body_limit;
        Box::pin(async move {
            let response = response.await.map_err(|error| {
                if error.is_connect() {
                    TransportError::not_sent(error)
                } else {
                    TransportError::unknown(error)
                }
            })?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, body_limit).collect().await;
            let body = body.map_err(TransportError::unknown)?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        })
    }
}
