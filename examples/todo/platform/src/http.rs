//! HTTP at the edges: problems as answers, bodies and paths read with problems for what is wrong.

use std::error::Error as StdError;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bowline::classify::ErrorKind;
use bowline::discovery::client;
use bowline::error::{Chain, Error, Kind, Rejected};
use bowline::message::TraceContext;
use bowline::problem::Problem;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use uuid::Uuid;

/// How long a request may take at most.
const LONGEST: Duration = Duration::from_secs(10);

/// What a handler ends with when it does not succeed: a problem document for the caller.
///
/// The caller never sees what went wrong inside; that is logged here, once.
#[derive(Debug)]
pub struct Failure {
    problem: Box<Problem>,
    /// What a back-end said, so that whoever runs the handler can tell whether to try again.
    cause: Option<Error>,
}

/// A JSON body, like axum's, but with a problem document for a body that cannot be read.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an extractor is taken apart in arguments"
)]
pub struct Json<T>(pub T);

/// The id in a path.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an extractor is taken apart in arguments"
)]
pub struct Id(pub Uuid);

/// Where a page of a list begins: `?after=`.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an extractor is taken apart in arguments"
)]
pub struct After(pub Option<Uuid>);

impl Failure {
    /// 401: the caller is not known.
    #[must_use]
    pub fn unauthorized(detail: &'static str) -> Self {
        Self::from(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized").with_detail(detail))
    }

    /// 403: the caller may not do this.
    #[must_use]
    pub fn forbidden(detail: &'static str) -> Self {
        Self::of(ErrorKind::Authorization, detail)
    }

    /// 404: it is not there, or not for this caller.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::of(ErrorKind::NotFound, detail)
    }

    /// 422: the value of `field` is not acceptable.
    #[must_use]
    pub fn invalid(field: &str, detail: impl std::fmt::Display) -> Self {
        Self::of(ErrorKind::Validation, format!("{field}: {detail}"))
    }

    /// 409: it clashes with what is there.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::of(ErrorKind::Conflict, detail)
    }

    /// 500: our fault. The cause is logged, not shown.
    #[must_use]
    pub fn system(what: &'static str, cause: &(dyn StdError + 'static)) -> Self {
        tracing::error!(error = %Chain(cause), "{what}");
        Self::of(ErrorKind::System, what)
    }

    /// A failure of `kind` with one sentence for a person.
    #[must_use]
    pub fn of(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self::from(Problem::from(kind).with_detail(detail.into()))
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self {
            problem: Box::new(problem),
            cause: None,
        }
    }
}

/// A store or broker failed: 503 when it may work again soon, else 500.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        tracing::error!(error = %Chain(&error), "a back-end failed");
        let failure = match error.kind() {
            Kind::Invalid | Kind::TooLarge => Self::of(ErrorKind::Validation, error.to_string()),
            _ if error.is_transient() => Self::of(ErrorKind::Transient, "try again later"),
            _ => Self::of(ErrorKind::System, "the service has failed"),
        };
        Self {
            cause: Some(error),
            ..failure
        }
    }
}

/// The service's own query failed.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Error::new(query_kind(&error), "database", "query")
            .with_source(error)
            .into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (*self.problem).into_response();
        if response.status() == StatusCode::UNAUTHORIZED {
            let headers = response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refused(&rejection)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        // What is no id is the id of nothing.
        let found = path.ok().and_then(|Path(text)| text.parse().ok().map(Self));
        found.ok_or_else(|| Failure::not_found("there is nothing with this id"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for After {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let query = parts.uri.query().unwrap_or_default();
        if matches!(query, "" | "after=") {
            return Ok(Self(None));
        }
        let after = query
            .strip_prefix("after=")
            .and_then(|after| after.parse().ok());
        after.map(|after| Self(Some(after))).ok_or_else(|| {
            Failure::invalid(
                "query",
                "must be after= and what the page before gave as next",
            )
        })
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The trace of a request: that of its `traceparent`, one hop further, or a new one.
#[must_use]
pub fn trace_of(headers: &HeaderMap) -> TraceContext {
    headers
        .get(TraceContext::TRACEPARENT)
        .and_then(|value| TraceContext::parse(value.to_str().ok()?))
        .map_or_else(TraceContext::generate, |trace| trace.child())
}

/// Gives `router` answers in problem documents also to paths that lead nowhere and methods that a
/// path does not have.
pub fn complete<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(in_time))
}

/// Answers within the time that the caller gives, and within [`LONGEST`]: a body that does not come
/// must not be waited for for ever.
async fn in_time(request: Request, next: Next) -> Result<Response, Failure> {
    let theirs = client::deadline(request.headers()).unwrap_or(LONGEST);
    let limit = theirs.min(LONGEST);
    timeout(limit, next.run(request))
        .await
        .map_err(|_elapsed| Problem::from(&Rejected::elapsed(limit)).into())
}

async fn no_such_method() -> Failure {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
        .with_detail("this path does not have this method")
        .into()
}

/// The answer to a path that leads nowhere.
async fn no_such_path() -> Failure {
    Failure::not_found("there is nothing at this path")
}

fn refused(rejection: &JsonRejection) -> Failure {
    let status = rejection.status();
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::BAD_REQUEST => "malformed",
        _ => "validation",
    };
    Problem::new(status, code)
        .with_detail(rejection.body_text())
        .into()
}

/// A lost connection and a lost race are worth another try; a query that the database refuses is a
/// mistake of ours.
fn query_kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            Kind::Unavailable
        }
        sqlx::Error::PoolTimedOut => Kind::Timeout,
        // SQLite: busy, locked. PostgreSQL: serialization, deadlock, shutting down.
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("5" | "6" | "517" | "40001" | "40P01" | "55P03") => Kind::Contention,
            Some("53300" | "57P01" | "57P02" | "57P03") => Kind::Unavailable,
            Some("57014") => Kind::Timeout,
            Some(code) if code.len() == 5 && code.starts_with("08") => Kind::Unavailable,
            // PostgreSQL: a value that its type does not take.
            Some(code) if code.len() == 5 && code.starts_with("22") => Kind::Invalid,
            _ => Kind::Other,
        },
        _ => Kind::Other,
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.problem.detail().unwrap_or("failed"))
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_ref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}
