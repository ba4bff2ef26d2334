use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

use super::text::Text;

/// The id of a message: a UUID version 7 when made here, any text when it came from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Text);

impl MessageId {
    /// A new id that sorts after earlier ones of this process.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "two calls give two ids, a default would not"
    )]
    pub fn new() -> Self {
        Self::from(Uuid::now_v7())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn text(&self) -> &Text {
        &self.0
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self(Text::Whole(id.into()))
    }
}

impl From<Text> for MessageId {
    fn from(id: Text) -> Self {
        Self(id)
    }
}

impl From<Uuid> for MessageId {
    fn from(id: Uuid) -> Self {
        let mut text = Uuid::encode_buffer();
        let text: &str = id.hyphenated().encode_lower(&mut text);
        Self(Text::Whole(text.into()))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The bytes that decide which messages keep their order among each other.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

impl Key {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl From<Bytes> for Key {
    fn from(key: Bytes) -> Self {
        Self(key)
    }
}

impl From<String> for Key {
    fn from(key: String) -> Self {
        Self(key.into())
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        Self(Bytes::copy_from_slice(key.as_bytes()))
    }
}

impl From<Uuid> for Key {
    fn from(key: Uuid) -> Self {
        Self(key.to_string().into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", String::from_utf8_lossy(&self.0))
    }
}
