//! CloudEvents 1.0 in binary mode: attributes as headers, the payload as it is.
//!
//! See the [Kafka protocol binding](https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md).
//! Our own attributes are CloudEvents extensions, so any CloudEvents reader sees them.
//!
//! | header | attribute |
//! |---|---|
//! | `ce_specversion` | `1.0` |
//! | `ce_id`, `ce_source`, `ce_type`, `ce_time`, `ce_subject`, `ce_dataschema` | as named |
//! | `content-type` | media type of the payload |
//! | `ce_dataversion` | schema version; 1 when missing |
//! | `ce_userid`, `ce_tenantid`, `ce_correlationid`, `ce_causationid` | as named |
//! | `traceparent`, `tracestate`, `baggage` | W3C trace context |
//! | anything else | kept as a free header |

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};

use super::{Headers, Key, Message, MessageId, TraceContext};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind};

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

const VERSION: &str = "1.0";

/// Every name that [`to_headers`] writes and [`from_headers`] takes out of the free headers.
const ATTRIBUTES: [&str; 16] = [
    SPEC_VERSION,
    ID,
    SOURCE,
    TYPE,
    TIME,
    SUBJECT,
    DATA_SCHEMA,
    DATA_VERSION,
    USER_ID,
    TENANT_ID,
    CORRELATION_ID,
    CAUSATION_ID,
    CONTENT_TYPE,
    TraceContext::TRACEPARENT,
    TraceContext::TRACESTATE,
    TraceContext::BAGGAGE,
];

/// The message's attributes and free headers as headers; key and payload travel beside them.
#[must_use]
pub fn to_headers(message: &Message) -> Headers {
    let mut headers = Headers::new();
    headers.push(SPEC_VERSION, VERSION);
    let time = message.time().to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let version = message.version().to_string();
    let trace = message.trace();
    let attributes = [
        (ID, Some(message.id().as_str())),
        (SOURCE, Some(message.source())),
        (TYPE, Some(message.kind())),
        (TIME, Some(&*time)),
        (SUBJECT, message.subject()),
        (DATA_SCHEMA, message.data_schema()),
        (DATA_VERSION, Some(&*version)),
        (USER_ID, message.user()),
        (TENANT_ID, message.tenant()),
        (CORRELATION_ID, message.correlation_id()),
        (CAUSATION_ID, message.causation_id()),
        (CONTENT_TYPE, message.content_type()),
        (TraceContext::TRACEPARENT, trace.traceparent()),
        (TraceContext::TRACESTATE, trace.tracestate()),
        (TraceContext::BAGGAGE, trace.baggage()),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            headers.push(name, Bytes::copy_from_slice(value.as_bytes()));
        }
    }
    // A free header must not pass for an attribute.
    let free = message.headers().iter().filter(|(name, _)| {
        let taken = |attribute: &str| attribute.eq_ignore_ascii_case(name);
        !taken(SPEC_VERSION) && !attributes.iter().any(|(attribute, _)| taken(attribute))
    });
    for (name, value) in free {
        headers.push(Arc::clone(name), value.clone());
    }
    headers
}

/// Reads a message back.
///
/// A malformed `traceparent` is dropped, as the W3C rules ask; every other malformed attribute is an
/// error.
///
/// # Errors
///
/// [`Kind::Corrupt`], naming the attribute: one that is required is missing or empty, is not UTF-8,
/// the spec version is not 1.0, the time is not RFC 3339, or the version is not a number from 1.
pub fn from_headers(
    headers: &Headers,
    key: Option<Bytes>,
    payload: Bytes,
) -> Result<Message, Error> {
    let spec = required(headers, SPEC_VERSION)?;
    if spec != VERSION {
        return Err(corrupt(format!(
            "{SPEC_VERSION} is {spec:?}, allowed: {VERSION:?}"
        )));
    }
    let mut message = Message::new(required(headers, TYPE)?, payload)
        .with_id(MessageId::from(required(headers, ID)?))
        .with_source(required(headers, SOURCE)?);
    message.time = match text(headers, TIME)? {
        Some(time) => parse_time(time)?,
        None => SystemClock.now(),
    };
    message.version = match text(headers, DATA_VERSION)? {
        Some(version) => version
            .parse()
            .ok()
            .filter(|version| *version > 0)
            .ok_or_else(|| {
                corrupt(format!(
                    "{DATA_VERSION} is {version:?}, allowed: a whole number from 1"
                ))
            })?,
        None => 1,
    };
    let optional = |name| Ok::<_, Error>(text(headers, name)?.map(Arc::<str>::from));
    message.subject = optional(SUBJECT)?;
    message.data_schema = optional(DATA_SCHEMA)?;
    message.user = optional(USER_ID)?;
    message.tenant = optional(TENANT_ID)?;
    message.correlation_id = optional(CORRELATION_ID)?;
    message.causation_id = optional(CAUSATION_ID)?;
    message.content_type = optional(CONTENT_TYPE)?;
    message.trace = trace(headers)?;
    message.key = key.map(Key::from);
    message.headers = headers
        .iter()
        .filter(|(name, _)| !ATTRIBUTES.contains(&&***name))
        .map(|(name, value)| (Arc::clone(name), value.clone()))
        .collect();
    Ok(message)
}

