//! Calls a service by its name while one of its two instances dies, and then the other.
//!
//! Run with `cargo run --example service_client`. Two instances announce themselves in the in-memory
//! registry; the transport is a function, so no port is opened. With the `hyper` feature,
//! `client::Hyper::new()` takes its place.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bowline::breaker;
use bowline::discovery::client::TransportError;
use bowline::discovery::{Instance, Memory, ServiceClient, Ttl, register};
use bowline::error::{BoxError, Chain};
use bytes::Bytes;
use http::{Request, Response};
use tower::service_fn;

/// The addresses at which nobody listens any more.
type Dead = Arc<Mutex<HashSet<String>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let registry = Memory::new();
    let (a, b) = ("10.0.0.1:80", "10.0.0.2:80");
    let first = register(&registry, Instance::new("tasks", a), Ttl::DEFAULT).await?;
    let _second = register(&registry, Instance::new("tasks", b), Ttl::DEFAULT).await?;

    let dead = Dead::default();
    let network = {
        let dead = dead.clone();
        service_fn(move |request: Request<Bytes>| {
            let dead = dead.clone();
            async move { answer(&request, &dead) }
        })
    };
    let mut patience = breaker::Config::default();
    patience.consecutive_failures = Some(5);
    let client = ServiceClient::builder(registry, network)
        .breaker(patience)
        .build()?;

    say("two instances", &client).await;
    kill(&dead, a);
    say("one of them died", &client).await;
    first.deregister().await?;
    say("it left the registry", &client).await;
    kill(&dead, b);
    say("the other died too", &client).await;
    for breaker in client.breakers() {
        println!("breaker {}: {}", breaker.name, breaker.state);
    }
    Ok(())
}

/// Makes ten calls and tells how they ended.
async fn say(when: &str, client: &ServiceClient) {
    let mut answered = 0;
    let mut last = None;
    for _ in 0..10 {
        let call = client.invoke("tasks").get("/api/tasks").user("ada");
        match call.send().await.and_then(|response| response.json()) {
            Ok(tasks) => {
                let _: Vec<String> = tasks;
                answered += 1;
            }
            Err(error) => last = Some(error),
        }
    }
    println!("{when}: {answered} of 10 answered");
    if let Some(rejected) = last.as_ref().and_then(|error| error.rejected()) {
        // The time that is left differs from run to run.
        let text = Chain(rejected).to_string();
        println!("  {}", text.split(", ").next().unwrap_or_default());
    }
}

fn answer(request: &Request<Bytes>, dead: &Dead) -> Result<Response<Bytes>, TransportError> {
    let address = request.uri().authority().map(ToString::to_string);
    let dead = dead.lock().unwrap_or_else(PoisonError::into_inner);
    if address.is_some_and(|address| dead.contains(&address)) {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        return Err(TransportError::not_sent(refused));
    }
    Ok(Response::new(Bytes::from_static(br#"["buy milk"]"#)))
}

fn kill(dead: &Dead, address: &str) {
    let mut dead = dead.lock().unwrap_or_else(PoisonError::into_inner);
    dead.insert(address.to_owned());
}
