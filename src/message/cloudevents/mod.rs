//! CloudEvents 1.0 in records: the binary and the structured mode of the
//! [Kafka protocol binding](https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md).
//!
//! Both are read, whatever is written. Binary mode leaves the payload as it is and is what
//! [`Record::from_message`](crate::broker::Record::from_message) writes; structured mode puts all of
//! the event into one JSON document
//! ([`Record::structured`](crate::broker::Record::structured)), for readers that see no headers.
//! Our own attributes are CloudEvents extensions, so any CloudEvents reader sees them.
//!
//! | header in binary mode | member in structured mode | attribute |
//! |---|---|---|
//! | `ce_specversion` | `specversion` | `1.0` |
//! | `ce_id`, `ce_source`, `ce_type`, `ce_time`, `ce_subject`, `ce_dataschema` | without `ce_` | as named; `ce_time` when missing is the record's timestamp, else now |
//! | `content-type`, in any case | `datacontenttype`; `content-type` is `application/cloudevents+json` | media type of the payload |
//! | `ce_dataversion` | `dataversion`, a number | schema version; 1 when missing |
//! | `ce_userid`, `ce_tenantid`, `ce_correlationid`, `ce_causationid` | without `ce_` | as named |
//! | `traceparent`, `tracestate` | the same headers, and members of the same names | W3C trace context |
//! | `baggage` | the same header | W3C baggage |
//! | `ce_` and a name of a-z and 0-9 | without `ce_` | a free header: an extension of somebody else |
//! | anything else | the same header | a free header |
//! | value | `data`, or `data_base64` | payload |
//!
//! # How it decides
//!
//! 1. A `content-type` that begins with `application/cloudevents` means structured mode, anything
//!    else and none at all binary mode. Of structured mode only `application/cloudevents+json` can be
//!    read; the binding has no batches.
//! 2. Of an attribute that comes more than once the last counts, and the others are gone. A free
//!    header keeps all its values. An empty attribute is one that is missing. A member that stands
//!    twice makes the document unreadable, as readers would not agree on it.
//! 3. In structured mode the document counts, and headers beside it that say the same are left out.
//! 4. A record without a value is a message without a payload, and the other way round. In structured
//!    mode that is a document without data.
//! 5. A payload stands in `data` as it is when its content type is JSON, it is valid, and there is no
//!    white space around it; as a string when its content type is text, XML or YAML in UTF-8; and
//!    otherwise, and without a content type, in `data_base64`. So it always reads back byte for byte.
//!    `data` without `datacontenttype` is read as `application/json`.
//! 6. The trace context is that of the headers, which every hop renews. Without them it is that of the
//!    extension (`ce_traceparent`, or the member), which holds where the event began. Where the two
//!    differ the extension is kept as a free header, and passed on. What is malformed in a trace
//!    context is left out ([`TraceContext`](super::TraceContext) says how) and never makes a message
//!    unreadable.
//! 7. An extension that is a number, `true` or `false` in a document is a text as a free header. It is
//!    written as it was when the message is written in structured mode again, and as a string after
//!    it went through a record in binary mode. As strings they are still what CloudEvents says.
//! 8. The key is that of the record, and no attribute. [`partition_key`] reads the partitioning
//!    extension, for those who want the key of an event that came without one.
//! 9. What can be read is read; what is written can be read by everybody: see
//!    [`Message::check`].

mod attribute;
mod base64;
mod binary;
mod media_type;
mod members;
mod read;
mod structured;
#[cfg(test)]
mod tests;
mod time;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Headers, Key, Message};
use crate::error::{Error, Kind};

pub(crate) use attribute::Attribute;
pub(super) use media_type::is_cloudevents;

pub(super) use read::extension_trace;
pub(super) use time::is_writable;

/// `ce_specversion`.
pub const SPEC_VERSION: &str = "ce_specversion";
/// `ce_id`.
pub const ID: &str = "ce_id";
/// `ce_source`.
pub const SOURCE: &str = "ce_source";
/// `ce_type`.
pub const TYPE: &str = "ce_type";
/// `ce_time`.
pub const TIME: &str = "ce_time";
/// `ce_subject`.
pub const SUBJECT: &str = "ce_subject";
/// `ce_dataschema`.
pub const DATA_SCHEMA: &str = "ce_dataschema";
/// `ce_dataversion`.
pub const DATA_VERSION: &str = "ce_dataversion";
/// `ce_userid`.
pub const USER_ID: &str = "ce_userid";
/// `ce_tenantid`.
pub const TENANT_ID: &str = "ce_tenantid";
/// `ce_correlationid`.
pub const CORRELATION_ID: &str = "ce_correlationid";
/// `ce_causationid`.
pub const CAUSATION_ID: &str = "ce_causationid";
/// `content-type`.
pub const CONTENT_TYPE: &str = "content-type";
/// `ce_partitionkey`, of the partitioning extension: a free header.
pub const PARTITION_KEY: &str = "ce_partitionkey";
/// `ce_traceparent`, of the distributed tracing extension: a free header where it differs from the
/// trace context.
pub const TRACEPARENT: &str = "ce_traceparent";
/// `ce_tracestate`, of the distributed tracing extension.
pub const TRACESTATE: &str = "ce_tracestate";
/// The content type of a record in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";

const VERSION: &str = "1.0";

/// The message's attributes and free headers as headers, in binary mode; key and payload travel
/// beside them.
///
/// # Errors
///
/// As [`Message::check`].
pub fn to_headers(message: &Message) -> Result<Headers, Error> {
    message.check()?;
    Ok(binary::write(message))
}

/// The headers and the document of the message in structured mode; the key travels beside them.
///
/// # Errors
///
/// As [`Message::check`].
pub fn to_structured(message: &Message) -> Result<(Headers, Bytes), Error> {
    message.check()?;
    structured::write(message)
}

/// Reads a message back, in either mode.
///
/// # Errors
///
/// [`Kind::Corrupt`], naming the attribute: one that is required is missing or empty, is not UTF-8,
/// the spec version is not 1.0, the time is not RFC 3339, the version is not a number from 1, or the
/// document of the structured mode is not one.
pub fn from_headers(
    headers: &Headers,
    key: Option<Bytes>,
    payload: Option<Bytes>,
) -> Result<Message, Error> {
    read::message(headers, key, payload, None)
}

/// As [`from_headers`]; `timestamp` is the time of a message that has none of its own.
pub(crate) fn from_record(
    headers: &Headers,
    key: Option<Bytes>,
    payload: Option<Bytes>,
    timestamp: Option<DateTime<Utc>>,
) -> Result<Message, Error> {
    read::message(headers, key, payload, timestamp)
}

/// The key that the partitioning extension asks for.
///
/// To send an event on with that key, as the binding's key mapper does: the extension stays.
///
/// ```
/// use bowline::message::{Message, cloudevents};
///
/// let came = Message::new("order.placed", "{}").with_header(cloudevents::PARTITION_KEY, "7");
/// let keyed = match cloudevents::partition_key(&came) {
///     Some(key) => came.with_key(key),
///     None => came,
/// };
/// assert_eq!(keyed.key(), Some(&"7".into()));
/// ```
#[must_use]
pub fn partition_key(message: &Message) -> Option<Key> {
    let key = message.headers().last(PARTITION_KEY)?;
    (!key.is_empty()).then(|| Key::from(key.clone()))
}

fn corrupt(detail: String) -> Error {
    Error::new(Kind::Corrupt, "cloudevents", "decode").with_detail(detail)
}
