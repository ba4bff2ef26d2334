//! Records that are no good, on each broker: none ends the consumer, and none is skipped.

use std::num::NonZeroU32;
use std::time::Duration;

use bowline::broker::{Publisher as _, Record, SendStatus, Topics as _};
use bowline::consumer::{Consumer, Handlers};
use bowline::dlq::{self, DeadLetterLayer, Filter, Store as _};
use bowline::error::{BoxError, Chain, Error, Kind};
use bowline::message::{Event, Key, Message, cloudevents};
use bowline::shutdown::Shutdown;
use bowline::testkit::broker::Harness;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use tower::Layer as _;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
struct Created {
    task: u32,
}

impl Event for Created {
    const TYPE: &'static str = "task.created";

    fn key(&self) -> Option<Key> {
        Some(Key::from(self.task.to_string()))
    }
}

fn message() -> Message {
    Message::event(&Created { task: 7 }).unwrap()
}

fn binary(message: &Message) -> Record {
    Record::from_message("", message).unwrap()
}

fn without(name: &str) -> Record {
    let mut record = binary(&message());
    record.headers.remove(name);
    record
}

fn with(name: &'static str, value: &'static [u8]) -> Record {
    let mut record = binary(&message());
    record.headers.set(name, Bytes::from_static(value));
    record
}

fn document(change: impl FnOnce(&mut Vec<u8>)) -> Record {
    let mut record = Record::structured("", &message()).unwrap();
    let mut payload = record.payload.unwrap_or_default().to_vec();
    change(&mut payload);
    record.payload = Some(payload.into());
    record
}

fn renamed(payload: &mut Vec<u8>, from: &str, to: &str) {
    *payload = String::from_utf8_lossy(payload)
        .replacen(from, to, 1)
        .into();
}

/// What comes in, the kind of its letter, and what the letter says.
type Case = (Record, &'static str, &'static str);

