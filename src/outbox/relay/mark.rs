use std::sync::Arc;

use crate::broker::Committed;
use crate::error::{Error, Kind};
use crate::outbox::{Entry, EntryId, Position};

/// What the position in a broker's transaction says of the rows in it. It is written as
/// `1;<outbox>;<from>;log;<ids>;<position>` or `1;<outbox>;<from>;aside;<ids>`; an id is told by how much it
/// is above the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Whose rows they are.
    pub(super) outbox: Arc<str>,
    /// Where the store was: a hash, as the position itself may be long.
    pub(super) from: u64,
    pub(super) rows: Rows,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    /// The log has gone on to `next`, but for the rows that are left to be set aside.
    Log { next: Position, aside: Vec<EntryId> },
    /// These rows, which waited aside, were published.
    Aside(Vec<EntryId>),
}

impl Mark {
    pub(super) fn encode(&self) -> String {
        let Self { outbox, from, rows } = self;
        match rows {
            Rows::Log { next, aside } => {
                format!(
                    "1;{outbox};{from:x};log;{};{}",
                    encoded(aside),
                    next.as_str()
                )
            }
            Rows::Aside(ids) => format!("1;{outbox};{from:x};aside;{}", encoded(ids)),
        }
    }

    /// # Errors
    ///
    /// `Corrupt` when it is no mark.
    pub(super) fn decode(committed: &Committed) -> Result<Self, Error> {
        let text = committed.metadata.as_deref().unwrap_or_default();
        Self::parse(text).ok_or_else(|| {
            Error::new(Kind::Corrupt, "relay", "resume")
                .with_detail(format!("{text:?} is not the position of a relay"))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ';');
        let (version, outbox) = (parts.next()?, parts.next()?.into());
        let from = u64::from_str_radix(parts.next()?, 16).ok()?;
        let (kind, ids) = (parts.next()?, decoded(parts.next()?)?);
        let rows = match (version, kind, parts.next()) {
            ("1", "log", Some(next)) => Rows::Log {
                next: Position::new(next),
                aside: ids,
            },
            ("1", "aside", None) => Rows::Aside(ids),
            _ => return None,
        };
        Some(Self { outbox, from, rows })
    }

    /// How many of `entries`, from the first on, can be told of in so many bytes.
    pub(super) fn fitting(outbox: &Arc<str>, entries: &[Entry], max: usize) -> usize {
        let bare = Self {
            outbox: Arc::clone(outbox),
            from: u64::MAX,
            rows: Rows::Aside(Vec::new()),
        };
        let mut length = bare.encode().len();
        let mut last = 0;
        let fits = entries.iter().take_while(|entry| {
            length += step(last, entry.id).len() + 1;
            last = entry.id.value();
            // The last one is followed by nothing.
            length <= max + 1
        });
        fits.count()
    }
}

/// FNV-1a in 64 bits: the same everywhere, and in later versions.
pub(super) fn hash(position: &Position) -> u64 {
    let bytes = position.as_str().bytes();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn encoded(ids: &[EntryId]) -> String {
    let (mut text, mut last) = (String::new(), 0);
    for id in ids {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&step(last, *id));
        last = id.value();
    }
    text
}

fn step(last: i64, id: EntryId) -> String {
    id.value().wrapping_sub(last).to_string()
}

fn decoded(text: &str) -> Option<Vec<EntryId>> {
    let mut last = 0_i64;
    let steps = text.split_terminator(',');
    steps
        .map(|step| {
            last = last.wrapping_add(step.parse().ok()?);
            Some(EntryId::new(last))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;

    use super::*;
    use crate::broker::Record;

    fn ids(ids: &[i64]) -> Vec<EntryId> {
        ids.iter().copied().map(EntryId::new).collect()
    }

    fn mark(rows: Rows) -> Mark {
        Mark {
            outbox: "one".into(),
            from: u64::MAX,
            rows,
        }
    }

    #[test]
    fn a_mark_reads_back_as_it_was_written() {
        let log = |next, aside: &[i64]| Rows::Log {
            next: Position::new(next),
            aside: ids(aside),
        };
        for (rows, text) in [
            (
                log("10:20:;30:40:;5", &[]),
                "1;one;ffffffffffffffff;log;;10:20:;30:40:;5",
            ),
            (log("7", &[5, 7, 6]), "1;one;ffffffffffffffff;log;5,2,-1;7"),
            (
                Rows::Aside(ids(&[i64::MAX, 1])),
                "1;one;ffffffffffffffff;aside;9223372036854775807,-9223372036854775806",
            ),
        ] {
            let mark = mark(rows);
            assert_eq!(mark.encode(), text);
            assert_eq!(Mark::parse(text), Some(mark));
        }
    }

    #[test]
    fn positions_are_told_apart_the_same_way_for_ever() {
        let hash = |text| hash(&Position::new(text));
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn what_a_relay_has_not_written_is_refused() {
        for text in [
            "",
            "up to 5",
            "2;one;0;log;;7",
            "1;one;ffffffffffffffff;log;7",
            "1;one;ffffffffffffffff;aside;x",
            "1;one;ffffffffffffffff;aside;1;2",
        ] {
            let committed = Committed::new(1).with_metadata(text);
            let error = Mark::decode(&committed).expect_err("refused");
            assert_eq!(error.kind(), Kind::Corrupt, "{text}");
        }
        assert!(Mark::decode(&Committed::new(1)).is_err());
    }

    #[test]
    fn as_many_rows_are_taken_as_can_be_told_of() {
        let entries = ids(&[998, 999, 1_000, 2_000]);
        let entries: Vec<_> = entries
            .into_iter()
            .map(|id| Entry::new(id, Record::new("t", Bytes::new()), DateTime::default()))
            .collect();
        for (count, rows) in [
            (1, &[998][..]),
            (2, &[998, 999]),
            (4, &[998, 999, 1_000, 2_000]),
        ] {
            let length = mark(Rows::Aside(ids(rows))).encode().len();
            assert_eq!(Mark::fitting(&"one".into(), &entries, length), count);
            assert_eq!(
                Mark::fitting(&"one".into(), &entries, length - 1),
                count - 1
            );
        }
    }
}
