use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::attribute::{Attribute, PerAttribute};
use super::media_type::Mode;
use super::{TRACEPARENT, TRACESTATE, VERSION, corrupt, structured, time};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::message::text::Text;
use crate::message::{Excerpt, Headers, Key, Message, MessageId, TraceContext, trace};

/// The values of the attributes; an empty one is none.
pub(super) type Values<'a> = PerAttribute<Option<&'a str>>;

/// The headers of a record by their meaning.
struct Sorted<'a> {
    attributes: PerAttribute<Option<&'a Bytes>>,
    free: Headers,
}

pub(super) fn message(
    headers: &Headers,
    key: Option<Bytes>,
    payload: Option<Bytes>,
    timestamp: Option<DateTime<Utc>>,
) -> Result<Message, Error> {
    let sorted = sort(headers);
    let content_type = sorted.text(Attribute::ContentType)?.unwrap_or_default();
    let mut message = match Mode::of(content_type) {
        Mode::Binary => {
            let values = sorted.texts()?;
            assemble(&values, sorted.free, timestamp, Attribute::header)?
        }
        Mode::Json => {
            let mut values = [None; Attribute::ALL.len()];
            for attribute in Attribute::ALL.into_iter().filter(|a| a.is_trace()) {
                values[attribute as usize] = sorted.text(attribute)?;
            }
            return structured::read(&values, sorted.free, payload, timestamp)
                .map(|message| with_key(message, key));
        }
        Mode::Unsupported => {
            return Err(corrupt(format!(
                "content-type is {}, allowed: one event per record, as \
                 application/cloudevents+json or in binary mode",
                Excerpt(content_type)
            )));
        }
    };
    message.payload = payload;
    Ok(with_key(message, key))
}

fn with_key(mut message: Message, key: Option<Bytes>) -> Message {
    message.key = key.map(Key::from);
    message
}

fn sort(headers: &Headers) -> Sorted<'_> {
    let mut attributes = [None; Attribute::ALL.len()];
    let mut free = Headers::new();
    for (name, value, _) in headers.entries() {
        match name.attribute() {
            Some(attribute) => attributes[attribute as usize] = Some(value),
            None => free.push(name.clone(), value.clone()),
        }
    }
    Sorted { attributes, free }
}

impl<'a> Sorted<'a> {
    fn texts(&self) -> Result<Values<'a>, Error> {
        let mut values = [None; Attribute::ALL.len()];
        for attribute in Attribute::ALL {
            values[attribute as usize] = self.text(attribute)?;
        }
        Ok(values)
    }

    fn text(&self, attribute: Attribute) -> Result<Option<&'a str>, Error> {
        let Some(value) = self.attributes[attribute as usize] else {
            return Ok(None);
        };
        match std::str::from_utf8(value) {
            Ok(text) => Ok((!text.is_empty()).then_some(text)),
            Err(_) if attribute.is_trace() => Ok(None),
            Err(source) => {
                let name = attribute.header();
                Err(corrupt(format!("{name} is not UTF-8")).with_source(source))
            }
        }
    }
}

