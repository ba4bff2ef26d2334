use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;

use super::Health;

impl Health {
    /// The routes of this process.
    ///
    /// | path | answers |
    /// |---|---|
    /// | `/health` | the report, 200 or 503 as `/health/ready` |
    /// | `/health/live` | 200 whenever the process answers at all |
    /// | `/health/ready` | 200 or 503 with one word |
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let (full, ready) = (self.clone(), self.clone());
        Router::new()
            .route("/health", get(move || async move { report(&full) }))
            .route("/health/live", get(|| async { "live" }))
            .route(
                "/health/ready",
                get(move || async move { readiness(&ready) }),
            )
    }
}

fn report(health: &Health) -> Response {
    let report = health.report();
    (status(report.is_ready()), Json(report)).into_response()
}

fn readiness(health: &Health) -> Response {
    let ready = health.is_ready();
    let word = if ready { "ready" } else { "not ready" };
    (status(ready), word).into_response()
}

fn status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
