//! What a call through the service client costs, with its pipeline and without: at once, to see the
//! client alone, and over a loopback connection, to see what share of a call it is.
#![allow(missing_docs, reason = "criterion's macros document nothing")]
#![allow(clippy::expect_used, reason = "a server of our own")]

use std::future::ready;

use axum::Router;
use axum::routing::get;
use bowline::discovery::client::{Hyper, ServiceClient, TransportError};
use bowline::discovery::{Instance, StaticList};
use bowline::pipeline;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tower::{ServiceExt as _, service_fn};

const NO_PIPELINE: fn() -> pipeline::Config = pipeline::Config::default;

fn at_once(criterion: &mut Criterion) {
    let runtime = runtime();
    let answers = service_fn(|_: Request<Bytes>| {
        ready(Ok::<_, TransportError>(Response::new(Bytes::from_static(
            b"[]",
        ))))
    });
    let registry = StaticList::new([Instance::new("tasks", "10.0.0.1:80")]);
    let builder = || ServiceClient::builder(registry.clone(), answers);
    let bare = builder().pipeline(NO_PIPELINE()).build().expect("sound");
    let whole = builder().build().expect("sound");
    let mut group = criterion.benchmark_group("client, at once");
    for (name, client) in [
        ("without a pipeline", bare),
        ("with the standard one", whole),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(call(&client)));
        });
    }
    group.finish();
}

fn over_loopback(criterion: &mut Criterion) {
    let runtime = runtime();
    let address = runtime.block_on(serve());
    let registry = StaticList::new([Instance::new("tasks", address.clone())]);
    let builder = || ServiceClient::builder(registry.clone(), Hyper::new());
    let bare = builder().pipeline(NO_PIPELINE()).build().expect("sound");
    let whole = builder().build().expect("sound");
    let mut group = criterion.benchmark_group("client, over loopback");
    let hyper = Hyper::new();
    let uri = format!("http://{address}/api/tasks");
    group.bench_function("hyper alone", |bencher| {
        bencher.iter(|| {
            let request = Request::get(&uri).body(Bytes::new()).expect("sound");
            runtime
                .block_on(hyper.clone().oneshot(request))
                .expect("an answer")
        });
    });
    for (name, client) in [
        ("without a pipeline", bare),
        ("with the standard one", whole),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(call(&client)));
        });
    }
    group.finish();
}

async fn call(client: &ServiceClient) -> u32 {
    let answer = client.invoke("tasks").get("/api/tasks").send().await;
    answer.expect("an answer").attempts
}

/// One thread does it all, so that no time goes into waking another.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// A server that answers everything at once, on the runtime that measures.
async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let router = Router::new().route("/api/tasks", get(async || "[]"));
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

criterion_group!(benches, at_once, over_loopback);
criterion_main!(benches);
