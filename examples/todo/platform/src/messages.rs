//! What every service does the same way with messages, times and stored answers.

use bowline::clock::{Clock, SystemClock};
use bowline::error::Error;
use bowline::message::{Event, Message, TraceContext};
use chrono::{DateTime, Timelike, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::http::Failure;

/// A message with `event` from the service `source`, caused by a request of `user`.
///
/// # Errors
///
/// When the event cannot be written as JSON.
pub fn from_request<E: Event + Serialize>(
    source: &'static str,
    event: &E,
    user: Uuid,
    trace: &TraceContext,
) -> Result<Message, Error> {
    Ok(Message::event(event)?
        .with_source(source)
        .with_user(user.to_string())
        .with_trace(trace.child()))
}

/// The user whom `message` is about.
///
/// # Errors
///
/// A validation failure when the message has none: such a message belongs to the dead letters.
pub fn user_of(message: &Message) -> Result<Uuid, Failure> {
    let user = message
        .user()
        .ok_or_else(|| Failure::invalid("ce_userid", "is missing"))?;
    user.parse()
        .map_err(|error| Failure::invalid("ce_userid", error))
}

/// The time now, in the microseconds that every database keeps.
#[must_use]
pub fn now() -> DateTime<Utc> {
    let now = SystemClock.now();
    now.with_nanosecond(now.nanosecond() / 1_000 * 1_000)
        .unwrap_or(now)
}

/// An answer as it is stored under an idempotency key.
///
/// # Errors
///
/// A system failure when it cannot be written.
pub fn answer<T: Serialize>(answer: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(answer)
        .map_err(|error| Failure::system("the answer cannot be written", &error))
}

/// An answer that was stored under an idempotency key.
///
/// # Errors
///
/// A system failure when it cannot be read.
pub fn stored<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer)
        .map_err(|error| Failure::system("the stored answer cannot be read", &error))
}
