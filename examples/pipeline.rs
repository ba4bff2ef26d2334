//! The standard stack around an HTTP client: deadline, retry with a budget, breaker, bulkhead, timeout.
//!
//! Run with `cargo run --example pipeline --features axum,hyper`. The server answers, fails once, and hangs.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bowline::backoff::Backoff;
use bowline::breaker::Breaker;
use bowline::bulkhead::Bulkhead;
use bowline::classify::HttpStatus;
use bowline::discovery::client::Hyper;
use bowline::error::BoxError;
use bowline::pipeline::Pipeline;
use bowline::retry::Retry;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, app()).into_future());

    let quickly = Backoff::exponential(Duration::from_millis(5));
    let pipeline = Pipeline::builder("server")
        .deadline(Duration::from_secs(2))
        .retry(Retry::builder().attempts(3).backoff(quickly).build()?)
        .breaker(Breaker::builder("server").consecutive_failures(3).build()?)
        .bulkhead(Bulkhead::builder("server").limit(64).build()?)
        .attempt_timeout(Duration::from_millis(300))
        .build()?;
    let mut client = ServiceBuilder::new()
        .layer(pipeline.layer().with_classifier(HttpStatus))
        .map_err(BoxError::from)
        .service(Hyper::new());

    for path in ["/fine", "/fails-once", "/missing", "/hangs", "/fine"] {
        let request = Request::get(format!("{server}{path}")).body(Bytes::new())?;
        println!(
            "{path}: {}",
            outcome(client.ready().await?.call(request).await)
        );
    }
    let seen = pipeline.snapshot();
    if let (Some(retry), Some(breaker)) = (seen.retry, seen.breaker) {
        println!(
            "{} retries, the circuit is {}",
            retry.retries, breaker.state
        );
    }
    Ok(())
}

fn outcome(result: Result<Response<Bytes>, BoxError>) -> String {
    match result {
        Ok(response) => response.status().to_string(),
        Err(error) => match bowline::error::rejected(&error) {
            // How long it stays open is up to chance.
            Some(bowline::error::Rejected::CircuitOpen { .. }) => {
                "refused, the circuit is open".into()
            }
            _ => error.to_string(),
        },
    }
}

fn app() -> Router {
    let asked = Arc::new(AtomicU32::new(0));
    let fails_once = async move || match asked.fetch_add(1, Ordering::SeqCst) {
        0 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    Router::new()
        .route("/fine", get(async || StatusCode::OK))
        .route("/fails-once", get(fails_once))
        .route("/hangs", get(std::future::pending::<StatusCode>))
}
