use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use super::BoxError;

/// What failed at a store, a broker or a registry, and what that means for the caller.
///
/// The text says what was being done and never repeats the source, a payload, a password or a URL;
/// log it with [`Chain`](super::Chain) to see the causes too.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    backend: &'static str,
    operation: &'static str,
    detail: Option<Cow<'static, str>>,
    source: Option<BoxError>,
}

/// The kinds of [`Error`].
///
/// A kind is transient only on evidence from the driver; what cannot be placed is [`Kind::Other`],
/// which is permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The component was closed; no call will succeed any more.
    Closed,
    /// The thing exists already, or a version check failed.
    Conflict,
    /// Lost against a concurrent transaction or a lock; trying again can succeed. Transient.
    Contention,
    /// Stored or received data cannot be read.
    Corrupt,
    /// The lease or epoch is no longer ours; somebody else took over.
    Fenced,
    /// No room left: disk, quota or memory.
    Full,
    /// The caller's value is not acceptable.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// Could not be placed; treated as permanent.
    Other,
    /// The database or file may only be read.
    ReadOnly,
    /// A table is missing, or the schema has a version this build does not know.
    Schema,
    /// The other side asked us to slow down. Transient.
    Throttled,
    /// No answer in time; the effect is unknown. Transient.
    Timeout,
    /// The value is larger than the back-end takes.
    TooLarge,
    /// Wrong credentials or missing rights.
    Unauthorized,
    /// The other side cannot be reached. Transient.
    Unavailable,
}

impl Error {
    /// An error of `kind` while `backend` did `operation`, e.g. `("postgres", "enqueue")`.
    #[must_use]
    pub fn new(kind: Kind, backend: &'static str, operation: &'static str) -> Self {
        Self(Box::new(Inner {
            kind,
            backend,
            operation,
            detail: None,
            source: None,
        }))
    }

    /// Adds one sentence for a person: which value, and what is allowed. Never a secret.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether the same call may succeed later without a person's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.kind.is_transient()
    }

    /// The back-end that failed: `memory`, `sqlite`, `postgres`, `redis`, `kafka`...
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.0.backend
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The sentence for a person, if there is one.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}

impl Kind {
    /// Whether the same call may succeed later without a person's help.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Contention | Self::Throttled | Self::Timeout | Self::Unavailable
        )
    }

    /// The kind in words, as it stands in an error's text and in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Conflict => "conflict",
            Self::Contention => "contention",
            Self::Corrupt => "corrupt data",
            Self::Fenced => "fenced",
            Self::Full => "no room left",
            Self::Invalid => "invalid value",
            Self::NotFound => "not found",
            Self::Other => "failed",
            Self::ReadOnly => "read-only",
            Self::Schema => "schema mismatch",
            Self::Throttled => "throttled",
            Self::Timeout => "timed out",
            Self::TooLarge => "too large",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            backend,
            operation,
            detail,
            ..
        } = &*self.0;
        write!(f, "{backend} {operation}: {kind}")?;
        match detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("backend", &self.0.backend)
            .field("operation", &self.0.operation)
            .field("detail", &self.0.detail)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