/// A message without key and payload. `name` says what an attribute is called in this mode.
pub(super) fn assemble(
    values: &Values<'_>,
    mut free: Headers,
    timestamp: Option<DateTime<Utc>>,
    name: fn(Attribute) -> &'static str,
) -> Result<Message, Error> {
    let get = |attribute| values[attribute as usize];
    let required = |attribute| {
        let missing = || corrupt(format!("{} is missing or empty", name(attribute)));
        get(attribute).ok_or_else(missing)
    };
    let spec = required(Attribute::SpecVersion)?;
    if spec != VERSION {
        let (name, spec) = (name(Attribute::SpecVersion), Excerpt(spec));
        return Err(corrupt(format!("{name} is {spec}, allowed: {VERSION}")));
    }
    for attribute in [Attribute::Id, Attribute::Source, Attribute::Type] {
        required(attribute)?;
    }
    let time = match get(Attribute::Time) {
        Some(text) => time::parse(text).ok_or_else(|| {
            let (name, text) = (name(Attribute::Time), Excerpt(text));
            corrupt(format!("{name} is {text}, allowed: RFC 3339"))
        })?,
        None => timestamp.unwrap_or_else(|| SystemClock.now()),
    };
    let version = match get(Attribute::DataVersion) {
        Some(text) => text.parse().ok().filter(|version| *version > 0),
        None => Some(1),
    };
    let version = version.ok_or_else(|| {
        let text = Excerpt(get(Attribute::DataVersion).unwrap_or_default());
        let name = name(Attribute::DataVersion);
        corrupt(format!("{name} is {text}, allowed: a whole number from 1"))
    })?;
    let [parent, state, baggage] = &trace_of(values, &mut free);
    let mut values = *values;
    values[Attribute::Traceparent as usize] = parent.as_deref();
    values[Attribute::Tracestate as usize] = state.as_deref();
    values[Attribute::Baggage as usize] = baggage.as_deref();
    let mut texts = in_one_block(&values)?;
    let mut take = |attribute| texts[attribute as usize].take();
    let empty = Text::Static("");
    Ok(Message {
        id: MessageId::from(take(Attribute::Id).unwrap_or(empty.clone())),
        kind: take(Attribute::Type).unwrap_or(empty.clone()),
        source: take(Attribute::Source).unwrap_or(empty),
        version,
        time,
        subject: take(Attribute::Subject),
        content_type: take(Attribute::ContentType),
        data_schema: take(Attribute::DataSchema),
        key: None,
        user: take(Attribute::User),
        tenant: take(Attribute::Tenant),
        correlation_id: take(Attribute::Correlation),
        causation_id: take(Attribute::Causation),
        trace: TraceContext::of(
            take(Attribute::Traceparent),
            take(Attribute::Tracestate),
            take(Attribute::Baggage),
        ),
        headers: free,
        payload: None,
    })
}

/// Copies all texts of a message into one block.
fn in_one_block(values: &Values<'_>) -> Result<PerAttribute<Option<Text>>, Error> {
    let is_kept = |attribute: &Attribute| {
        use Attribute::{DataVersion, SpecVersion, Time};
        !matches!(attribute, SpecVersion | Time | DataVersion)
    };
    let kept = || Attribute::ALL.into_iter().filter(is_kept);
    let get = |attribute: Attribute| values[attribute as usize].unwrap_or_default();
    let long: usize = kept().map(|attribute| get(attribute).len()).sum();
    if u32::try_from(long).is_err() {
        return Err(corrupt(format!("the attributes have {long} bytes")));
    }
    let mut block = String::with_capacity(long);
    for attribute in kept() {
        block.push_str(get(attribute));
    }
    let block: Arc<str> = block.into();
    let mut texts = [const { None }; Attribute::ALL.len()];
    let mut start = 0;
    for attribute in kept() {
        let end = start + u32::try_from(get(attribute).len()).unwrap_or(0);
        if end > start {
            texts[attribute as usize] = Some(Text::Part(Arc::clone(&block), start, end));
        }
        start = end;
    }
    Ok(texts)
}

/// What to hold of `traceparent`, `tracestate` and `baggage`. The extension is taken out of the free
/// headers where it says nothing else.
fn trace_of<'a>(values: &Values<'a>, free: &mut Headers) -> [Option<Cow<'a, str>>; 3] {
    let get = |attribute| values[attribute as usize];
    let baggage = get(Attribute::Baggage).and_then(trace::baggage);
    let parent = get(Attribute::Traceparent).and_then(trace::parent);
    let state = parent.as_ref().and(get(Attribute::Tracestate));
    let state = state.and_then(trace::state).map(Cow::Borrowed);
    let (mut parent, mut state) = (parent, state);
    if let Some((began, began_state)) = extension_trace(free) {
        let says_the_same =
            Some(&*began) == parent.as_deref() && began_state.as_deref() == state.as_deref();
        if parent.is_none() || says_the_same {
            parent = Some(Cow::Owned(began));
            state = began_state.map(Cow::Owned);
            free.retain(|name| name != TRACEPARENT && name != TRACESTATE);
        }
    }
    [parent, state, baggage.map(Cow::Borrowed)]
}

/// The trace context that the distributed tracing extension holds, if it is well formed.
pub(in crate::message) fn extension_trace(free: &Headers) -> Option<(String, Option<String>)> {
    let parent = trace::parent(free.text(TRACEPARENT)?)?;
    let state = free.text(TRACESTATE).and_then(trace::state);
    Some((parent.into_owned(), state.map(str::to_owned)))
}
