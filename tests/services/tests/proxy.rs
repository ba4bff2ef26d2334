//! The proxy passes bytes, breaks connections, and heals on the same port.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

use bowline_test_services::Proxy;

#[test]
fn bytes_pass_both_ways_and_the_end_of_one_side_is_passed_on() {
    let proxy = Proxy::start(&echo()).expect("a proxy");
    let mut stream = TcpStream::connect(proxy.address()).expect("connected");
    stream.write_all(b"all of it").expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert_eq!(answer, "all of it");
}

#[test]
fn a_cut_breaks_live_connections_and_refuses_new_ones_until_healed() {
    let proxy = Proxy::start(&echo()).expect("a proxy");
    let mut stream = TcpStream::connect(proxy.address()).expect("connected");
    assert_echoes(&mut stream);

    proxy.cut();
    proxy.cut();
    let mut byte = [0];
    assert!(
        matches!(stream.read(&mut byte), Ok(0) | Err(_)),
        "it is broken"
    );
    TcpStream::connect(proxy.address()).expect_err("refused");

    proxy.heal().expect("the port is still ours");
    assert_echoes(&mut TcpStream::connect(proxy.address()).expect("connected"));
}

#[test]
fn a_missing_upstream_ends_the_connection_at_once() {
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = unused.local_addr().expect("bound").to_string();
    drop(unused);
    let proxy = Proxy::start(&address).expect("a proxy");
    let mut stream = TcpStream::connect(proxy.address()).expect("the proxy itself is up");
    let mut byte = [0];
    assert!(matches!(stream.read(&mut byte), Ok(0) | Err(_)));
}

fn assert_echoes(stream: &mut TcpStream) {
    stream.write_all(b"x").expect("sent");
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("answered");
    assert_eq!(&byte, b"x");
}

/// A server that sends back what it gets; it ends with the test process.
fn echo() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = stream.try_clone().expect("cloned");
                std::io::copy(&mut reader, &mut &stream).expect("echoed");
                stream.shutdown(Shutdown::Write).expect("closed");
            });
        }
    });
    address
}
