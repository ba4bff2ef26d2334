//! One breaker for two routes of an axum server and for a task beside it: they call the same database.
//!
//! Run with `cargo run --example axum_server --features axum`. The services of axum cannot fail, so the
//! refusal is made into a response. No port is opened: the router is called as the service it is.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bowline::breaker::Breaker;
use bowline::classify::{Failure, HttpStatus, Outcome};
use bowline::error::{BoxError, rejected};
use http::header::RETRY_AFTER;
use http::{Request, StatusCode};
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let breaker = Breaker::builder("database")
        .consecutive_failures(3)
        .build()?;
    let app = app(&breaker);

    println!("/tasks: {}", get_status(&app, "/tasks").await?);
    for _ in 0..2 {
        println!("/broken: {}", get_status(&app, "/broken").await?);
    }
    // What a task sees counts as well: it was the third failure.
    let permit = breaker.try_acquire()?;
    permit.record(Outcome::Failure(Failure::Transient));
    println!("the breaker is {}", breaker.state());
    println!("/tasks: {}", get_status(&app, "/tasks").await?);
    Ok(())
}

/// Each route is layered anew, each request goes through a clone: the state is the breaker's.
fn app(breaker: &Breaker) -> Router {
    let guarded = || {
        ServiceBuilder::new()
            .layer(HandleErrorLayer::new(refuse))
            .layer(breaker.layer().with_classifier(HttpStatus))
            .map_err(|never: Infallible| -> BoxError { match never {} })
    };
    Router::new()
        .route("/tasks", get(async || "three tasks").layer(guarded()))
        .route(
            "/broken",
            get(async || StatusCode::BAD_GATEWAY).layer(guarded()),
        )
}

async fn refuse(error: BoxError) -> Response {
    let wait = rejected(&error).and_then(bowline::error::Rejected::retry_after);
    // In whole seconds, and never too early.
    let seconds = wait.unwrap_or(Duration::ZERO).as_secs_f64().ceil();
    let header = [(RETRY_AFTER, format!("{seconds}"))];
    (StatusCode::SERVICE_UNAVAILABLE, header).into_response()
}

async fn get_status(app: &Router, path: &str) -> Result<String, BoxError> {
    let response = app
        .clone()
        .oneshot(Request::get(path).body(Body::empty())?)
        .await?;
    let asked = response.headers().contains_key(RETRY_AFTER);
    let comes_back = if asked { ", with Retry-After" } else { "" };
    Ok(format!("{}{comes_back}", response.status()))
}
