use std::error::Error as _;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Position, REDRIVE_GROUP, REDRIVE_ORIGIN, RETRY_ORIGIN, Received, Record};
use crate::error::Error;
use crate::message::Message;

/// One record on its way through a handler: the request type of consumer services.
///
/// It always holds the bytes as they came; [`message`](Self::message) says whether they can be read
/// as a message. Cloning is cheap and copies nothing.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

struct Inner {
    group: Arc<str>,
    received: Received,
    message: Result<Message, Error>,
}

impl Delivery {
    /// The delivery of `received` to `group`.
    #[must_use]
    pub fn new(group: impl Into<Arc<str>>, received: Received) -> Self {
        let message = received.record.to_message_of(received.timestamp);
        Self(Arc::new(Inner {
            group: group.into(),
            received,
            message,
        }))
    }

    /// The consumer group it is delivered to.
    #[must_use]
    pub fn group(&self) -> &Arc<str> {
        &self.0.group
    }

    /// The record as it came.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0.received.record
    }

    /// Where the record stands.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.0.received.position
    }

    /// Where the record stood when it came to this group for the first time: for a copy in a retry topic,
    /// or one that was redriven for this group, that of the record it is a copy of.
    #[must_use]
    pub fn origin(&self) -> Position {
        let (headers, here) = (&self.record().headers, self.position());
        let retried = headers.text(RETRY_ORIGIN).and_then(Position::parse);
        let redriven = || {
            let ours = headers.text(REDRIVE_GROUP)? == &**self.group();
            let origin = headers.text(REDRIVE_ORIGIN).filter(|_| ours)?;
            Position::parse(&format!("{}/{origin}", here.partition.topic))
        };
        retried.or_else(redriven).unwrap_or_else(|| here.clone())
    }

    /// When the record was stamped.
    #[must_use]
    pub fn timestamp(&self) -> Option<DateTime<Utc>> {
        self.0.received.timestamp
    }

    /// The record as a message.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`](crate::error::Kind::Corrupt) when the record is no message; a handler
    /// passes on what [`try_message`](Self::try_message) gives, so that the record is dead-lettered.
    pub fn message(&self) -> Result<&Message, &Error> {
        self.0.message.as_ref()
    }

    /// The message, or an owned error that says why there is none.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`](crate::error::Kind::Corrupt) when the record is no message.
    pub fn try_message(&self) -> Result<&Message, Error> {
        self.message().map_err(|error| {
            let owned = Error::new(error.kind(), error.backend(), error.operation())
                .with_detail(error.detail().unwrap_or("not a message").to_owned());
            match error.source() {
                Some(source) => owned.with_source(source.to_string()),
                None => owned,
            }
        })
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("group", &self.0.group)
            .field("position", &format_args!("{}", self.position()))
            .field("record", self.record())
            .field("message_id", &self.message().ok().map(Message::id))
            .finish_non_exhaustive()
    }
}
