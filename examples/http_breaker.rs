//! A breaker in front of an HTTP server that fails for a while, over real connections.
//!
//! Run with `cargo run --example http_breaker --features axum,hyper`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, State};
use bowline::classify::HttpStatus;
use bowline::discovery::client::Hyper;
use bowline::error::{BoxError, rejected};
use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};

#[derive(Default)]
struct Server {
    down: AtomicBool,
    asked: AtomicU32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let server = Arc::new(Server::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, app(Arc::clone(&server))).into_future());

    let breaker = Breaker::builder("server")
        .consecutive_failures(3)
        .open_for(Backoff::constant(Duration::from_millis(100)).jitter(Jitter::None))
        .probes(2)
        .build()?;
    let mut transitions = breaker.subscribe();
    // A 503 is an answer to HTTP, and a failure to the breaker: the classifier says so.
    let mut client = ServiceBuilder::new()
        .layer(breaker.layer().with_classifier(HttpStatus))
        .map_err(BoxError::from)
        .service(Hyper::new());

    println!("up: {}", ask(&mut client, &url).await?);
    server.down.store(true, Ordering::SeqCst);
    for _ in 0..6 {
        println!("down: {}", ask(&mut client, &url).await?);
    }
    println!(
        "the server was asked {} times",
        server.asked.load(Ordering::SeqCst)
    );

    server.down.store(false, Ordering::SeqCst);
    while breaker.state() == State::Open {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..2 {
        println!("up again: {}", ask(&mut client, &url).await?);
    }
    drop((client, breaker));
    while let Some(transition) = transitions.next().await {
        println!("{} -> {}", transition.from, transition.to);
    }
    Ok(())
}

/// What became of one request.
async fn ask<S>(client: &mut S, url: &str) -> Result<String, BoxError>
where
    S: Service<Request<Bytes>, Response = http::Response<Bytes>, Error = BoxError>,
{
    let request = Request::get(url).body(Bytes::new())?;
    match client.ready().await?.call(request).await {
        Ok(response) => Ok(response.status().to_string()),
        Err(error) if rejected(&error).is_some() => Ok("not asked, the circuit is open".into()),
        Err(error) => Err(error),
    }
}

fn app(server: Arc<Server>) -> Router {
    Router::new().route(
        "/",
        get(async move || {
            server.asked.fetch_add(1, Ordering::SeqCst);
            match server.down.load(Ordering::SeqCst) {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::OK,
            }
        }),
    )
}
