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
pub(super) type Values<'a> = PerAttribute<Option<&'a [u8]>>;

/// The headers of a record by their meaning.
struct Sorted<'a> {
    attributes: Values<'a>,
    free: Headers,
}

pub(super) fn message(
    headers: &Headers,
    key: Option<Bytes>,
    payload: Option<Bytes>,
    timestamp: Option<DateTime<Utc>>,
) -> Result<Message, Error> {
    let Sorted { attributes, free } = sort(headers);
    let content_type = attributes[Attribute::ContentType as usize];
    // One that is not UTF-8 is reported with the other attributes.
    let content_type = content_type.and_then(|value| std::str::from_utf8(value).ok());
    let mut message = match content_type.map_or(Mode::Binary, Mode::of) {
        Mode::Binary => {
            let mut message = assemble(attributes, free, timestamp, Attribute::header)?;
            message.payload = payload;
            message
        }
        Mode::Json => {
            let mut beside = [None; Attribute::ALL.len()];
            for attribute in Attribute::ALL.into_iter().filter(|a| a.is_trace()) {
                beside[attribute as usize] = attributes[attribute as usize];
            }
            structured::read(beside, free, payload, timestamp)?
        }
        Mode::Unsupported => {
            return Err(corrupt(format!(
                "content-type is {}, allowed: one event per record, as \
                 application/cloudevents+json or in binary mode",
                Excerpt(content_type.unwrap_or_default())
            )));
        }
    };
    message.key = key.map(Key::from);
    Ok(message)
}

fn sort(headers: &Headers) -> Sorted<'_> {
    let mut attributes: Values<'_> = [None; Attribute::ALL.len()];
    let mut free = Headers::new();
    for (name, value, _) in headers.entries() {
        match name.attribute() {
            Some(attribute) => attributes[attribute as usize] = Some(&**value),
            None => free.push(name.clone(), value.clone()),
        }
    }
    Sorted { attributes, free }
}

/// A message without key and payload. `name` says what an attribute is called in this mode.
pub(super) fn assemble(
    values: Values<'_>,
    mut free: Headers,
    timestamp: Option<DateTime<Utc>>,
    name: fn(Attribute) -> &'static str,
) -> Result<Message, Error> {
    let block = Block::of(values, name)?;
    let required = |attribute| {
        let missing = || corrupt(format!("{} is missing or empty", name(attribute)));
        block.get(attribute).ok_or_else(missing)
    };
    let spec = required(Attribute::SpecVersion)?;
    if spec != VERSION {
        let (name, spec) = (name(Attribute::SpecVersion), Excerpt(spec));
        return Err(corrupt(format!("{name} is {spec}, allowed: {VERSION}")));
    }
    let time = match block.get(Attribute::Time) {
        Some(text) => time::parse(text).ok_or_else(|| {
            let (name, text) = (name(Attribute::Time), Excerpt(text));
            corrupt(format!("{name} is {text}, allowed: RFC 3339"))
        })?,
        None => timestamp.unwrap_or_else(|| SystemClock.now()),
    };
    let version = block.get(Attribute::DataVersion).unwrap_or("1");
    let is_version = |number: &u32| *number > 0;
    let version = version.parse().ok().filter(is_version).ok_or_else(|| {
        let (name, text) = (name(Attribute::DataVersion), Excerpt(version));
        corrupt(format!("{name} is {text}, allowed: a whole number from 1"))
    })?;
    Ok(Message {
        id: MessageId::from(block.part(required(Attribute::Id)?)),
        kind: block.part(required(Attribute::Type)?),
        source: block.part(required(Attribute::Source)?),
        version,
        time,
        subject: block.text(Attribute::Subject),
        content_type: block.text(Attribute::ContentType),
        data_schema: block.text(Attribute::DataSchema),
        key: None,
        user: block.text(Attribute::User),
        tenant: block.text(Attribute::Tenant),
        correlation_id: block.text(Attribute::Correlation),
        causation_id: block.text(Attribute::Causation),
        trace: trace_of(&block, &mut free),
        headers: free,
        payload: None,
    })
}

