use std::sync::{Arc, Mutex};

use bowline::broker::{Delivery, Position, Received, Record, TopicPartition};
use bowline::classify::{AnyError, Classify, Failure, Outcome};
use bowline::consumer::{Handlers, Unknown};
use bowline::error::{BoxError, Error, Kind, cause};
use bowline::message::{Codec, Encoded, Event, Json, Key, Message};
use serde::{Deserialize, Serialize};
use tower::ServiceExt;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Created {
    task: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct CreatedV2 {
    task: u64,
    title: String,
}

impl Event for Created {
    const TYPE: &'static str = "task.created";

    fn key(&self) -> Option<Key> {
        Some(Key::from(self.task.to_string()))
    }
}

impl Event for CreatedV2 {
    const TYPE: &'static str = "task.created";
    const VERSION: u32 = 2;

    fn key(&self) -> Option<Key> {
        Some(Key::from(self.task.to_string()))
    }
}

#[tokio::test]
async fn events_go_to_the_function_of_their_type_and_version() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (one, two) = (Arc::clone(&seen), Arc::clone(&seen));
    let handlers = Handlers::new()
        .on(move |event: Created, delivery: Delivery| {
            let seen = Arc::clone(&one);
            async move {
                let user = delivery.try_message()?.user().map(str::to_owned);
                seen.lock().unwrap().push((event.task, None, user));
                Ok::<_, BoxError>(())
            }
        })
        .on(move |event: CreatedV2, _| {
            let seen = Arc::clone(&two);
            async move {
                seen.lock()
                    .unwrap()
                    .push((event.task, Some(event.title), None));
                Ok::<_, Error>(())
            }
        });
    let first = Message::event(&Created { task: 1 })
        .unwrap()
        .with_user("ada");
    let title = "tie".to_owned();
    let second = Message::event(&CreatedV2 { task: 2, title }).unwrap();
    handlers.clone().oneshot(delivery(&first)).await.unwrap();
    handlers.oneshot(delivery(&second)).await.unwrap();
    let wanted = [
        (1, None, Some("ada".to_owned())),
        (2, Some("tie".to_owned()), None),
    ];
    assert_eq!(*seen.lock().unwrap(), wanted);
}

#[tokio::test]
async fn the_error_of_the_function_is_passed_on() {
    let handlers = Handlers::new().on(|_: Created, _| async { Err::<(), BoxError>("no".into()) });
    let message = Message::event(&Created { task: 1 }).unwrap();
    let error = handlers.oneshot(delivery(&message)).await.unwrap_err();
    assert_eq!(error.to_string(), "no");
}

#[tokio::test]
async fn an_unknown_type_fails_unless_it_is_to_be_ignored() {
    let message = Message::new("task.deleted", "{}");
    let error = refused(created(), &message).await;
    assert_eq!(
        error,
        (Kind::Invalid, "no handler for task.deleted".to_owned())
    );
    let ignoring = created().on_unknown(Unknown::Ignore).require_user();
    ignoring.oneshot(delivery(&message)).await.unwrap();
}

#[tokio::test]
async fn an_unknown_version_of_a_known_type_fails_always() {
    let message = Message::new("task.created", "{}").with_version(3);
    let handlers = created().on(|_: CreatedV2, _| async { Ok::<_, Error>(()) });
    let error = refused(handlers.on_unknown(Unknown::Ignore), &message).await;
    let detail = "no handler for task.created version 3, handled: 1, 2";
    assert_eq!(error, (Kind::Invalid, detail.to_owned()));
}

/// Version 3, which reads version 2, which does not read version 1.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct CreatedV3 {
    task: u64,
    title: Option<String>,
}

impl Event for CreatedV3 {
    const TYPE: &'static str = "task.created";
    const VERSION: u32 = 3;

    fn key(&self) -> Option<Key> {
        None
    }

    fn upcast(older: &Message) -> Result<Self, Error> {
        let CreatedV2 { task, title } = older.decode()?;
        let title = Some(title);
        Ok(Self { task, title })
    }
}

#[tokio::test]
async fn an_older_version_goes_to_the_next_newer_function_that_there_is() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (all, newest) = (Arc::clone(&seen), Arc::clone(&seen));
    let handlers = Handlers::new().on(move |event: CreatedV3, _| {
        newest.lock().unwrap().push(event.title);
        async { Ok::<_, Error>(()) }
    });
    let title = "tie".to_owned();
    let second = Message::event(&CreatedV2 { task: 2, title }).unwrap();
    handlers.clone().oneshot(delivery(&second)).await.unwrap();
    assert_eq!(*all.lock().unwrap(), [Some("tie".to_owned())]);

    let first = Message::event(&Created { task: 1 }).unwrap();
    let detail = "message is task.created version 1, expected task.created version 2";
    let refusal = (Kind::Invalid, detail.to_owned());
    assert_eq!(refused(handlers.clone(), &first).await, refusal);
    let handlers = handlers.on(|_: Created, _| async { Ok::<_, Error>(()) });
    handlers.oneshot(delivery(&first)).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

