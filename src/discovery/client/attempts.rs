use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use super::error::{Error, Kind};
use super::headers::{DEADLINE, IDEMPOTENCY_KEY, deadline_value};
use super::transport::{Sent, TransportError};
use super::{Response, ServiceClient, Upstream};
use crate::breaker::{Breaker, Permit};
use crate::classify::{Classify, Failure, HttpStatus, Outcome};
use crate::deadline::within;
use crate::discovery::{Instance, InstanceId};
use crate::error::{BoxError, Rejected};
use crate::message::TraceContext;

/// One call, ready to be sent any number of times.
pub(super) struct Request {
    pub(super) service: Arc<str>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trace: TraceContext,
    pub(super) end: Instant,
}

/// An attempt that was answered, whatever the status.
struct Answered {
    response: http::Response<Bytes>,
    instance: Arc<Instance>,
}

/// An attempt that was made.
struct Attempted {
    instance: Arc<Instance>,
    /// Its caller's time was up, which was less than half of what an attempt is usually given.
    given_up: bool,
    /// What was known of the request before it.
    before: Sent,
    answer: Result<http::Response<Bytes>, TransportError>,
}

/// Why an attempt was not answered. Nobody looks into it but this client: a retry that found an open
/// breaker in it would wait for it, and callers of a service are to be refused at once.
enum Failed {
    Invalid(http::Error),
    Rejected(Rejected),
    Transport(TransportError),
}

/// One call on its way.
struct Run<'a> {
    client: &'a ServiceClient,
    upstream: &'a Upstream,
    request: &'a Request,
    progress: Mutex<Progress>,
}

struct Progress {
    tried: Vec<InstanceId>,
    sent: Sent,
    /// Of the latest attempt, when it reached nobody: what that says about the service depends on
    /// whether there is another one.
    unreached: Option<Permit>,
}

/// Sends `request` until it is answered, may not be repeated, or its time is up.
pub(super) async fn run(
    client: &ServiceClient,
    upstream: &Upstream,
    request: &Request,
) -> Result<Response, Error> {
    // What is left after the service was looked up.
    let left = request.end.saturating_duration_since(Instant::now());
    let run = &Run {
        client,
        upstream,
        request,
        progress: Mutex::new(Progress {
            tried: Vec::new(),
            sent: Sent::No,
            unreached: None,
        }),
    };
    let judge = |result: Result<&Answered, &Failed>| run.judge(result);
    let tried = async {
        match upstream.pipeline.retry() {
            Some(retry) => retry.run_with(&judge, |_attempt| run.attempt()).await,
            None => run.attempt().await,
        }
    };
    let result = within(left, tried).await;
    let mut progress = run.progress();
    if let Some(permit) = progress.unreached.take() {
        permit.record(Outcome::Failure(Failure::Transient));
    }
    let (attempts, sent) = (progress.tried.len(), progress.sent);
    drop(progress);
    let error = match result {
        Ok(Answered { response, instance }) => {
            let (parts, bytes) = response.into_parts();
            return Ok(Response {
                status: parts.status,
                headers: parts.headers,
                bytes,
                instance,
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            });
        }
        Err(Failed::Invalid(error)) => request.error(Kind::Invalid, error),
        Err(Failed::Rejected(error)) => request.error(Kind::Rejected, error),
        Err(Failed::Transport(error)) => request.error(Kind::Transport, error),
    };
    Err(error.with_sent(sent))
}

