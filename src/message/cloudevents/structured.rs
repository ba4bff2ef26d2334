//! The JSON format of CloudEvents, as structured mode has it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::attribute::{self, Attribute};
use super::media_type::{Data, is_utf8_text};
use super::members::{Members, Value};
use super::read::{Values, assemble};
use super::{STRUCTURED, TRACEPARENT, TRACESTATE, base64, binary, corrupt, time};
use crate::error::{Error, Kind};
use crate::message::headers::{Form, HeaderName};
use crate::message::{Headers, Message, TraceContext};

const DATA: &str = "data";
const DATA_BASE64: &str = "data_base64";

pub(super) fn write(message: &Message) -> Result<(Headers, Bytes), Error> {
    let mut document = Document::default();
    let texts = binary::texts(message);
    for attribute in Attribute::ALL {
        let Some(member) = attribute.member() else {
            continue;
        };
        match attribute {
            Attribute::Time => {
                let mut text = String::with_capacity(time::LONGEST);
                time::push(&mut text, message.time);
                document.text(member, &text)?;
            }
            Attribute::DataVersion => document.literal(member, &message.version.to_string())?,
            _ => {
                if let Some(text) = texts[attribute as usize] {
                    document.text(member, text)?;
                }
            }
        }
    }
    let mut headers = Headers::with_capacity(4 + message.headers.len());
    headers.push(
        Attribute::ContentType,
        Bytes::from_static(STRUCTURED.as_bytes()),
    );
    for attribute in Attribute::ALL.into_iter().filter(|a| a.is_trace()) {
        if let Some(text) = texts[attribute as usize] {
            headers.push(attribute, Bytes::copy_from_slice(text.as_bytes()));
        }
    }
    let of_its_own = message
        .headers
        .iter()
        .any(|(name, _)| name == TRACEPARENT || name == TRACESTATE);
    if !of_its_own {
        let trace = message.trace();
        for (name, text) in [
            (TraceContext::TRACEPARENT, trace.traceparent()),
            (TraceContext::TRACESTATE, trace.tracestate()),
        ] {
            if let Some(text) = text {
                document.text(name, text)?;
            }
        }
    }
    write_free(message.headers(), &mut document, &mut headers)?;
    if let Some(payload) = &message.payload {
        document.data(payload, message.content_type())?;
    }
    Ok((headers, document.end()))
}

/// Extensions go into the document, what cannot be one stays a header.
fn write_free(free: &Headers, document: &mut Document, headers: &mut Headers) -> Result<(), Error> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let extensions = free
        .iter()
        .filter_map(|(name, _)| attribute::extension(name));
    for name in extensions {
        *counts.entry(name).or_default() += 1;
    }
    for (name, value, form) in free.entries() {
        let member = attribute::extension(name.as_str()).filter(|name| counts[name] == 1);
        match (member, std::str::from_utf8(value)) {
            (Some(member), Ok(literal)) if form == Form::Literal => {
                document.literal(member, literal)?;
            }
            (Some(member), Ok(text)) => document.text(member, text)?,
            _ => headers.push(name.clone(), value.clone()),
        }
    }
    Ok(())
}

pub(super) fn read(
    beside: Values<'_>,
    mut free: Headers,
    payload: Option<Bytes>,
    timestamp: Option<DateTime<Utc>>,
) -> Result<Message, Error> {
    let document = payload.ok_or_else(|| corrupt("the document is missing".to_owned()))?;
    let mut members = Members::read(&document)?;
    let data = Taken {
        data: members.take(DATA),
        base64: members.take(DATA_BASE64),
    };
    let mut attributes = [const { None }; Attribute::ALL.len()];
    let mut extensions = Vec::new();
    for (name, raw) in members.rest() {
        let Some(value) = Value::of(&name, raw)? else {
            continue;
        };
        match Attribute::of_member(&name) {
            Some(attribute) => attributes[attribute as usize] = Some(value.text),
            None if attribute::is_extension(&name) => extensions.push((name, value)),
            None => {
                let name = crate::message::Excerpt(&name);
                let allowed = "names of a to z and 0 to 9";
                return Err(corrupt(format!("member {name}, allowed: {allowed}")));
            }
        }
    }
    let content_type = &mut attributes[Attribute::ContentType as usize];
    let payload = data.payload(&document, content_type)?;
    let mut values = beside;
    for (text, value) in attributes.iter().zip(&mut values) {
        *value = text.as_deref().map(str::as_bytes).or(*value);
    }
    add(extensions, &mut free);
    let name = |attribute: Attribute| attribute.member().unwrap_or(attribute.header());
    let mut message = assemble(values, free, timestamp, name)?;
    message.payload = payload;
    Ok(message)
}