/// All texts of a message, copied into one piece of memory.
struct Block {
    all: Arc<str>,
    ends: PerAttribute<usize>,
}

impl Block {
    fn of(mut values: Values<'_>, name: fn(Attribute) -> &'static str) -> Result<Self, Error> {
        if let Some(block) = Self::if_utf8(&values)? {
            return Ok(block);
        }
        for (attribute, value) in Attribute::ALL.into_iter().zip(&mut values) {
            match std::str::from_utf8(value.unwrap_or_default()) {
                Ok(_) => {}
                Err(_) if attribute.is_trace() => *value = None,
                Err(source) => {
                    let name = name(attribute);
                    return Err(corrupt(format!("{name} is not UTF-8")).with_source(source));
                }
            }
        }
        Self::if_utf8(&values)?.ok_or_else(|| corrupt("an attribute is not UTF-8".to_owned()))
    }

    /// Checking all at once is faster than one by one.
    fn if_utf8(values: &Values<'_>) -> Result<Option<Self>, Error> {
        let long = values.iter().flatten().map(|value| value.len()).sum();
        if u32::try_from(long).is_err() {
            return Err(corrupt(format!("the attributes have {long} bytes")));
        }
        let mut all = Vec::with_capacity(long);
        let ends = values.map(|value| {
            all.extend_from_slice(value.unwrap_or_default());
            all.len()
        });
        let all = std::str::from_utf8(&all).ok();
        // A character may be whole only because two values stand together.
        let all = all.filter(|all| ends.iter().all(|end| all.is_char_boundary(*end)));
        Ok(all.map(|all| Self {
            all: all.into(),
            ends,
        }))
    }

    fn get(&self, attribute: Attribute) -> Option<&str> {
        let number = attribute as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        let text = self.all.get(start..self.ends[number])?;
        (!text.is_empty()).then_some(text)
    }

    fn text(&self, attribute: Attribute) -> Option<Text> {
        self.get(attribute).map(|text| self.part(text))
    }

    /// `text`, which stands in this block.
    fn part(&self, text: &str) -> Text {
        let start = text.as_ptr().addr().wrapping_sub(self.all.as_ptr().addr());
        match (u32::try_from(start), u32::try_from(start + text.len())) {
            (Ok(start), Ok(end)) => Text::Part(Arc::clone(&self.all), start, end),
            _ => Text::Whole(text.into()),
        }
    }
}

/// The extension is taken out of the free headers where it says nothing else.
fn trace_of(block: &Block, free: &mut Headers) -> TraceContext {
    let text = |text| match text {
        Cow::Borrowed(text) => block.part(text),
        Cow::Owned(text) => Text::Whole(text.into()),
    };
    let baggage = block.get(Attribute::Baggage).and_then(trace::baggage);
    let baggage = baggage.map(|baggage| block.part(baggage));
    let parent = block.get(Attribute::Traceparent).and_then(trace::parent);
    let state = parent.as_ref().and(block.get(Attribute::Tracestate));
    let state = state.and_then(trace::state);
    let Some((began, began_state)) = extension_trace(free) else {
        return TraceContext::of(parent.map(text), state.map(|s| block.part(s)), baggage);
    };
    let is_same = Some(&*began) == parent.as_deref() && began_state.as_deref() == state;
    if parent.is_none() || is_same {
        free.retain(|name| name != TRACEPARENT && name != TRACESTATE);
        let whole = |text: String| Text::Whole(text.into());
        return TraceContext::of(Some(whole(began)), began_state.map(whole), baggage);
    }
    TraceContext::of(parent.map(text), state.map(|s| block.part(s)), baggage)
}

/// The trace context that the distributed tracing extension holds, if it is well formed.
pub(in crate::message) fn extension_trace(free: &Headers) -> Option<(String, Option<String>)> {
    let parent = trace::parent(free.text(TRACEPARENT)?)?;
    let state = free.text(TRACESTATE).and_then(trace::state);
    Some((parent.into_owned(), state.map(str::to_owned)))
}
