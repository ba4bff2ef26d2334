//! CloudEvents across the border: the `cloudevents` and `confluent-kafka` packages of Python read what
//! we write, and we read what they write, in both modes.

use std::num::NonZeroUsize;
use std::process::Command;

use bowline::broker::kafka::{Config, Subscriber};
use bowline::broker::{Polled, Publisher as _, Record, Start, Subscriber as _};
use bowline::message::{Message, TraceContext};
use bowline_test_services::{python, shared};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{publisher, topic};

const PACKAGES: [&str; 2] = ["cloudevents==2.2.0", "confluent-kafka==2.16.1"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/interop.py");
const JSON: &str = r#"{"task": 7, "title": "Grüße"}"#;
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What the script prints when it is run with `arguments`, line by line.
async fn script(arguments: Vec<String>) -> Vec<Value> {
    let output = spawn_blocking(move || {
        let python = python(&PACKAGES).expect("Python with its packages");
        let mut command = Command::new(python);
        command
            .arg(SCRIPT)
            .args(arguments)
            .output()
            .expect("it runs")
    });
    let output = output.await.expect("no panic");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let lines = String::from_utf8(output.stdout).expect("text");
    let lines = lines.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON")
}

async fn shared_config() -> Config {
    let broker = spawn_blocking(shared::kafka).await.unwrap();
    Config::new(broker.expect("a broker").address())
}

fn message(content_type: &str, payload: &'static [u8]) -> Message {
    let trace = TraceContext::parse(PARENT).expect("it is one");
    Message::new("task.created", payload)
        .with_source("/tasks")
        .with_version(3)
        .with_time("2026-11-21T12:30:15.250Z".parse::<DateTime<Utc>>().unwrap())
        .with_subject("task 7")
        .with_content_type(content_type)
        .with_key("7")
        .with_user("ada")
        .with_trace(trace)
        .with_header("x-ours", "kept")
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_what_we_write_in_both_modes() {
    let config = shared_config().await;
    let topic = topic(&config, 1).await;
    let event = message(Message::JSON, JSON.as_bytes());
    let bytes = message("image/png", b"\x89PNG\xff");
    let records = vec![
        Record::from_message(topic.clone(), &event).unwrap(),
        Record::structured(topic.clone(), &event).unwrap(),
        Record::from_message(topic.clone(), &bytes).unwrap(),
        Record::structured(topic.clone(), &bytes).unwrap(),
    ];
    for result in publisher(&config).publish(records).await {
        result.expect("appended");
    }
    let read = [
        "read".to_owned(),
        config.servers.clone(),
        topic.to_string(),
        "4".to_owned(),
    ];
    let seen = script(read.to_vec()).await;
    let data = [
        json!({"task": 7, "title": "Grüße"}),
        json!({"base64": "iVBOR/8="}),
    ];
    let wanted = [
        (&event, &data[0]),
        (&event, &data[0]),
        (&bytes, &data[1]),
        (&bytes, &data[1]),
    ];
    assert_eq!(seen.len(), wanted.len());
    for (seen, (message, data)) in seen.iter().zip(wanted) {
        let attributes = [
            ("id", message.id().as_str()),
            ("source", "/tasks"),
            ("type", "task.created"),
            ("subject", "task 7"),
            ("userid", "ada"),
            ("partitionkey", "7"),
        ];
        for (name, value) in attributes {
            assert_eq!(seen["attributes"][name], value, "{name} in {seen}");
        }
        let version = seen["attributes"]["dataversion"].to_string();
        assert_eq!(version.trim_matches('"'), "3", "{seen}");
        let time = seen["attributes"]["time"].as_str().unwrap();
        assert!(time.starts_with("2026-11-21T12:30:15.25"), "{time}");
        assert_eq!(
            (&seen["key"], &seen["others"]),
            (&json!("7"), &json!({"x-ours": "kept"}))
        );
        assert_eq!(&seen["data"], data, "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_read_what_python_writes_in_both_modes_and_keep_what_we_do_not_know() {
    let config = shared_config().await;
    let topic = topic(&config, 1).await;
    let write = [
        "write".to_owned(),
        config.servers.clone(),
        topic.to_string(),
    ];
    script(write.to_vec()).await;

    let mut subscriber = Subscriber::new(&config).unwrap();
    let group = format!("group-of-{topic}");
    subscriber
        .subscribe(&group, std::slice::from_ref(&topic), Start::Earliest)
        .await
        .unwrap();
    let mut records = Vec::new();
    while records.len() < 2 {
        let polled = subscriber.poll(NonZeroUsize::new(10).unwrap()).await;
        if let Polled::Records(read) = polled.expect("polled") {
            records.extend(read.into_iter().map(|received| received.record));
        }
    }
    for record in records {
        let message = record.to_message().expect("an event");
        assert_eq!(message.id().as_str(), "from-python");
        assert_eq!(
            (message.source(), message.kind()),
            ("/python", "task.created")
        );
        assert_eq!(
            (message.subject(), message.user()),
            (Some("task 7"), Some("ada"))
        );
        let time: DateTime<Utc> = "2026-11-21T12:30:15.250Z".parse().unwrap();
        assert_eq!(message.time(), time);
        assert_eq!(message.version(), 1);
        assert_eq!(
            message.key().map(|key| key.as_bytes().as_ref()),
            Some(&b"7"[..])
        );
        let data: Value = serde_json::from_slice(message.payload()).expect("JSON");
        assert_eq!(data, json!({"task": 7, "title": "Grüße"}));
        assert_eq!(message.headers().text("ce_theirs"), Some("kept"));
        assert_eq!(message.headers().text("x-theirs"), Some("kept too"));

        // And it goes on as it came, in either mode.
        for again in [
            Record::from_message("t", &message),
            Record::structured("t", &message),
        ] {
            let again = again.expect("sendable").to_message().expect("an event");
            assert_eq!(again.headers().text("ce_theirs"), Some("kept"));
            assert_eq!(again.id(), message.id());
        }
    }
    subscriber.close().await.unwrap();
}