/// Adds the document's extensions in place of headers that are called as they are.
fn add(extensions: Vec<(Cow<'_, str>, Value<'_>)>, free: &mut Headers) {
    if extensions.is_empty() {
        return;
    }
    if !free.is_empty() {
        let names: HashSet<&str> = extensions.iter().map(|(name, _)| &**name).collect();
        let mirrored = |name: &str| names.contains(name);
        free.retain(|name| !name.strip_prefix("ce_").is_some_and(mirrored));
    }
    for (name, value) in extensions {
        let name = HeaderName::from(format!("ce_{name}"));
        let text = value.text.into_owned();
        free.push_as(name, Bytes::from(text), value.form);
    }
}

struct Taken<'a> {
    data: Option<&'a RawValue>,
    base64: Option<&'a RawValue>,
}

impl Taken<'_> {
    fn payload(
        &self,
        document: &Bytes,
        content_type: &mut Option<Cow<'_, str>>,
    ) -> Result<Option<Bytes>, Error> {
        let base64 = match self.base64 {
            Some(raw) => Value::of(DATA_BASE64, raw)?,
            None => None,
        };
        match (self.data, base64) {
            (Some(_), Some(_)) => {
                let both = "data and data_base64 are both there, allowed: one of them";
                Err(corrupt(both.to_owned()))
            }
            (None, Some(value)) if value.form == Form::Text => base64::decode(&value.text)
                .map(|bytes| Some(bytes.into()))
                .ok_or_else(not_base64),
            (None, Some(_)) => Err(not_base64()),
            (None, None) => Ok(None),
            (Some(raw), None) => {
                let given = content_type.take().filter(|text| !text.is_empty());
                let content_type = content_type.insert(given.unwrap_or(Message::JSON.into()));
                read_data(document, raw, content_type)
            }
        }
    }
}

fn read_data(document: &Bytes, raw: &RawValue, content_type: &str) -> Result<Option<Bytes>, Error> {
    if Data::of(content_type) == Data::Json {
        return Ok(Some(document.slice_ref(raw.get().as_bytes())));
    }
    let text = || {
        let content_type = crate::message::Excerpt(content_type);
        corrupt(format!(
            "data of {content_type}, allowed: a text in UTF-8, or data_base64"
        ))
    };
    // Some write it for no data at all.
    let Some(value) = Value::of(DATA, raw).map_err(|_not_a_text| text())? else {
        return Ok(None);
    };
    if value.form != Form::Text || !is_utf8_text(content_type) {
        return Err(text());
    }
    Ok(Some(value.text.into_owned().into()))
}

fn not_base64() -> Error {
    corrupt("data_base64 is not base64".to_owned())
}

/// A JSON object that is being written.
#[derive(Default)]
struct Document(Vec<u8>);

impl Document {
    fn text(&mut self, name: &str, text: &str) -> Result<(), Error> {
        self.name(name)?;
        self.string(text)
    }

    /// A value that is JSON already.
    fn literal(&mut self, name: &str, literal: &str) -> Result<(), Error> {
        self.name(name)?;
        self.0.extend_from_slice(literal.as_bytes());
        Ok(())
    }

    fn data(&mut self, payload: &Bytes, content_type: Option<&str>) -> Result<(), Error> {
        let text = std::str::from_utf8(payload).ok();
        match (content_type.map(Data::of), text) {
            (Some(Data::Json), Some(json)) if is_json(json) => self.literal(DATA, json),
            (Some(Data::Text), Some(text)) => self.text(DATA, text),
            _ => {
                self.name(DATA_BASE64)?;
                self.0.push(b'"');
                base64::encode(payload, &mut self.0);
                self.0.push(b'"');
                Ok(())
            }
        }
    }

    fn name(&mut self, name: &str) -> Result<(), Error> {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.string(name)?;
        self.0.push(b':');
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        serde_json::to_writer(&mut self.0, text).map_err(|source| {
            Error::new(Kind::Invalid, "cloudevents", "encode").with_source(source)
        })
    }

    fn end(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }
}

/// Whether it can stand in a document and be read back as it is.
fn is_json(payload: &str) -> bool {
    let raw = serde_json::from_str::<&RawValue>(payload);
    raw.is_ok_and(|raw| raw.get().len() == payload.len())
}