/// An event of another format: one byte.
#[derive(Debug)]
struct Ticked(u8);

struct Byte;

impl Event for Ticked {
    const TYPE: &'static str = "clock.ticked";

    fn key(&self) -> Option<Key> {
        None
    }
}

impl Codec<Ticked> for Byte {
    fn encode(&self, event: &Ticked) -> Result<Encoded, Error> {
        Ok(Encoded::new(vec![event.0], "application/x-byte").with_data_schema("urn:byte"))
    }

    fn decode(&self, message: &Message) -> Result<Ticked, Error> {
        match message.payload()[..] {
            [byte] => Ok(Ticked(byte)),
            _ => Err(Error::new(Kind::Corrupt, "byte", "decode").with_detail("not one byte")),
        }
    }
}

#[tokio::test]
async fn a_payload_of_another_format_is_read_by_its_codec() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ticks = Arc::clone(&seen);
    let handlers = Handlers::new()
        .on_with(Byte, move |Ticked(byte), _| {
            ticks.lock().unwrap().push(byte);
            async { Ok::<_, Error>(()) }
        })
        .on_with(Json, |_: Created, _| async { Ok::<_, Error>(()) });
    let message = Message::event_with(&Byte, &Ticked(7)).unwrap();
    assert_eq!(message.content_type(), Some("application/x-byte"));
    assert_eq!(message.data_schema(), Some("urn:byte"));
    handlers.clone().oneshot(delivery(&message)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [7]);
    let gone = message.without_payload();
    let refusal = (Kind::Corrupt, "not one byte".to_owned());
    assert_eq!(refused(handlers.clone(), &gone).await, refusal);
    let json = Message::event(&Created { task: 1 }).unwrap();
    handlers.oneshot(delivery(&json)).await.unwrap();
}

#[tokio::test]
async fn a_payload_that_is_not_the_event_is_corrupt() {
    let message = Message::new("task.created", r#"{"task": "seven"}"#);
    let error = refused(created(), &message).await;
    assert_eq!(error, (Kind::Corrupt, "task.created".to_owned()));
    let error = created().oneshot(delivery(&message)).await.unwrap_err();
    let shown = bowline::error::Chain(&*error).to_string();
    assert!(
        shown.ends_with("expected u64 at line 1 column 16"),
        "{shown}"
    );
    assert!(!shown.contains("seven"), "{shown}");
    let gone = message.without_payload();
    let error = refused(created(), &gone).await;
    assert_eq!(error, (Kind::Corrupt, "task.created".to_owned()));
}

#[tokio::test]
async fn a_record_that_is_no_message_is_corrupt() {
    let delivery = delivery_of(Record::new("tasks", "{}"));
    let handlers = created().on_unknown(Unknown::Ignore);
    let error = handlers.oneshot(delivery).await.unwrap_err();
    assert_eq!(permanent(&error).0, Kind::Corrupt);
}

#[tokio::test]
async fn the_error_of_a_document_that_was_cut_says_where() {
    let record = Record::new("tasks", r#"{"specversion":"1.0""#);
    let record = record.with_header("content-type", "application/cloudevents+json");
    let error = created().oneshot(delivery_of(record)).await.unwrap_err();
    let shown = bowline::error::Chain(&*error).to_string();
    assert!(
        shown.ends_with("EOF while parsing an object at line 1 column 20"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_message_without_a_user_is_refused_where_users_are_required() {
    let message = Message::event(&Created { task: 1 }).unwrap();
    let handlers = created().require_user();
    let missing = (Kind::Invalid, "header ce_userid is missing".to_owned());
    assert_eq!(refused(handlers.clone(), &message).await, missing);
    let named = message.with_user("ada");
    handlers.oneshot(delivery(&named)).await.unwrap();
}

#[test]
fn debug_shows_the_routes() {
    let text = format!("{:?}", created());
    assert!(text.contains(r#"("task.created", 1)"#), "{text}");
}

fn created() -> Handlers {
    Handlers::new().on(|_: Created, _| async { Ok::<_, Error>(()) })
}

async fn refused(handlers: Handlers, message: &Message) -> (Kind, String) {
    let error = handlers.oneshot(delivery(message)).await.unwrap_err();
    permanent(&error)
}

/// Kind and detail of an error that no retry repeats.
fn permanent(error: &BoxError) -> (Kind, String) {
    let outcome = AnyError.classify(Result::<&(), _>::Err(error));
    assert_eq!(outcome, Outcome::Failure(Failure::Permanent));
    let error: &Error = cause(&**error).unwrap();
    (error.kind(), error.detail().unwrap_or_default().to_owned())
}

fn delivery(message: &Message) -> Delivery {
    delivery_of(Record::from_message("tasks", message).unwrap())
}

fn delivery_of(record: Record) -> Delivery {
    let position = Position::new(TopicPartition::new("tasks", 0), 0);
    Delivery::new("notifications", Received::new(record, position, 1))
}
