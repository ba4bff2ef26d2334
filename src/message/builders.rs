use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::text::Text;
use super::{HeaderName, Key, Message, MessageId, TraceContext};

/// What can be set. An empty text is the same as none; what else cannot be sent is found by
/// [`check`](Message::check).
impl Message {
    /// Sets the id; for a message that was made elsewhere.
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// Sets who produced it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = Text::Whole(source.into());
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
        self.subject = Text::unless_empty(subject);
        self
    }

    /// Sets the payload's media type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<Arc<str>>) -> Self {
        self.content_type = Text::unless_empty(content_type);
        self
    }

    /// Sets the URI of the payload's schema.
    #[must_use]
    pub fn with_data_schema(mut self, data_schema: impl Into<Arc<str>>) -> Self {
        self.data_schema = Text::unless_empty(data_schema);
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
        self.user = Text::unless_empty(user);
        self
    }

    /// Sets the tenant it belongs to.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.tenant = Text::unless_empty(tenant);
        self
    }

    /// Sets the correlation id.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.correlation_id = Text::unless_empty(id);
        self
    }

    /// Sets the causation id; [`caused_by`](Self::caused_by) does it from a message.
    #[must_use]
    pub fn with_causation_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.causation_id = Text::unless_empty(id);
        self
    }

    /// Sets the trace context.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.trace = trace;
        self
    }

    /// Adds a header that is not an attribute. One that is named `ce_` and small letters or digits is
    /// an extension attribute of CloudEvents.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<HeaderName>, value: impl Into<Bytes>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Takes the payload away: a tombstone, see [`has_payload`](Self::has_payload).
    #[must_use]
    pub fn without_payload(mut self) -> Self {
        self.payload = None;
        self
    }
}
