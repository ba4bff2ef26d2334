use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Message;
use crate::error::{Error, Kind};

/// Turns typed events into payloads and back: [`Json`], or one of your own for Avro, Protobuf...
///
/// A codec deals with bytes only. Type, version and key come from the [`Event`](super::Event), and
/// are checked before [`decode`](Self::decode) is called.
///
/// # Examples
///
/// ```
/// use bowline::error::{Error, Kind};
/// use bowline::message::{Codec, Encoded, Event, Key, Message};
///
/// #[derive(Debug, PartialEq)]
/// struct Measured { celsius: f32 }
///
/// impl Event for Measured {
///     const TYPE: &'static str = "room.measured";
///     fn key(&self) -> Option<Key> { None }
/// }
///
/// /// Four bytes, as the sensors send them.
/// struct Sensor;
///
/// impl Codec<Measured> for Sensor {
///     fn encode(&self, event: &Measured) -> Result<Encoded, Error> {
///         let payload = event.celsius.to_be_bytes().to_vec();
///         Ok(Encoded::new(payload, "application/vnd.sensor"))
///     }
///
///     fn decode(&self, message: &Message) -> Result<Measured, Error> {
///         let bytes = message.payload().as_ref().try_into().map_err(|source| {
///             Error::new(Kind::Corrupt, "sensor", "decode").with_source(source)
///         })?;
///         Ok(Measured { celsius: f32::from_be_bytes(bytes) })
///     }
/// }
///
/// let message = Message::event_with(&Sensor, &Measured { celsius: 21.5 })?;
/// assert_eq!(message.payload().len(), 4);
/// assert_eq!(message.decode_with::<_, Measured>(&Sensor)?, Measured { celsius: 21.5 });
/// # Ok::<(), Error>(())
/// ```
pub trait Codec<E> {
    /// The payload that `event` is, and what it is written in.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the event cannot be written.
    fn encode(&self, event: &E) -> Result<Encoded, Error>;

    /// The event that the payload of `message` is.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] when it cannot be read. An error's text must not show the payload.
    fn decode(&self, message: &Message) -> Result<E, Error>;
}

/// A payload, and what it is written in.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    pub(super) payload: Bytes,
    pub(super) content_type: Arc<str>,
    pub(super) data_schema: Option<Arc<str>>,
}

/// The codec of [`Message::event`] and [`Message::decode`]: JSON by serde.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct Json;

impl Encoded {
    /// A payload in `content_type`.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>, content_type: impl Into<Arc<str>>) -> Self {
        Self {
            payload: payload.into(),
            content_type: content_type.into(),
            data_schema: None,
        }
    }

    /// Sets the URI of the schema, e.g. where a schema registry has it.
    #[must_use]
    pub fn with_data_schema(mut self, data_schema: impl Into<Arc<str>>) -> Self {
        self.data_schema = Some(data_schema.into());
        self
    }
}

/// Says what it is, and not what is in it: a payload may be a secret.
impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("content_type", &self.content_type)
            .field("data_schema", &self.data_schema)
            .finish()
    }
}

impl Json {
    pub(super) fn write<E: Serialize>(event: &E, kind: &'static str) -> Result<Bytes, Error> {
        let payload = serde_json::to_vec(event).map_err(|source| {
            Error::new(Kind::Invalid, "json", "encode")
                .with_detail(kind)
                .with_source(reason(&source))
        })?;
        Ok(payload.into())
    }

    pub(super) fn read<E: DeserializeOwned>(message: &Message) -> Result<E, Error> {
        let corrupt = || {
            let kind = super::text::Excerpt(message.kind());
            Error::new(Kind::Corrupt, "json", "decode").with_detail(kind.to_string())
        };
        if !message.has_payload() {
            return Err(corrupt().with_source("there is no payload"));
        }
        serde_json::from_slice(message.payload())
            .map_err(|source| corrupt().with_source(reason(&source)))
    }
}

impl<E: Serialize + DeserializeOwned> Codec<E> for Json {
    fn encode(&self, event: &E) -> Result<Encoded, Error> {
        let payload = Self::write(event, std::any::type_name::<E>())?;
        Ok(Encoded::new(payload, Message::JSON))
    }

    fn decode(&self, message: &Message) -> Result<E, Error> {
        Self::read(message)
    }
}

impl<E, C: Codec<E> + ?Sized> Codec<E> for Arc<C> {
    fn encode(&self, event: &E) -> Result<Encoded, Error> {
        (**self).encode(event)
    }

    fn decode(&self, message: &Message) -> Result<E, Error> {
        (**self).decode(message)
    }
}

/// What serde has to say, less what it repeats of the payload.
pub(super) fn reason(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let text = error.to_string();
    let (line, column) = (error.line(), error.column());
    // From the end: the payload may hold these words too.
    let said = match text.rsplit_once(" at line ") {
        Some((said, _)) if line > 0 => said,
        _ => &*text,
    };
    let expected = || {
        let (_, expected) = said.rsplit_once(", expected ")?;
        Some(format!("expected {expected}"))
    };
    let what = match error.classify() {
        // These come from serde_json itself, and name no values.
        Category::Io | Category::Syntax | Category::Eof => said.to_owned(),
        Category::Data if said.starts_with("missing field ") => said.to_owned(),
        Category::Data => expected().unwrap_or_else(|| "not what is expected".to_owned()),
    };
    let what = super::text::Excerpt(&what).to_string();
    if line == 0 {
        return what;
    }
    format!("{what} at line {line} column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_shows_nothing_of_the_payload() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only its shape is wanted")]
        struct Login {
            user: u64,
        }
        let secret = "hunter2, expected hunter2 at line ".repeat(100_000);
        let cases = [
            (format!(r#"{{"user": "{secret}"}}"#), "expected u64"),
            (format!(r#"{{"name": "{secret}"}}"#), "missing field `user`"),
            (format!(r#"{{"user": {secret}"#), "expected value"),
            (r#"{"user": 1"#.to_owned(), "EOF while parsing an object"),
        ];
        for (payload, expected) in cases {
            let error = serde_json::from_str::<Login>(&payload).expect_err("no login");
            let reason = reason(&error);
            assert!(reason.starts_with(expected), "{reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn a_custom_message_is_not_repeated() {
        let error = serde::de::Error::custom("token hunter2 is no good");
        assert_eq!(reason(&error), "not what is expected");
    }
}
