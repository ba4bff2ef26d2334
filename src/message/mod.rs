//! The envelope: what every message carries, whatever broker takes it there.
//!
//! A consumer has to know what a message is, who caused it, for whom, and whether it has seen it
//! before, and should not have to open the payload for that. A [`Message`] is a CloudEvents 1.0 event
//! with the attributes that services need: a time-ordered id, a type with a schema version, a key that
//! decides the order, the user it belongs to, what caused it, and the W3C trace context. The payload
//! is bytes, or none; [`Message::event`] and [`Message::decode`] turn a typed [`Event`] into JSON and
//! back, and a [`Codec`] of your own into anything else.
//!
//! # How it decides
//!
//! 1. A message is identified by its source **and** its id together, as CloudEvents says.
//! 2. Messages with the same key keep their order; a message without a key has no order.
//! 3. [`Message::caused_by`] makes the cause's id the causation id. Correlation id, user, tenant and
//!    trace of the cause are taken over where the message has none of its own; a cause without a
//!    correlation id began the chain, so its id is the correlation id.
//! 4. [`Message::decode`] reads an [`Event`] of the same type and version. An older version is given
//!    to [`Event::upcast`], which refuses it unless it is written. Any other type, and a newer
//!    version, is [`Kind::Invalid`](crate::error::Kind::Invalid), a payload that is not that event
//!    [`Kind::Corrupt`](crate::error::Kind::Corrupt).
//! 5. An attribute that is set to an empty text is not set.
//! 6. On the wire ([`cloudevents`]) unknown headers are kept, and bytes that cannot be read as a
//!    message stay available as they came ([`Record`](crate::broker::Record)). An attribute that
//!    cannot be read makes the message unreadable; what is malformed in a trace context is dropped,
//!    as the W3C rules ask.
//! 7. What nobody could read is not sent: see [`Message::check`].
//!
//! # When not to use it
//!
//! For payloads that brokers do not take, by default those above 1 MiB: store them, and send where
//! they are. Between functions of one process: call them.
//!
//! # Guarantees
//!
//! - A message that is written as a record, in either mode, and read back is equal to what it was; a
//!   message for which that does not hold cannot be written. The payload is the same byte for byte,
//!   and none at all is not the same as an empty one.
//! - Ids that are made here sort after the earlier ones of this process.
//! - Cloning copies no payload. [`Headers`] show names and sizes when they are debugged, never values.
//!   An error names the attribute, shows a line of its value at most, and nothing of a payload.
//!
//! # Defaults
//!
//! | attribute | default | set by |
//! |---|---|---|
//! | id | a new UUID, version 7 | [`with_id`](Message::with_id) |
//! | source | [`Message::DEFAULT_SOURCE`] | [`with_source`](Message::with_source) |
//! | version | 1 | [`Event::VERSION`], [`with_version`](Message::with_version) |
//! | time | now | [`with_time`](Message::with_time) |
//! | content type | none, [`Message::JSON`] for an [`Event`] | [`with_content_type`](Message::with_content_type) |
//! | key | none: no order | [`Event::key`], [`with_key`](Message::with_key) |
//! | payload | the one of [`Message::new`] | [`without_payload`](Message::without_payload) |
//! | the others | none | `with_` and their name |
//!
//! # Examples
//!
//! ```
//! use bowline::message::{Event, Key, Message};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct TaskCompleted { task: u64 }
//!
//! impl Event for TaskCompleted {
//!     const TYPE: &'static str = "task.completed";
//!     const VERSION: u32 = 1;
//!     fn key(&self) -> Option<Key> { Some(Key::from(self.task.to_string())) }
//! }
//!
//! let message = Message::event(&TaskCompleted { task: 7 })?.with_source("/tasks").with_user("ada");
//! assert_eq!(message.kind(), "task.completed");
//! assert_eq!(message.decode::<TaskCompleted>()?, TaskCompleted { task: 7 });
//!
//! let mail = Message::new("mail.sent", "{}").caused_by(&message);
//! assert_eq!(mail.causation_id(), Some(message.id().as_str()));
//! assert_eq!(mail.user(), Some("ada"));
//! # Ok::<(), bowline::Error>(())
//! ```

mod attributes;
pub(crate) mod blob;
mod builders;
mod check;
pub mod cloudevents;
mod codec;
mod event;
mod headers;
mod id;
mod text;
mod trace;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::clock::{Clock, SystemClock};
use text::Text;

pub(crate) use text::Excerpt;

pub use codec::{Codec, Encoded, Json};
pub use event::Event;
pub use headers::{HeaderName, Headers};
pub use id::{Key, MessageId};
pub use trace::TraceContext;

/// One message: a CloudEvents 1.0 event and what services add to it.
#[derive(Clone, PartialEq)]
pub struct Message {
    id: MessageId,
    kind: Text,
    source: Text,
    version: u32,
    time: DateTime<Utc>,
    subject: Option<Text>,
    content_type: Option<Text>,
    data_schema: Option<Text>,
    key: Option<Key>,
    user: Option<Text>,
    tenant: Option<Text>,
    correlation_id: Option<Text>,
    causation_id: Option<Text>,
    trace: TraceContext,
    headers: Headers,
    payload: Option<Bytes>,
}

/// Says what it is, and not what is in it: a payload and free headers may be secrets.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("source", &self.source)
            .field("version", &self.version)
            .field("time", &self.time)
            .field("key", &self.key)
            .field("payload", &format_args!("{} bytes", self.payload().len()))
            .finish_non_exhaustive()
    }
}

impl Message {
    /// The source of a message that was not given one.
    pub const DEFAULT_SOURCE: &'static str = "/bowline";
    /// The content type of a typed event.
    pub const JSON: &'static str = "application/json";

    /// A message of type `kind`, schema version 1, with a new id, the time now and raw bytes.
    ///
    /// The payload may be empty; see [`without_payload`](Self::without_payload) for none.
    #[must_use]
    pub fn new(kind: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        Self::of(Text::Whole(kind.into()), Some(payload.into()))
    }

    fn of(kind: Text, payload: Option<Bytes>) -> Self {
        Self {
            id: MessageId::new(),
            kind,
            source: Text::Static(Self::DEFAULT_SOURCE),
            version: 1,
            time: SystemClock.now(),
            subject: None,
            content_type: None,
            data_schema: None,
            key: None,
            user: None,
            tenant: None,
            correlation_id: None,
            causation_id: None,
            trace: TraceContext::default(),
            headers: Headers::new(),
            payload,
        }
    }

    /// Ties this message to the one whose handling produced it.
    ///
    /// The cause's id becomes the causation id. Its correlation id (or its id, if it began the
    /// chain), user, tenant and trace context are taken over where this message has none.
    #[must_use]
    pub fn caused_by(mut self, cause: &Self) -> Self {
        let id = cause.id.text();
        self.causation_id = Some(id.clone());
        self.correlation_id = self
            .correlation_id
            .or_else(|| cause.correlation_id.clone())
            .or_else(|| Some(id.clone()));
        self.user = self.user.or_else(|| cause.user.clone());
        self.tenant = self.tenant.or_else(|| cause.tenant.clone());
        self.trace = self.trace.or(&cause.trace);
        self
    }
}
