//! The envelope: what every message carries, whatever broker takes it there.
//!
//! A consumer has to know what a message is, who caused it, for whom, and whether it has seen it
//! before, and should not have to open the payload for that. A [`Message`] is a CloudEvents 1.0 event
//! with the attributes that services need: a time-ordered id, a type with a schema version, a key that
//! decides the order, the user it belongs to, what caused it, and the W3C trace context. The payload
//! is bytes; [`Message::event`] and [`Message::decode`] turn a typed [`Event`] into JSON and back.
//!
//! # How it decides
//!
//! 1. A message is identified by its source **and** its id together, as CloudEvents says.
//! 2. Messages with the same key keep their order; a message without a key has no order.
//! 3. [`Message::caused_by`] makes the cause's id the causation id. Correlation id, user, tenant and
//!    trace of the cause are taken over where the message has none of its own; a cause without a
//!    correlation id began the chain, so its id is the correlation id.
//! 4. [`Message::decode`] reads an [`Event`] of the same type and version only: any other is
//!    [`Kind::Invalid`](crate::error::Kind::Invalid), a payload that is not that event
//!    [`Kind::Corrupt`](crate::error::Kind::Corrupt).
//! 5. On the wire ([`cloudevents`]) unknown headers are kept, and bytes that cannot be read as a
//!    message stay available as they came ([`Record`](crate::broker::Record)). An attribute that
//!    cannot be read makes the message unreadable; only a malformed `traceparent` is dropped, as the
//!    W3C rules ask.
//!
//! # When not to use it
//!
//! For payloads that brokers do not take, by default those above 1 MiB: store them, and send where
//! they are. Between functions of one process: call them.
//!
//! # Guarantees
//!
//! - A message that is written as a record and read back is equal to what it was, when its attributes
//!   are valid: type, source and id are not empty, the version is from 1, a trace state or baggage
//!   comes with a `traceparent`, and no free header has the name of an attribute.
//! - Ids that are made here sort after the earlier ones of this process.
//! - Cloning copies no payload. [`Headers`] show names and sizes when they are debugged, never values.
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

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) mod blob;
pub mod cloudevents;
mod event;
mod headers;
mod id;
mod trace;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::clock::{Clock, SystemClock};

pub use event::Event;
pub use headers::Headers;
pub use id::{Key, MessageId};
pub use trace::TraceContext;

/// One message: a CloudEvents 1.0 event and what services add to it.
#[derive(Clone, PartialEq)]
pub struct Message {
    id: MessageId,
    kind: Arc<str>,
    source: Arc<str>,
    version: u32,
    time: DateTime<Utc>,
    subject: Option<Arc<str>>,
    content_type: Option<Arc<str>>,
    data_schema: Option<Arc<str>>,
    key: Option<Key>,
    user: Option<Arc<str>>,
    tenant: Option<Arc<str>>,
    correlation_id: Option<Arc<str>>,
    causation_id: Option<Arc<str>>,
    trace: TraceContext,
    headers: Headers,
    payload: Bytes,
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
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .finish_non_exhaustive()
    }
}

impl Message {
    /// The source of a message that was not given one.
    pub const DEFAULT_SOURCE: &'static str = "/bowline";
    /// The content type of a typed event.
    pub const JSON: &'static str = "application/json";

    /// A message of type `kind`, schema version 1, with a new id, the time now and raw bytes.
    #[must_use]
    pub fn new(kind: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        Self {
            id: MessageId::new(),
            kind: kind.into(),
            source: Self::DEFAULT_SOURCE.into(),
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
            payload: payload.into(),
        }
    }

    /// Ties this message to the one whose handling produced it.
    ///
    /// The cause's id becomes the causation id. Its correlation id (or its id, if it began the
    /// chain), user, tenant and trace context are taken over where this message has none.
    #[must_use]
    pub fn caused_by(mut self, cause: &Self) -> Self {
        self.causation_id = Some(cause.id.as_str().into());
        self.correlation_id = self
            .correlation_id
            .or_else(|| cause.correlation_id.clone())
            .or_else(|| Some(cause.id.as_str().into()));
        self.user = self.user.or_else(|| cause.user.clone());
        self.tenant = self.tenant.or_else(|| cause.tenant.clone());
        if self.trace.is_empty() {
            self.trace = cause.trace.clone();
        }
        self
    }

    /// The id; unique together with the source.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// The type of event, e.g. `task.completed`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Who produced it, a URI reference, e.g. `/tasks`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The schema version of the payload, from 1.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> DateTime<Utc> {
        self.time
    }

    /// What it is about inside the source, e.g. a task's id.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The URI of the payload's schema.
    #[must_use]
    pub fn data_schema(&self) -> Option<&str> {
        self.data_schema.as_deref()
    }

    /// The key that decides the order.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The user it belongs to.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The tenant it belongs to.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The id shared by everything that one first cause set in motion.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// The id of the message whose handling produced this one.
    #[must_use]
    pub fn causation_id(&self) -> Option<&str> {
        self.causation_id.as_deref()
    }

    /// The W3C trace context.
    #[must_use]
    pub fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// Headers that are not attributes, in the order they were added.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The payload as it came.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Sets the id; for a message that was made elsewhere.
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// Sets who produced it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = source.into();
        self
    }

    /// Sets the schema version.
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets when it happened.
    #[must_use]
    pub fn with_time(mut self, time: DateTime<Utc>) -> Self {
        self.time = time;
        self
    }

    /// Sets what it is about.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<Arc<str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the payload's media type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<Arc<str>>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets the URI of the payload's schema.
    #[must_use]
    pub fn with_data_schema(mut self, data_schema: impl Into<Arc<str>>) -> Self {
        self.data_schema = Some(data_schema.into());
        self
    }

    /// Sets the key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the user it belongs to.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<Arc<str>>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the tenant it belongs to.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets the correlation id.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Sets the causation id; [`caused_by`](Self::caused_by) does it from a message.
    #[must_use]
    pub fn with_causation_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.causation_id = Some(id.into());
        self
    }

    /// Sets the trace context.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.trace = trace;
        self
    }

    /// Adds a header that is not an attribute.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.headers.push(name, value);
        self
    }
}
