use std::sync::{Arc, Mutex};

use bowline::broker::{Delivery, Position, Received, Record, TopicPartition};
use bowline::classify::{AnyError, Classify, Failure, Outcome};
use bowline::consumer::{Handlers, Unknown};
use bowline::error::{BoxError, Error, Kind, cause};
use bowline::message::{Event, Key, Message};
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

#[tokio::test]
async fn a_payload_that_is_not_the_event_is_corrupt() {
    let message = Message::new("task.created", r#"{"task": "seven"}"#);
    let error = refused(created(), &message).await;
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