fn bad() -> Vec<Case> {
    let unreadable = attributes().into_iter().chain(documents());
    let mut cases: Vec<_> = unreadable
        .map(|(record, detail)| (record, "corrupt data", detail))
        .collect();
    let json = |payload| Message::new("task.created", payload).with_content_type(Message::JSON);
    for (message, kind, detail) in [
        (json(r#"{"task":"#), "corrupt data", "task.created"),
        (json(r#"{"task":"x"}"#), "corrupt data", "task.created"),
        (
            Message::new("task.deleted", "{}"),
            "invalid value",
            "no handler for task.deleted",
        ),
        (
            message().with_version(9),
            "invalid value",
            "no handler for task.created version 9, handled: 1",
        ),
    ] {
        cases.push((binary(&message), kind, detail));
    }
    cases
}

fn attributes() -> [(Record, &'static str); 7] {
    [
        (
            Record::new("", "\u{0}garbage"),
            "ce_specversion is missing or empty",
        ),
        (without(cloudevents::ID), "ce_id is missing or empty"),
        (without(cloudevents::TYPE), "ce_type is missing or empty"),
        (
            without(cloudevents::SOURCE),
            "ce_source is missing or empty",
        ),
        (
            with(cloudevents::USER_ID, b"\xff"),
            "ce_userid is not UTF-8",
        ),
        (
            with(cloudevents::SPEC_VERSION, b"0.3"),
            "ce_specversion is 0.3, allowed: 1.0",
        ),
        (
            with(cloudevents::DATA_VERSION, b"two"),
            "ce_dataversion is two, allowed: a whole number from 1",
        ),
    ]
}

fn documents() -> [(Record, &'static str); 4] {
    const NONE: &str = "the document is not a JSON object";
    [
        (
            document(|payload| payload.truncate(payload.len() / 2)),
            NONE,
        ),
        (document(Vec::clear), NONE),
        // The first byte of a character, and no second.
        (document(|payload| payload.insert(10, 0xc3)), NONE),
        (
            document(|payload| renamed(payload, "\"id\"", "\"idea\"")),
            "id is missing or empty",
        ),
    ]
}

async fn a_bad_record_becomes_a_letter_that_says_what_is_wrong<H: Harness>(harness: H) {
    let topic = format!("topic-{}", uuid::Uuid::now_v7().simple());
    let topics = harness.topics();
    topics.create(&topic, NonZeroU32::MIN).await.unwrap();
    let (records, wanted): (Vec<_>, Vec<_>) = bad()
        .into_iter()
        .map(|(record, kind, detail)| (record, (kind, detail)))
        .unzip();
    let count = u64::try_from(records.len()).unwrap();
    let batch = records
        .into_iter()
        .chain([binary(&message())])
        .map(|mut record| {
            record.topic = topic.as_str().into();
            record
        });
    for result in harness.publisher().publish(batch.collect()).await {
        result.expect("a broker looks at no message");
    }

    let letters = dlq::Memory::new();
    let shutdown = Shutdown::new();
    let handlers = Handlers::new().on(|event: Created, _| async move {
        assert_eq!(event.task, 7);
        Ok::<_, BoxError>(())
    });
    let handler = DeadLetterLayer::new(letters.clone()).layer(handlers);
    let consumer = Consumer::builder(harness.subscriber(), handler)
        .group("notifications")
        .topics([topic])
        .with_lag_interval(Duration::from_millis(50))
        .build()
        .unwrap();
    let status = consumer.status();
    let running = tokio::spawn(consumer.run(shutdown.token()));
    let all_done = async {
        while status.snapshot().done <= count || status.snapshot().lag() != Some(0) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_done).await.expect("nothing is stuck");
    shutdown.trigger();
    running.await.unwrap().unwrap();

    let mut found = letters.query(&Filter::open()).await.unwrap();
    found.sort_by_key(|letter| letter.position.offset);
    assert_eq!(found.len(), wanted.len());
    for (letter, (kind, detail)) in found.iter().zip(wanted) {
        let reason = &letter.reason;
        assert_eq!(&*reason.kind, kind, "{reason:?}");
        assert!(
            reason.message.contains(detail),
            "{reason:?}, wanted {detail}"
        );
    }
}

async fn what_a_broker_refuses_is_named_and_was_not_sent<H: Harness>(harness: H) {
    let topic = format!("topic-{}", uuid::Uuid::now_v7().simple());
    let topics = harness.topics();
    topics.create(&topic, NonZeroU32::MIN).await.unwrap();
    let large = Record::new(topic.as_str(), vec![0; harness.too_large()]);
    let mut elsewhere = Record::new(topic.as_str(), "");
    elsewhere.partition = Some(3);
    let missing = format!("missing-{topic}");
    let unknown = Record::new(missing.as_str(), "");
    let cases = [
        (
            large,
            Kind::TooLarge,
            format!("record has {} bytes, allowed: up to ", harness.too_large()),
        ),
        (
            elsewhere,
            Kind::Invalid,
            format!("partition is 3, topic {topic} has 0 to 0"),
        ),
        (unknown, Kind::NotFound, missing.clone()),
    ];
    for (record, kind, detail) in cases {
        let answer = harness.publisher().publish(vec![record]).await.remove(0);
        let error = answer.unwrap_err();
        assert_eq!(
            (error.error().kind(), error.status()),
            (kind, SendStatus::NotSent)
        );
        let text = Chain(&error).to_string();
        assert!(text.contains(&detail), "{text}, wanted {detail}");
    }

    let refused = topics.create("a topic", NonZeroU32::MIN).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(
        refused
            .to_string()
            .contains("\"a topic\", allowed: 1 to 249"),
        "{refused}"
    );

    let consumer = Consumer::builder(harness.subscriber(), Handlers::new())
        .group("notifications")
        .topics([missing.as_str()])
        .build()
        .unwrap();
    let ended: Error = consumer.run(Shutdown::new().token()).await.unwrap_err();
    assert_eq!(ended.kind(), Kind::NotFound);
    assert!(ended.to_string().contains(&missing), "{ended}");
}

macro_rules! on {
    ($broker:ident, $harness:expr) => {
        mod $broker {
            #[tokio::test]
            async fn a_bad_record_becomes_a_letter_that_says_what_is_wrong() {
                super::a_bad_record_becomes_a_letter_that_says_what_is_wrong($harness).await;
            }

            #[tokio::test]
            async fn what_a_broker_refuses_is_named_and_was_not_sent() {
                super::what_a_broker_refuses_is_named_and_was_not_sent($harness).await;
            }
        }
    };
}

on!(
    memory,
    crate::broker::InMemory(bowline::broker::Memory::new())
);
#[cfg(feature = "sqlite")]
on!(sqlite, crate::broker::file::InFile::new().await);
#[cfg(feature = "redis")]
on!(redis, crate::redis_broker::InRedis::new().await);
