//! Problem documents: errors of an HTTP interface as RFC 9457 says.
//!
//! # When not to use it
//!
//! Between parts of one process: there an error keeps its type and its causes, which a document does
//! not have.
//!
//! # Examples
//!
//! ```
//! use bowline::classify::ErrorKind;
//! use bowline::problem::Problem;
//!
//! let problem = Problem::from(ErrorKind::Validation).with_error("title", "must not be empty");
//! assert_eq!(problem.status().as_u16(), 422);
//! assert_eq!(
//!     serde_json::to_string(&problem)?,
//!     r#"{"type":"about:blank","title":"Unprocessable Entity","status":422,"code":"validation","errors":[{"field":"title","message":"must not be empty"}]}"#,
//! );
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::classify::ErrorKind;
use crate::error::Rejected;
use crate::message::TraceContext;

/// What went wrong, for the program and the person at the other end.
///
/// It never holds an error's own text unless somebody put it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(rename = "type", default = "about_blank")]
    kind: Cow<'static, str>,
    title: Cow<'static, str>,
    #[serde(with = "status")]
    status: StatusCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    code: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// What is wrong with one field of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FieldError {
    /// The field's name.
    pub field: String,
    /// What is wrong, for a person.
    pub message: String,
}

impl Problem {
    /// The media type of the document.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// A problem with `status` and a stable `code` that programs may rely on.
    #[must_use]
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: about_blank(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status,
            detail: None,
            instance: None,
            code: code.into(),
            errors: Vec::new(),
            trace_id: None,
            retry_after: None,
        }
    }

    /// Sets the URI that names the type of problem, and its title.
    #[must_use]
    pub fn with_type(
        mut self,
        uri: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.kind = uri.into();
        self.title = title.into();
        self
    }

    /// Sets the sentence about this occurrence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Sets the URI of this occurrence.
    #[must_use]
    pub fn with_instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Adds what is wrong with one field.
    #[must_use]
    pub fn with_error(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// Sets the trace in which it happened.
    #[must_use]
    pub fn with_trace(mut self, trace: &TraceContext) -> Self {
        self.trace_id = trace.trace_id().map(str::to_owned);
        self
    }

    /// Sets when it makes sense to try again: the `Retry-After` header, in whole seconds, rounded up.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence about this occurrence.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// What is wrong with the fields of the input.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// The `Retry-After` value, in seconds, at least 1.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let wait = self.retry_after?;
        let begun = u64::from(wait.subsec_nanos() > 0);
        let rounded = wait.as_secs().saturating_add(begun);
        Some(rounded.max(1))
    }
}

impl From<ErrorKind> for Problem {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind.status(), kind.as_str())
    }
}

/// | refusal | status | `Retry-After` |
/// |---|---|---|
/// | rate limited | 429 | as the limiter says |
/// | more permits than the burst | 413 | none |
/// | elapsed | 504 | none |
/// | circuit open | 503 | as the breaker says; none when it was opened by hand |
/// | all else | 503 | 1 s |
impl From<&Rejected> for Problem {
    fn from(rejected: &Rejected) -> Self {
        let (status, code) = match rejected {
            Rejected::BulkheadFull { .. } => (503, "bulkhead_full"),
            Rejected::CircuitOpen { .. } => (503, "circuit_open"),
            Rejected::Elapsed { .. } => (504, "timeout"),
            Rejected::ExceedsBurst { .. } => (413, "exceeds_burst"),
            Rejected::LimitExceeded { .. } => (503, "limit_exceeded"),
            Rejected::NoInstances { .. } => (503, "no_instances"),
            Rejected::QueueTimeout { .. } => (503, "queue_timeout"),
            Rejected::RateLimited { .. } => (429, "rate_limited"),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let problem = Self::new(status, code);
        match rejected {
            Rejected::Elapsed { .. }
            | Rejected::ExceedsBurst { .. }
            | Rejected::CircuitOpen {
                retry_after: None, ..
            } => problem,
            _ => problem.with_retry_after(rejected.retry_after().unwrap_or(Duration::from_secs(1))),
        }
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        use http::header::{CONTENT_TYPE, RETRY_AFTER};
        // A document of strings and numbers always serializes.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let headers = [(CONTENT_TYPE, Self::CONTENT_TYPE)];
        let mut response = (self.status, headers, body).into_response();
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

fn about_blank() -> Cow<'static, str> {
    Cow::Borrowed("about:blank")
}

mod status {
    use http::StatusCode;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        status: &StatusCode,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(status.as_u16())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<StatusCode, D::Error> {
        StatusCode::from_u16(u16::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let open = Rejected::circuit_open("tasks", Duration::from_millis(1200));
        let problem = Problem::from(&open);
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem.code(), "circuit_open");
        assert_eq!(problem.retry_after_seconds(), Some(2));

        let forced = Problem::from(&Rejected::circuit_open("tasks", None));
        assert_eq!(forced.retry_after_seconds(), None);
        let far = Problem::from(&Rejected::circuit_open("tasks", Duration::MAX));
        assert_eq!(far.retry_after_seconds(), Some(u64::MAX));

        let late = Problem::from(&Rejected::elapsed(Duration::from_secs(3)));
        assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(late.retry_after_seconds(), None);

        let nobody = Problem::from(&Rejected::no_instances("tasks"));
        assert_eq!(nobody.retry_after_seconds(), Some(1));
    }

    #[test]
    fn a_document_survives_the_wire() {
        let problem = Problem::from(ErrorKind::Conflict)
            .with_detail("it was changed meanwhile")
            .with_instance("/api/tasks/7")
            .with_trace(&TraceContext::generate());
        let json = serde_json::to_string(&problem).expect("json");
        let back: Problem = serde_json::from_str(&json).expect("a problem");
        assert_eq!(back, problem);
    }

    #[cfg(feature = "axum")]
    #[test]
    fn a_response_has_the_media_type_and_the_wait() {
        use axum::response::IntoResponse;

        let response = Problem::from(&Rejected::no_instances("tasks")).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["content-type"], Problem::CONTENT_TYPE);
        assert_eq!(response.headers()["retry-after"], "1");
    }
}
