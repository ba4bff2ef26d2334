use std::fmt;
use std::sync::Arc;

use crate::broker::Delivery;
use crate::error::Error;

/// What must be done once: a scope (a consumer group, an endpoint) and an id inside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    scope: Arc<str>,
    id: Arc<str>,
}

impl Key {
    /// `id` inside `scope`.
    #[must_use]
    pub fn new(scope: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self {
            scope: scope.into(),
            id: id.into(),
        }
    }

    /// A message for one consumer group. A message is its source and its id together, so both are
    /// in the key; the length keeps two pairs from looking alike.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`](crate::error::Kind::Corrupt) when the delivery is no message.
    pub fn of(delivery: &Delivery) -> Result<Self, Error> {
        let message = delivery.try_message()?;
        let source = message.source();
        let id = format!("{}:{source}:{}", source.len(), message.id());
        Ok(Self {
            scope: Arc::clone(delivery.group()),
            id: id.into(),
        })
    }

    /// The scope.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The id inside the scope.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.id)
    }
}

/// What was asked under a key, so that another request under the same key is noticed.
///
/// Two requests are the same when their fingerprints are equal; use a strong digest or the request
/// itself, never a checksum.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(Arc<str>);

impl Fingerprint {
    /// The fingerprint `text`.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
