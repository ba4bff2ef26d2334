use serde::Serialize;
use serde::de::DeserializeOwned;

use super::text::{Excerpt, Text};
use super::{Codec, Json, Key, Message};
use crate::error::{Error, Kind};

/// A typed event: a stable name, a schema version and a key.
///
/// The name and version are part of the contract between services: renaming the Rust type changes
/// nothing on the wire. An event that serde can write and read is sent as JSON; for anything else
/// there is a [`Codec`].
///
/// # Older versions
///
/// Each version reads the one before, and so all of them:
///
/// ```
/// use bowline::error::Error;
/// use bowline::message::{Event, Key, Message};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct TaskCreatedV1 { task: u64 }
///
/// impl Event for TaskCreatedV1 {
///     const TYPE: &'static str = "task.created";
///     fn key(&self) -> Option<Key> { Some(Key::from(self.task.to_string())) }
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct TaskCreated { task: u64, title: String }
///
/// impl Event for TaskCreated {
///     const TYPE: &'static str = "task.created";
///     const VERSION: u32 = 2;
///     fn key(&self) -> Option<Key> { Some(Key::from(self.task.to_string())) }
///
///     fn upcast(older: &Message) -> Result<Self, Error> {
///         let TaskCreatedV1 { task } = older.decode()?;
///         Ok(Self { task, title: format!("task {task}") })
///     }
/// }
///
/// let old = Message::event(&TaskCreatedV1 { task: 7 })?;
/// assert_eq!(old.decode::<TaskCreated>()?, TaskCreated { task: 7, title: "task 7".into() });
/// # Ok::<(), Error>(())
/// ```
pub trait Event: Sized {
    /// The name on the wire, e.g. `task.completed`.
    const TYPE: &'static str;
    /// The version of the payload's schema, from 1.
    const VERSION: u32 = 1;

    /// The key that keeps the order, most often the id of the thing it is about.
    fn key(&self) -> Option<Key>;

    /// Reads the event out of a message of its type and an older version. It is not asked about
    /// newer ones.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when that version is not read: every one, unless this is written.
    fn upcast(older: &Message) -> Result<Self, Error> {
        Err(unexpected::<Self>(older))
    }
}

impl Message {
    /// A message with `event` as its JSON payload, and type, version and key from it.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the event cannot be written as JSON.
    pub fn event<E: Event + Serialize>(event: &E) -> Result<Self, Error> {
        let mut message = Self::of(Text::Static(E::TYPE), Some(Json::write(event, E::TYPE)?));
        message.version = E::VERSION;
        message.key = event.key();
        message.content_type = Some(Text::Static(Self::JSON));
        Ok(message)
    }

    /// A message with `event` as `codec` writes it, and type, version and key from it.
    ///
    /// # Errors
    ///
    /// Those of the codec: [`Kind::Invalid`] when the event cannot be written.
    pub fn event_with<C: Codec<E>, E: Event>(codec: &C, event: &E) -> Result<Self, Error> {
        let encoded = codec.encode(event)?;
        let mut message = Self::of(Text::Static(E::TYPE), Some(encoded.payload));
        message.version = E::VERSION;
        message.key = event.key();
        message.content_type = Text::unless_empty(encoded.content_type);
        message.data_schema = encoded.data_schema.and_then(Text::unless_empty);
        Ok(message)
    }

    /// The payload as the event `E`.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the type is not `E`'s, the version is newer, or it is older and
    /// [`Event::upcast`] does not read it. [`Kind::Corrupt`] when the payload is not the JSON that
    /// `E` expects, or there is none.
    pub fn decode<E: Event + DeserializeOwned>(&self) -> Result<E, Error> {
        self.decode_by(Json::read)
    }

    /// The payload as the event `E`, as `codec` reads it.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode) has them, those of the codec in place of JSON's.
    pub fn decode_with<C: Codec<E>, E: Event>(&self, codec: &C) -> Result<E, Error> {
        self.decode_by(|message| codec.decode(message))
    }

    fn decode_by<E: Event>(
        &self,
        decode: impl FnOnce(&Self) -> Result<E, Error>,
    ) -> Result<E, Error> {
        if self.kind() != E::TYPE || self.version() > E::VERSION {
            return Err(unexpected::<E>(self));
        }
        if self.version() == E::VERSION {
            return decode(self);
        }
        E::upcast(self)
    }
}

fn unexpected<E: Event>(message: &Message) -> Error {
    Error::new(Kind::Invalid, "event", "decode").with_detail(format!(
        "message is {} version {}, expected {} version {}",
        Excerpt(message.kind()),
        message.version(),
        E::TYPE,
        E::VERSION
    ))
}