impl Run<'_> {
    /// One attempt, behind the parts of the pipeline in their order.
    async fn attempt(&self) -> Result<Answered, Failed> {
        let pipeline = &self.upstream.pipeline;
        if let Some(limiter) = pipeline.rate_limit() {
            limiter.acquire().await?;
        }
        // One instance that is gone says nothing about the service when another is tried after it:
        // its entry stays in the registry for a while after a crash.
        if let Some(permit) = self.progress().unreached.take() {
            permit.record(Outcome::Ignored);
        }
        let permit = pipeline.breaker().map(Breaker::try_acquire).transpose()?;
        let attempted = self.placed().await;
        match (permit, &attempted) {
            (Some(permit), Ok(tried)) if tried.reached_nobody() => {
                self.progress().unreached = Some(permit);
            }
            // A caller in a hurry says nothing about a service that others wait for: it gave up.
            (Some(permit), Ok(tried)) if tried.given_up => drop(permit),
            (Some(permit), Ok(tried)) => permit.record(outcome(tried.answer.as_ref())),
            (Some(permit), Err(_)) => permit.record(Outcome::Ignored),
            (None, _) => {}
        }
        let Attempted {
            instance,
            before,
            answer,
            ..
        } = attempted?;
        answer
            .map(|response| Answered { response, instance })
            .map_err(|error| {
                if error.sent() == Sent::No {
                    self.progress().sent = before;
                }
                Failed::Transport(error)
            })
    }

    /// Sends the request to the next instance, from a place in the bulkhead.
    async fn placed(&self) -> Result<Attempted, Failed> {
        let _place = match self.upstream.pipeline.bulkhead() {
            Some(bulkhead) => Some(bulkhead.acquire().await?),
            None => None,
        };
        let instance = self.next()?;
        let left = self.request.end.saturating_duration_since(Instant::now());
        let message = self.request.to(&instance, left);
        let message = message.map_err(Failed::Invalid)?;
        let before = self.begin(instance.id);
        let attempt_timeout = self.client.options().pipeline.attempt_timeout;
        let usual = attempt_timeout.unwrap_or_else(|| self.client.default_deadline());
        let limit = attempt_timeout.map_or(left, |limit| limit.min(left));
        let answer = self.client.transport().oneshot(message);
        let answer = timeout(limit, answer).await;
        let given_up = answer.is_err() && limit < usual / 2;
        let answer = answer
            .unwrap_or_else(|_elapsed| Err(TransportError::unknown(Rejected::elapsed(limit))));
        Ok(Attempted {
            instance,
            given_up,
            before,
            answer,
        })
    }

    /// The next instance that was not tried; when all were, any.
    fn next(&self) -> Result<Arc<Instance>, Rejected> {
        let balancer = &self.upstream.balancer;
        let picked = balancer.pick(&self.progress().tried);
        picked.or_else(|_all_tried| balancer.pick(&[]))
    }

    /// From here on the request may arrive, also if the caller does not wait for the end.
    fn begin(&self, instance: InstanceId) -> Sent {
        let mut progress = self.progress();
        progress.tried.push(instance);
        std::mem::replace(&mut progress.sent, Sent::Unknown)
    }

    /// What an attempt means for a repetition.
    fn judge(&self, result: Result<&Answered, &Failed>) -> Outcome {
        let answer = match result {
            Ok(Answered { response, .. }) => Ok(response),
            Err(Failed::Transport(error)) => Err(error),
            Err(Failed::Invalid(_) | Failed::Rejected(_)) => return Outcome::Ignored,
        };
        let unsent = matches!(answer, Err(error) if error.sent() == Sent::No);
        match outcome(answer) {
            Outcome::Failure(_) if !unsent && !self.request.is_idempotent() => {
                Outcome::Failure(Failure::Permanent)
            }
            outcome => outcome,
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempted {
    /// No instance got it, though none of our own patterns held it back.
    fn reached_nobody(&self) -> bool {
        matches!(&self.answer, Err(error) if error.sent() == Sent::No && !error.is_refused())
    }
}

/// What an attempt tells about the service: no response is its failure too, unless a pattern around the
/// transport has refused the attempt.
fn outcome(answer: Result<&http::Response<Bytes>, &TransportError>) -> Outcome {
    match answer {
        Ok(_) => HttpStatus.classify(answer),
        Err(error) if error.is_refused() => Outcome::Ignored,
        Err(_) => Outcome::Failure(Failure::Transient),
    }
}

impl From<Rejected> for Failed {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl Request {
    /// Whether it has the same effect once and twice (RFC 9110, 9.2.2), or says how to tell.
    fn is_idempotent(&self) -> bool {
        self.method.is_idempotent() || self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    fn to(&self, instance: &Instance, left: Duration) -> Result<http::Request<Bytes>, http::Error> {
        let mut message = http::Request::new(self.body.clone());
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = self.uri(instance)?;
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

    fn error(&self, kind: Kind, source: impl Into<BoxError>) -> Error {
        Error::new(self.service.clone(), kind, source)
    }
}
