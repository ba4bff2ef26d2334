use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::attempts::{Request, run};
use super::error::{Error, Kind};
use super::headers::{IDEMPOTENCY_KEY, REQUEST_ID, USER, forwardable};
use super::{Response, ServiceClient};
use crate::clock::after;
use crate::deadline;
use crate::error::{BoxError, Rejected};
use crate::message::TraceContext;

/// Chooses the method and path of a call; see [`ServiceClient::invoke`].
#[derive(Debug)]
pub struct Invocation<'a> {
    client: &'a ServiceClient,
    service: Arc<str>,
}

/// A call that is being put together. Nothing happens before [`send`](Self::send).
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'a> {
    client: &'a ServiceClient,
    service: Arc<str>,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    trace: TraceContext,
    limit: Duration,
    problem: Option<BoxError>,
}

impl<'a> Invocation<'a> {
    pub(super) fn new(client: &'a ServiceClient, service: Arc<str>) -> Self {
        Self { client, service }
    }

    /// `GET path`.
    pub fn get(self, path: impl Into<String>) -> Call<'a> {
        self.method(Method::GET, path)
    }

    /// `POST path`.
    pub fn post(self, path: impl Into<String>) -> Call<'a> {
        self.method(Method::POST, path)
    }

    /// `PUT path`.
    pub fn put(self, path: impl Into<String>) -> Call<'a> {
        self.method(Method::PUT, path)
    }

    /// `PATCH path`.
    pub fn patch(self, path: impl Into<String>) -> Call<'a> {
        self.method(Method::PATCH, path)
    }

    /// `DELETE path`.
    pub fn delete(self, path: impl Into<String>) -> Call<'a> {
        self.method(Method::DELETE, path)
    }

    /// `method path`; the path starts with a slash and may have a query.
    pub fn method(self, method: Method, path: impl Into<String>) -> Call<'a> {
        Call {
            limit: self.client.default_deadline(),
            client: self.client,
            service: self.service,
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            trace: TraceContext::default(),
            problem: None,
        }
    }
}

impl Call<'_> {
    /// Makes the call on behalf of `user`.
    pub fn user(self, user: impl AsRef<str>) -> Self {
        self.header(USER, user.as_ref())
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        match HeaderValue::from_str(value.as_ref()) {
            Ok(value) => {
                self.headers.insert(name, value);
            }
            Err(error) => self.problem = Some(error.into()),
        }
        self
    }

    /// Passes on the headers of a received request, without those of its connection and those that
    /// only this client sets: the user and the deadline.
    pub fn forward(mut self, headers: &HeaderMap) -> Self {
        self.headers.extend(forwardable(headers));
        self
    }

    /// Ties repetitions of this call together: a `POST` with a key is repeated like a `PUT`.
    pub fn idempotency_key(self, key: impl AsRef<str>) -> Self {
        self.header(IDEMPOTENCY_KEY, key)
    }

    /// Sets the id of the request that began the chain; without one, one is made.
    pub fn request_id(self, id: impl AsRef<str>) -> Self {
        self.header(REQUEST_ID, id)
    }

    /// Continues the trace of the caller; without one, a new trace begins.
    pub fn trace(mut self, trace: &TraceContext) -> Self {
        self.trace = trace.clone();
        self
    }

    /// Sets the time for the whole call: looking the service up, all attempts and all pauses. A
    /// [deadline](crate::deadline) around it that ends earlier counts instead. No time at all is
    /// [`Rejected::Elapsed`], and nothing is sent.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets the body to `value` as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.bytes("application/json", bytes),
            Err(error) => {
                self.problem = Some(error.into());
                self
            }
        }
    }

    /// Sets the body and its media type.
    pub fn bytes(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE, content_type)
    }

    /// Sends it: to one instance after the other, as long as the rules of [`ServiceClient`] allow.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the request cannot be built, [`Kind::Registry`] when the registry cannot
    /// be asked, [`Kind::Rejected`] when the circuit is open, no instance is known or the time is up,
    /// [`Kind::Transport`] when the last attempt brought no response. A response with an error status
    /// is a response.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up; whether it had its effect is then unknown.
    pub async fn send(mut self) -> Result<Response, Error> {
        if let Some(problem) = self.problem {
            return Err(Error::new(self.service, Kind::Invalid, problem));
        }
        if !self.headers.contains_key(REQUEST_ID) {
            let id = Uuid::now_v7().to_string();
            if let Ok(id) = HeaderValue::from_str(&id) {
                self.headers.insert(REQUEST_ID, id);
            }
        }
        // Whoever makes the call may be waited for as well.
        let limit = deadline::remaining().map_or(self.limit, |left| left.min(self.limit));
        let end = after(Instant::now(), limit);
        let late = || {
            let rejected = Rejected::elapsed(limit);
            Error::new(self.service.clone(), Kind::Rejected, rejected)
        };
        if limit.is_zero() {
            return Err(late());
        }
        let upstream = timeout_at(end, self.client.upstream(&self.service)).await;
        let upstream = upstream.map_err(|_elapsed| late())??;
        let request = Request {
            service: self.service,
            method: self.method,
            path: self.path,
            headers: self.headers,
            body: self.body,
            trace: self.trace,
            end,
        };
        run(self.client, &upstream, &request).await
    }
}
