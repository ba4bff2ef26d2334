//! The process that a test kills.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test's process reports by panicking"
)]

use std::path::Path;

use bowline_crash_tests::consume::{self, Place};
use bowline_crash_tests::fire::{self, Ground, Told};
use bowline_crash_tests::{many, work};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let seed = |text: &str| text.parse().expect("a number");
    match arguments[..] {
        ["publish", file, n] => work::publish(Path::new(file), seed(n)).await,
        ["relay-deadly", folder] => work::relay_to_a_deadly_broker(Path::new(folder)).await,
        ["relay", url, folder] => work::relay_from_postgres(url, Path::new(folder)).await,
        ["relay-to-kafka", url, servers] => many::relay(url, servers).await,
        ["write-and-relay", folder, n] => work::write_and_relay(Path::new(folder), seed(n)).await,
        ["relay-under-fire", url, schema, folder, ..] => {
            let ground = Ground::new(url, schema);
            fire::relay_until_struck(ground, Path::new(folder), told(&arguments[4..])).await;
        }
        ["relay-exactly-once", url, schema, place, ..] => {
            let ground = Ground::new(url, schema);
            fire::relay_exactly_once(ground, place, told(&arguments[4..])).await;
        }
        ["consume", kind, at, topic, life, n] => {
            let place = Place::new(kind, at).expect("a kind of broker");
            let life = life.parse().expect("a number");
            consume::consume(place, topic, life, seed(n)).await;
        }
        _ => panic!("unknown arguments {arguments:?}"),
    }
}

fn told(words: &[&str]) -> Told {
    let [lanes, mood, life, seed] = words else {
        panic!("{words:?} is not lanes, mood, life and seed");
    };
    let number = |text: &str| text.parse().expect("a number");
    Told {
        lanes: number(lanes),
        mood: (*mood).to_owned(),
        life: number(life),
        seed: number(seed).into(),
    }
}
