use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tower::ServiceExt;

use super::error::{Error, Kind};
use super::headers::{DEADLINE, IDEMPOTENCY_KEY, deadline_value};
use super::transport::{Sent, TransportError};
use super::{Response, ServiceClient, Upstream};
use crate::classify::{Classify, Failure, HttpStatus, Outcome};
use crate::discovery::{Instance, InstanceId};
use crate::error::Rejected;
use crate::message::TraceContext;

/// One call, ready to be sent any number of times.
pub(super) struct Request {
    pub(super) service: Arc<str>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trace: TraceContext,
    pub(super) limit: Duration,
}

type Answer = Result<http::Response<Bytes>, TransportError>;

/// Sends `request` until it is answered, may not be repeated, or its time is up.
pub(super) async fn run(
    client: &ServiceClient,
    upstream: &Upstream,
    request: &Request,
) -> Result<Response, Error> {
    let deadline = Instant::now() + request.limit;
    match timeout_at(deadline, attempts(client, upstream, request, deadline)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(elapsed(request)),
    }
}

async fn attempts(
    client: &ServiceClient,
    upstream: &Upstream,
    request: &Request,
    deadline: Instant,
) -> Result<Response, Error> {
    let options = client.options();
    let mut delays = options.backoff.delays();
    let mut tried = Vec::new();
    loop {
        let instance = next(upstream, request, &tried)?;
        tried.push(instance.id);
        let left = deadline.saturating_duration_since(Instant::now());
        let message = request.to(&instance, left)?;
        let answer = client.transport().oneshot(message);
        let answer = timeout(options.attempt_timeout.min(left), answer)
            .await
            .unwrap_or_else(|_elapsed| {
                let elapsed = Rejected::elapsed(options.attempt_timeout.min(left));
                Err(TransportError::unknown(elapsed))
            });
        let count = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        let pause = match pause(&answer, request, &mut delays) {
            Some(pause) if count < options.attempts.get() => pause,
            _ => return finish(answer, instance, count, request),
        };
        if Instant::now() + pause >= deadline {
            return finish(answer, instance, count, request);
        }
        tracing::debug!(
            service = %request.service,
            instance = %instance.id,
            attempt = count,
            ?pause,
            "the attempt failed, trying the next instance"
        );
        sleep(pause).await;
    }
}

/// The next instance that was not tried; when all were, any.
fn next(
    upstream: &Upstream,
    request: &Request,
    tried: &[InstanceId],
) -> Result<Arc<Instance>, Error> {
    let balancer = upstream.balancer();
    balancer
        .pick(tried)
        .or_else(|_all_tried| balancer.pick(&[]))
        .map_err(|rejected| Error::rejected_by(request.service.clone(), rejected))
}

/// How long to wait before the call may be repeated, or `None` when it may not.
fn pause(
    answer: &Answer,
    request: &Request,
    delays: &mut impl Iterator<Item = Duration>,
) -> Option<Duration> {
    let failure = match outcome(answer) {
        Outcome::Failure(failure) => failure,
        Outcome::Ignored | Outcome::Success => return None,
    };
    let unsent = matches!(answer, Err(error) if error.sent() == Sent::No);
    if !unsent && !request.is_idempotent() {
        return None;
    }
    let delay = delays.next()?;
    match failure {
        Failure::Transient => Some(delay),
        Failure::Throttled { retry_after } => Some(delay.max(retry_after.unwrap_or_default())),
        Failure::Permanent => None,
    }
}

fn outcome(answer: &Answer) -> Outcome {
    match answer {
        Ok(_) => HttpStatus.classify(answer.as_ref()),
        Err(_) => Outcome::Failure(Failure::Transient),
    }
}

fn finish(
    answer: Answer,
    instance: Arc<Instance>,
    attempts: u32,
    request: &Request,
) -> Result<Response, Error> {
    match answer {
        Ok(response) => {
            let (parts, bytes) = response.into_parts();
            Ok(Response {
                status: parts.status,
                headers: parts.headers,
                bytes,
                instance,
                attempts,
            })
        }
        Err(error) => Err(Error::transport(request.service.clone(), error)),
    }
}

fn elapsed(request: &Request) -> Error {
    Error::rejected_by(request.service.clone(), Rejected::elapsed(request.limit))
}

impl Request {
    /// Whether it has the same effect once and twice (RFC 9110, 9.2.2), or says how to tell.
    fn is_idempotent(&self) -> bool {
        self.method.is_idempotent() || self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    fn to(&self, instance: &Instance, left: Duration) -> Result<http::Request<Bytes>, Error> {
        let mut message = http::Request::new(self.body.clone());
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = self.uri(instance).map_err(|error| self.invalid(error))?;
        *message.headers_mut() = self.headers.clone();
        message.headers_mut().insert(DEADLINE, deadline_value(left));
        self.add_trace(message.headers_mut());
        Ok(message)
    }

    fn uri(&self, instance: &Instance) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(instance.address.parse::<Authority>()?)
            .path_and_query(self.path.parse::<PathAndQuery>()?)
            .build()
    }

    /// Every attempt is a span of its own.
    fn add_trace(&self, headers: &mut HeaderMap) {
        let trace = self.trace.child();
        for (name, value) in [
            (TraceContext::TRACEPARENT, trace.traceparent()),
            (TraceContext::TRACESTATE, trace.tracestate()),
            (TraceContext::BAGGAGE, trace.baggage()),
        ] {
            let value = value.and_then(|value| HeaderValue::from_str(value).ok());
            match value {
                Some(value) => {
                    headers.insert(HeaderName::from_static(name), value);
                }
                // What was forwarded belongs to the caller's span, not to ours.
                None => {
                    headers.remove(name);
                }
            }
        }
    }

    fn invalid(&self, error: http::Error) -> Error {
        Error::new(self.service.clone(), Kind::Invalid, error)
    }
}
