use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Key, Message};
use crate::error::{Error, Kind};

/// A typed event: a stable name, a schema version and a key, with JSON as its payload.
///
/// The name and version are part of the contract between services: renaming the Rust type changes
/// nothing on the wire.
pub trait Event: Serialize + DeserializeOwned {
    /// The name on the wire, e.g. `task.completed`.
    const TYPE: &'static str;
    /// The version of the payload's schema, from 1.
    const VERSION: u32 = 1;

    /// The key that keeps the order, most often the id of the thing it is about.
    fn key(&self) -> Option<Key>;
}

impl Message {
    /// A message with `event` as its JSON payload, and type, version and key from it.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the event cannot be written as JSON.
    pub fn event<E: Event>(event: &E) -> Result<Self, Error> {
        let payload = serde_json::to_vec(event).map_err(|source| {
            Error::new(Kind::Invalid, "json", "encode")
                .with_detail(E::TYPE)
                .with_source(source)
        })?;
        let message = Self::new(E::TYPE, payload)
            .with_version(E::VERSION)
            .with_content_type(Self::JSON);
        Ok(match event.key() {
            Some(key) => message.with_key(key),
            None => message,
        })
    }

    /// The payload as the event `E`.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when type or version are not `E`'s, [`Kind::Corrupt`] when the payload is
    /// not the JSON that `E` expects.
    pub fn decode<E: Event>(&self) -> Result<E, Error> {
        if self.kind() != E::TYPE || self.version() != E::VERSION {
            return Err(
                Error::new(Kind::Invalid, "json", "decode").with_detail(format!(
                    "message is {} version {}, expected {} version {}",
                    self.kind(),
                    self.version(),
                    E::TYPE,
                    E::VERSION
                )),
            );
        }
        serde_json::from_slice(self.payload()).map_err(|source| {
            Error::new(Kind::Corrupt, "json", "decode")
                .with_detail(E::TYPE)
                .with_source(source)
        })
    }
}
