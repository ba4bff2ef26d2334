use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::broker::{Position, Record};

/// A record that a consumer group could not handle, and why.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its id.
    pub id: LetterId,
    /// The consumer group that failed.
    pub group: Arc<str>,
    /// Where the record stands in its topic.
    pub position: Position,
    /// The record as it came.
    pub record: Record,
    /// Why it could not be handled, last time.
    pub reason: Reason,
    /// How often the group has dead-lettered this record.
    pub failures: u32,
    /// When it was dead-lettered first.
    pub first_failed_at: DateTime<Utc>,
    /// When it was dead-lettered last.
    pub last_failed_at: DateTime<Utc>,
    /// What is to be done with it.
    pub state: State,
    /// How often it was redriven.
    pub redrives: u32,
}

/// The id of a dead letter, derived from group and position or given by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct LetterId(Uuid);

/// Why a record could not be handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reason {
    /// A short, stable name of the kind of failure, e.g. `corrupt data`; for grouping.
    pub kind: Arc<str>,
    /// The error with its causes, at most [`Reason::MAX_MESSAGE`] bytes.
    pub message: Arc<str>,
}

/// What is to be done with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// Somebody decided to drop it.
    Discarded,
    /// It waits for a decision.
    Open,
    /// It is being sent back to its topic.
    Redriving,
    /// It was sent back to its topic.
    Redriven,
}

impl DeadLetter {
    /// An open dead letter that failed at `now` for the first time.
    #[must_use]
    pub fn new(
        group: impl Into<Arc<str>>,
        position: Position,
        record: Record,
        reason: Reason,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id: LetterId(Uuid::now_v7()),
            group: group.into(),
            position,
            record,
            reason,
            failures: 1,
            first_failed_at: now,
            last_failed_at: now,
            state: State::Open,
            redrives: 0,
        }
    }
}

impl DeadLetter {
    /// Tells records apart that stand at the same position one after the other, as when their topic
    /// was made anew. FNV-1a over key and payload: the same for ever, and the headers of a redrive
    /// change nothing. See <https://datatracker.ietf.org/doc/html/rfc9923>.
    pub(super) fn digest(&self) -> i64 {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let part = |hash: u64, part: Option<&bytes::Bytes>| {
            let length = part.map_or(u64::MAX, |bytes| bytes.len() as u64);
            let bytes = part.into_iter().flatten().copied();
            let all = length.to_le_bytes().into_iter().chain(bytes);
            all.fold(hash, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(PRIME)
            })
        };
        let key = part(BASIS, self.record.key.as_ref());
        part(key, self.record.payload.as_ref()).cast_signed()
    }
}

impl LetterId {
    /// The id as a UUID.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for LetterId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl std::str::FromStr for LetterId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Reason {
    /// The longest message that is kept, in bytes.
    pub const MAX_MESSAGE: usize = 8 * 1024;

    /// A reason of `kind`; a longer message is cut.
    #[must_use]
    pub fn new(kind: impl Into<Arc<str>>, message: &str) -> Self {
        let end = message.floor_char_boundary(Self::MAX_MESSAGE);
        Self {
            kind: kind.into(),
            message: message[..end].into(),
        }
    }
}

impl State {
    /// The state that [`as_str`](Self::as_str) writes as `text`.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let all = [Self::Discarded, Self::Open, Self::Redriving, Self::Redriven];
        all.into_iter().find(|state| state.as_str() == text)
    }

    /// The state in one word, as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Discarded => "discarded",
            Self::Open => "open",
            Self::Redriving => "redriving",
            Self::Redriven => "redriven",
        }
    }
}
