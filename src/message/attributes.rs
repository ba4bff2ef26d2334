use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::text::Text;
use super::{Headers, Key, Message, MessageId, TraceContext};

/// What it is made of.
impl Message {
    /// The id; unique together with the source.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// The type of event, e.g. `task.completed`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_str()
    }

    /// Who produced it, a URI reference, e.g. `/tasks`.
    #[must_use]
    pub fn source(&self) -> &str {
        self.source.as_str()
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
        text(self.subject.as_ref())
    }

    /// The media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        text(self.content_type.as_ref())
    }

    /// The URI of the payload's schema.
    #[must_use]
    pub fn data_schema(&self) -> Option<&str> {
        text(self.data_schema.as_ref())
    }

    /// The key that decides the order.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The user it belongs to.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        text(self.user.as_ref())
    }

    /// The tenant it belongs to.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        text(self.tenant.as_ref())
    }

    /// The id shared by everything that one first cause set in motion.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        text(self.correlation_id.as_ref())
    }

    /// The id of the message whose handling produced this one.
    #[must_use]
    pub fn causation_id(&self) -> Option<&str> {
        text(self.causation_id.as_ref())
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

    /// The payload as it came; empty when there is none.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.payload.as_ref().unwrap_or(&NONE)
    }

    /// Whether there is a payload, be it empty. A message without one is a tombstone: a topic that
    /// is compacted forgets its key.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        self.payload.is_some()
    }
}

fn text(text: Option<&Text>) -> Option<&str> {
    text.map(Text::as_str)
}
