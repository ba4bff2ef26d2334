use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::UNREADABLE_HEADERS;
use crate::error::{Error, Kind};
use crate::message::{HeaderName, Headers, Message, cloudevents};

/// One entry of a topic, as raw as a broker keeps it. Cloning copies no payload.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The topic it is, or is to be, in.
    pub topic: Arc<str>,
    /// The partition it must go to; chosen from the key when `None`.
    pub partition: Option<u32>,
    /// The key that keeps the order.
    pub key: Option<Bytes>,
    /// The headers in order.
    pub headers: Headers,
    /// The payload; `None` is a tombstone.
    pub payload: Option<Bytes>,
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: u32,
}

/// Where a record stands: partition and offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Position {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset in the partition; grows, may skip.
    pub offset: u64,
}

impl Record {
    /// A record with only a topic and a payload.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            headers: Headers::new(),
            payload: Some(payload.into()),
        }
    }

    /// `message` in CloudEvents binary mode, for `topic`.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`](crate::error::Kind::Invalid) when it could not be read again, as
    /// [`Message::check`] says.
    pub fn from_message(topic: impl Into<Arc<str>>, message: &Message) -> Result<Self, Error> {
        let headers = cloudevents::to_headers(message)?;
        let payload = message.has_payload().then(|| message.payload().clone());
        Ok(Self::of(topic.into(), message, headers, payload))
    }

    /// `message` in CloudEvents structured mode, for `topic`: all of it is one JSON document.
    ///
    /// # Errors
    ///
    /// As [`from_message`](Self::from_message).
    pub fn structured(topic: impl Into<Arc<str>>, message: &Message) -> Result<Self, Error> {
        let (headers, document) = cloudevents::to_structured(message)?;
        Ok(Self::of(topic.into(), message, headers, Some(document)))
    }

    fn of(topic: Arc<str>, message: &Message, headers: Headers, payload: Option<Bytes>) -> Self {
        Self {
            topic,
            partition: None,
            key: message.key().map(|key| key.as_bytes().clone()),
            headers,
            payload,
        }
    }

    /// Reads the record as a message, in either mode.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`](crate::error::Kind::Corrupt), as [`cloudevents::from_headers`] says, and of a
    /// record with [`UNREADABLE_HEADERS`].
    pub fn to_message(&self) -> Result<Message, Error> {
        self.to_message_of(None)
    }

    /// As [`to_message`](Self::to_message); a message without a time has that of its record.
    pub(super) fn to_message_of(&self, timestamp: Option<DateTime<Utc>>) -> Result<Message, Error> {
        // It must not pass for one that never had them.
        if let Some(count) = self.headers.text(UNREADABLE_HEADERS) {
            return Err(Error::new(Kind::Corrupt, "broker", "read message")
                .with_detail(format!("{count} header names are not UTF-8")));
        }
        let (key, payload) = (self.key.clone(), self.payload.clone());
        cloudevents::from_record(&self.headers, key, payload, timestamp)
    }

    /// Sets the key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<HeaderName>, value: impl Into<Bytes>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The bytes of key, headers and payload together.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        headers
            + [&self.key, &self.payload]
                .into_iter()
                .flatten()
                .map(Bytes::len)
                .sum::<usize>()
    }
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl Position {
    /// Offset `offset` in `partition`.
    #[must_use]
    pub fn new(partition: TopicPartition, offset: u64) -> Self {
        Self { partition, offset }
    }

    /// Reads what is shown of a position, `topic/partition@offset`; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (partition, offset) = text.rsplit_once('@')?;
        let (topic, partition) = partition.rsplit_once('/')?;
        let partition = TopicPartition::new(topic, partition.parse().ok()?);
        Some(Self::new(partition, offset.parse().ok()?))
    }
}

/// Shows sizes, not contents: a payload may be a secret or large.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key", &self.key)
            .field("headers", &self.headers)
            .field("payload_len", &self.payload.as_ref().map(Bytes::len))
            .finish()
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}
