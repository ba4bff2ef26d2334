//! Each server starts, dies, freezes and comes back with its data.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bowline_test_services::{Kafka, Postgres, Redis, Service, Services};

#[test]
fn all_three_start_together_and_answer() {
    let all = [Service::Postgres, Service::Redis, Service::Kafka];
    let services = Services::start(&all).expect("three servers");
    let postgres = services.postgres().expect("wanted");
    assert_eq!(
        postgres
            .query("select 6 * 7")
            .expect("an answer")
            .as_deref(),
        Some("42")
    );
    let redis = services.redis().expect("wanted");
    assert_eq!(redis_command(redis, "PING"), "+PONG");
    assert!(accepts(services.kafka().expect("wanted").address()));

    let addresses: Vec<String> = [postgres.address(), redis.address()]
        .map(str::to_owned)
        .into();
    drop(services);
    for address in addresses {
        assert!(!accepts(&address), "{address} is gone with its owner");
    }
}

#[test]
fn postgres_keeps_committed_rows_when_killed() {
    let postgres = Postgres::start().expect("a server");
    postgres.query("create table t (n int)").expect("created");
    postgres
        .query("insert into t values (7)")
        .expect("inserted");
    postgres.kill().expect("killed");
    assert!(!accepts(postgres.address()));
    postgres.restart().expect("restarted");
    let row = postgres.query("select n from t").expect("an answer");
    assert_eq!(row.as_deref(), Some("7"));
}

#[test]
fn postgres_gives_each_test_its_own_database() {
    let postgres = Postgres::start().expect("a server");
    let first = postgres.create_database("orders").expect("created");
    let second = postgres.create_database("orders").expect("created");
    assert_ne!(first, second);
    assert!(first.starts_with(&format!(
        "postgres://postgres@{}/orders_",
        postgres.address()
    )));
    let count = "select count(*) from pg_database where datname like 'orders%'";
    assert_eq!(
        postgres.query(count).expect("an answer").as_deref(),
        Some("2")
    );
    let refused = postgres
        .query("select * from nowhere")
        .expect_err("no such table");
    assert!(
        refused.to_string().contains("\"nowhere\" does not exist"),
        "{refused}"
    );
}

#[test]
fn redis_keeps_answered_writes_when_killed() {
    let redis = Redis::start().expect("a server");
    assert_eq!(redis_command(&redis, "SET k v"), "+OK");
    redis.restart().expect("restarted");
    assert_eq!(redis_command(&redis, "GET k"), "$1");
}

#[test]
fn a_stopped_server_accepts_and_does_not_answer() {
    let redis = Redis::start().expect("a server");
    let mut stream = TcpStream::connect(redis.address()).expect("connected");
    redis.stop().expect("stopped");
    stream.write_all(b"PING\r\n").expect("buffered");
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("set");
    let mut byte = [0];
    stream.read_exact(&mut byte).expect_err("nobody answers");
    redis.resume().expect("resumed");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    stream.read_exact(&mut byte).expect("the answer comes late");
    assert_eq!(&byte, b"+");
}

#[test]
fn a_stopped_postgres_holds_its_sessions_too() {
    let postgres = Postgres::start().expect("a server");
    postgres.stop().expect("stopped");
    let stream = TcpStream::connect(postgres.address()).expect("the system accepts");
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("set");
    postgres.resume().expect("resumed");
    assert_eq!(
        postgres.query("select 1").expect("an answer").as_deref(),
        Some("1")
    );
}

#[test]
fn kafka_comes_back_after_a_kill() {
    let kafka = Kafka::start().expect("a broker");
    kafka.stop().expect("stopped");
    kafka.resume().expect("resumed");
    kafka.kill().expect("killed");
    assert!(!accepts(kafka.address()));
    kafka.restart().expect("restarted");
    assert!(accepts(kafka.address()));
}

fn accepts(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Sends an inline command and returns the first line of the answer.
fn redis_command(redis: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(redis.address()).expect("connected");
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .expect("sent");
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .expect("an answer");
    line.trim_end().to_owned()
}