fn trace(headers: &Headers) -> Result<TraceContext, Error> {
    let parent = text(headers, TraceContext::TRACEPARENT)?;
    let Some(mut trace) = parent.and_then(TraceContext::parse) else {
        return Ok(TraceContext::default());
    };
    if let Some(state) = text(headers, TraceContext::TRACESTATE)? {
        trace = trace.with_state(state);
    }
    if let Some(baggage) = text(headers, TraceContext::BAGGAGE)? {
        trace = trace.with_baggage(baggage);
    }
    Ok(trace)
}

fn required<'a>(headers: &'a Headers, name: &str) -> Result<&'a str, Error> {
    text(headers, name)?
        .filter(|value| !value.is_empty())
        .ok_or_else(|| corrupt(format!("header {name} is missing or empty")))
}

fn text<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a str>, Error> {
    let Some(value) = headers.last(name) else {
        return Ok(None);
    };
    std::str::from_utf8(value)
        .map(Some)
        .map_err(|source| corrupt(format!("header {name} is not UTF-8")).with_source(source))
}

fn parse_time(time: &str) -> Result<DateTime<Utc>, Error> {
    DateTime::parse_from_rfc3339(time)
        .map(|time| time.to_utc())
        .map_err(|source| {
            corrupt(format!("{TIME} is {time:?}, allowed: RFC 3339")).with_source(source)
        })
}

fn corrupt(detail: String) -> Error {
    Error::new(Kind::Corrupt, "cloudevents", "decode").with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Message {
        Message::new("task.created", "{}")
            .with_source("/tasks")
            .with_version(3)
            .with_subject("7")
            .with_content_type(Message::JSON)
            .with_data_schema("https://example.org/s")
            .with_key("7")
            .with_user("ada")
            .with_tenant("t")
            .with_correlation_id("c")
            .with_causation_id("d")
            .with_trace(
                TraceContext::generate()
                    .with_state("a=b")
                    .with_baggage("k=v"),
            )
            .with_header("x-own", "1")
            .with_header("x-own", Bytes::from_static(&[0xff]))
    }

    #[test]
    fn a_message_reads_back_as_it_was() {
        let message = full();
        let key = message.key().map(|key| key.as_bytes().clone());
        let back = from_headers(&to_headers(&message), key, message.payload().clone());
        assert_eq!(back.expect("readable"), message);
    }

    #[test]
    fn each_bad_attribute_is_named() {
        let cases: [(&str, &[u8]); 7] = [
            (ID, b""),
            (TYPE, b""),
            (SOURCE, b""),
            (SPEC_VERSION, b"0.3"),
            (TIME, b"yesterday"),
            (DATA_VERSION, b"0"),
            (USER_ID, &[0xff]),
        ];
        for (name, value) in cases {
            let mut headers = to_headers(&full());
            headers.set(name, Bytes::copy_from_slice(value));
            let error = from_headers(&headers, None, Bytes::new()).expect_err(name);
            assert_eq!(error.kind(), Kind::Corrupt);
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = from_headers(&Headers::new(), None, Bytes::new()).expect_err("empty");
        assert!(error.to_string().contains(SPEC_VERSION), "{error}");
    }

    #[test]
    fn a_malformed_traceparent_is_dropped_not_fatal() {
        let mut headers = to_headers(&full());
        headers.set(TraceContext::TRACEPARENT, "nonsense");
        let message = from_headers(&headers, None, Bytes::new()).expect("readable");
        assert!(message.trace().is_empty());
    }
}
