use std::cmp::Reverse;

use crate::driver::postgres::BACKEND;
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;
use crate::outbox::Position;

/// What a transaction could see, as `pg_snapshot` writes it: `xmin:xmax:xip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    text: String,
    xmax: String,
    running: Vec<String>,
    /// How it stands to others of the same cluster: of two, one sees all that the other does.
    order: (u64, Reverse<usize>),
}

/// How far the log is settled, or was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// All that this snapshot sees.
    After(Snapshot),
    /// All that `seen` sees, and what `until` sees up to row `last`.
    Within {
        seen: Snapshot,
        until: Snapshot,
        last: i64,
    },
}

impl Snapshot {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (xmin, xmax, running) = (parts.next()?, parts.next()?, parts.next()?);
        let is_number = |part: &str| part.parse::<u64>().is_ok();
        let running: Vec<_> = running.split_terminator(',').map(str::to_owned).collect();
        let is_whole = parts.next().is_none() && is_number(xmin) && is_number(xmax);
        (is_whole && running.iter().all(|xid| is_number(xid))).then(|| Self {
            text: text.to_owned(),
            order: (xmax.parse().unwrap_or_default(), Reverse(running.len())),
            xmax: xmax.to_owned(),
            running,
        })
    }

    /// How many transactions began between this and `later`, those that had no number left out.
    pub(super) fn until(&self, later: &Self) -> u64 {
        later.order.0.saturating_sub(self.order.0)
    }

    /// Whether `other` sees more than this.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.order < other.order
    }

    /// The one that sees less.
    pub(super) fn first(self, other: Self) -> Self {
        if other.is_before(&self) { other } else { self }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The first transaction that had not ended, of those that were not running.
    pub(super) fn xmax(&self) -> &str {
        &self.xmax
    }

    /// The transactions before that one that were running.
    pub(super) fn running(&self) -> &[String] {
        &self.running
    }
}

impl Place {
    /// # Errors
    ///
    /// [`Kind::Invalid`] when `text` is no place.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.split(';');
        let place = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(seen), None, None, None) => Snapshot::parse(seen).map(Self::After),
            (Some(seen), Some(until), Some(last), None) => Self::within(seen, until, last),
            _ => None,
        };
        place.ok_or_else(|| Position::unknown(text, BACKEND))
    }

    fn within(seen: &str, until: &str, last: &str) -> Option<Self> {
        Some(Self::Within {
            seen: Snapshot::parse(seen)?,
            until: Snapshot::parse(until)?,
            last: last.parse().ok()?,
        })
    }

    /// What is settled or read as a whole.
    pub(super) fn seen(&self) -> &Snapshot {
        let (Self::After(seen) | Self::Within { seen, .. }) = self;
        seen
    }

    /// Whether it speaks of transactions that have not begun at `now`: it is none of this database then.
    pub(super) fn is_after(&self, now: &Snapshot) -> bool {
        let (Self::After(newest) | Self::Within { until: newest, .. }) = self;
        newest.order.0 > now.order.0
    }

    pub(super) fn position(&self) -> Position {
        match self {
            Self::After(seen) => Position::new(seen.text()),
            Self::Within { seen, until, last } => {
                Position::new(format!("{};{};{last}", seen.text(), until.text()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_place_reads_back_as_it_was_written() {
        for text in ["1:1:", "10:20:10,14,15", "10:20:10;20:30:;-1"] {
            let place = Place::parse(text).expect("a place");
            assert_eq!(place.position().as_str(), text);
        }
        let Place::After(snapshot) = Place::parse("10:20:10,14").expect("a place") else {
            panic!("not within a window");
        };
        assert_eq!(snapshot.xmax(), "20");
        assert_eq!(snapshot.running(), ["10", "14"]);
    }

    #[test]
    fn of_two_snapshots_one_is_before_the_other() {
        let in_order = ["1:1:", "10:20:10,14", "14:20:14", "20:20:", "14:21:14"];
        let parsed = in_order.map(|text| Snapshot::parse(text).expect("a snapshot"));
        for (index, one) in parsed.iter().enumerate() {
            for (other_index, other) in parsed.iter().enumerate() {
                assert_eq!(
                    one.is_before(other),
                    index < other_index,
                    "{one:?} {other:?}"
                );
            }
        }
        assert_eq!(parsed[0].until(&parsed[1]), 19);
        assert_eq!(parsed[1].until(&parsed[0]), 0);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let nonsense = [
            "",
            "1",
            "1:2",
            "1:2:3:4",
            "a:2:",
            "1:2:x",
            "1:2:;1:2:",
            "1:2:;1:2:;x",
        ];
        for text in nonsense {
            let error = Place::parse(text).expect_err("refused");
            assert_eq!(error.kind(), Kind::Invalid, "{text}");
        }
    }
}
