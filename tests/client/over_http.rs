//! The HTTP/1.1 transport against sockets that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::discovery::client::{Hyper, Kind, Sent};
use bowline::discovery::{Instance, ServiceClient, StaticList};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that counts what it received and answers with `response`; nothing closes the connection.
async fn server(response: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let received = Arc::new(AtomicU32::new(0));
    let count = received.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
            if stream.write_all(response.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    (address, received)
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk).await.expect("a request");
        assert_ne!(read, 0, "the request ended early");
        head.extend_from_slice(&chunk[..read]);
    }
}

async fn unused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").to_string()
}

fn client(addresses: &[&String], transport: Hyper) -> ServiceClient {
    let instances = addresses
        .iter()
        .map(|address| Instance::new("tasks", address));
    let client = ServiceClient::builder(StaticList::new(instances), transport);
    client
        .attempt_timeout(Duration::from_secs(3))
        .build()
        .expect("valid")
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n[1,2,3]";

#[tokio::test]
async fn a_refused_connection_sends_even_a_post_to_the_next_instance() {
    let (alive, received) = server(OK).await;
    let client = client(&[&unused().await, &alive], Hyper::new());
    for calls in 1..=4 {
        let response = client.invoke("tasks").post("/").json(&1).send().await;
        let numbers: Vec<u8> = response.expect("answered").json().expect("json");
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(received.load(Ordering::SeqCst), calls);
    }
}

#[tokio::test]
async fn a_post_whose_connection_broke_is_not_repeated() {
    let (one, first) = server("").await;
    let (two, second) = server("").await;
    let client = client(&[&one, &two], Hyper::new());
    let error = client
        .invoke("tasks")
        .post("/")
        .send()
        .await
        .expect_err("no answer");
    assert_eq!(
        (error.kind(), error.sent()),
        (Kind::Transport, Sent::Unknown)
    );
    let total = || first.load(Ordering::SeqCst) + second.load(Ordering::SeqCst);
    assert_eq!(total(), 1);
    client
        .invoke("tasks")
        .get("/")
        .send()
        .await
        .expect_err("no answer");
    assert_eq!(total(), 1 + 3);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_an_error() {
    let (address, _) = server(OK).await;
    let client = client(&[&address], Hyper::new().with_body_limit(6));
    let error = client
        .invoke("tasks")
        .post("/")
        .send()
        .await
        .expect_err("too large");
    assert_eq!(
        (error.kind(), error.sent()),
        (Kind::Transport, Sent::Unknown)
    );
}
