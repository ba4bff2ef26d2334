use std::collections::VecDeque;

use super::done::DoneSet;
use crate::broker::Committed;

/// Which records of one assignment are done, in whatever order they become so.
///
/// A plain value. Records are [begun](Self::begin) in offset order, whatever gaps the offsets have, and
/// get numbers without gaps, so that marking one as done is one access to a queue. The watermark is the
/// offset of the first record that is not done; when all are, the offset after the last one.
#[derive(Debug)]
pub(super) struct Offsets {
    /// From the watermark on.
    records: VecDeque<Record>,
    /// The number of the first of `records`.
    first: u64,
    /// The offset after the last record that was begun.
    next: Option<u64>,
    /// Done in an earlier assignment; they need not be done again.
    before: DoneSet,
    /// How many of `records` are done.
    done: usize,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    offset: u64,
    done: bool,
}

/// Tells a record from all others of its assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u64);

impl Offsets {
    /// Those of an assignment in which the group had come as far as `committed`.
    pub(super) fn new(committed: Option<&Committed>) -> Self {
        Self {
            records: VecDeque::new(),
            first: 0,
            next: None,
            before: committed.map(DoneSet::of).unwrap_or_default(),
            done: 0,
        }
    }

    /// The record at `offset` came; `None` when it was done in an earlier assignment.
    pub(super) fn begin(&mut self, offset: u64) -> Option<Number> {
        self.next = Some(offset.saturating_add(1));
        let done = self.before.take(offset);
        if done && self.records.is_empty() {
            return None;
        }
        let number = self.next();
        self.records.push_back(Record { offset, done });
        self.done += usize::from(done);
        (!done).then_some(number)
    }

    /// A record is done.
    pub(super) fn done(&mut self, number: Number) {
        let index = number
            .0
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok());
        let Some(record) = index.and_then(|index| self.records.get_mut(index)) else {
            return;
        };
        if std::mem::replace(&mut record.done, true) {
            return;
        }
        self.done += 1;
        while self.records.front().is_some_and(|record| record.done) {
            self.records.pop_front();
            self.first += 1;
            self.done -= 1;
        }
    }

    /// How far it has come; `None` before the first record.
    pub(super) fn watermark(&self) -> Option<u64> {
        let first = self.records.front().map(|record| record.offset);
        first.or(self.next)
    }

    /// How many records before `end`, the offset of the next that will come, are not done; `committed`
    /// is where the first one is to come from. Of those that have not come each offset counts that is
    /// not known to be done, whether there is a record or not. `None` when it is not known where the
    /// first one will be.
    pub(super) fn behind(&self, end: u64, committed: Option<u64>) -> Option<u64> {
        let empty = (end == 0).then_some(0);
        let next = self.next.or(committed).or(empty)?;
        let to_come = end.saturating_sub(next) - self.before.count(next, end);
        Some((self.records.len() - self.done) as u64 + to_come)
    }

    /// The number of the first record that is not done, or of the next that comes.
    pub(super) fn first(&self) -> Number {
        Number(self.first)
    }

    /// The number of the next record that comes.
    pub(super) fn next(&self) -> Number {
        Number(self.first + self.records.len() as u64)
    }

    /// How many records there are from the watermark on, done or not.
    pub(super) fn ahead(&self) -> usize {
        self.records.len()
    }

    /// Whether there are done records beyond the watermark, read or not yet.
    fn is_ragged(&self, next: u64) -> bool {
        self.done > 0 || !self.before.is_empty_from(next)
    }

    /// What to commit: the watermark, and what is done beyond it in at most `max` bytes of metadata. What
    /// an earlier assignment has done and nobody has read since is still to be known to the next one.
    pub(super) fn committed(&self, max: usize) -> Option<Committed> {
        let committed = Committed::new(self.watermark()?);
        let next = self.next?;
        if !self.is_ragged(next) {
            return Some(committed);
        }
        let records = self
            .records
            .iter()
            .map(|record| (record.offset, record.done));
        let unread = self.before.from(next);
        Some(match DoneSet::encode(records.chain(unread), max) {
            Some(metadata) => committed.with_metadata(metadata),
            None => committed,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 4096;

    fn begun(offsets: &mut Offsets, at: impl IntoIterator<Item = u64>) -> Vec<Number> {
        at.into_iter()
            .map(|offset| offsets.begin(offset).expect("not done before"))
            .collect()
    }

    #[test]
    fn the_watermark_stops_at_the_first_that_is_not_done() {
        let mut offsets = Offsets::new(None);
        assert_eq!(offsets.watermark(), None);
        let numbers = begun(&mut offsets, [3, 4, 9, 10]);
        assert_eq!(offsets.watermark(), Some(3));
        for (index, watermark) in [(3, 3), (1, 3), (0, 9), (2, 11)] {
            offsets.done(numbers[index]);
            assert_eq!(offsets.watermark(), Some(watermark));
        }
        assert_eq!(offsets.ahead(), 0);
        offsets.done(numbers[0]);
        assert_eq!(offsets.watermark(), Some(11), "done twice is done");
    }

    #[test]
    fn what_was_done_beyond_the_watermark_is_not_done_again() {
        let mut offsets = Offsets::new(None);
        let numbers = begun(&mut offsets, 5..10);
        for index in [1, 3, 4] {
            offsets.done(numbers[index]);
        }
        let committed = offsets.committed(MAX).expect("something was read");
        assert_eq!(committed.next, 5);

        let mut again = Offsets::new(Some(&committed));
        let came: Vec<_> = (5..12)
            .filter(|offset| again.begin(*offset).is_some())
            .collect();
        assert_eq!(came, [5, 7, 10, 11]);
    }

    #[test]
    fn gaps_between_records_in_hand_are_not_behind_and_what_was_done_before_neither() {
        let mut offsets = Offsets::new(None);
        assert_eq!(offsets.behind(0, None), Some(0));
        assert_eq!(offsets.behind(9, None), None, "the oldest may be anywhere");
        let numbers = begun(&mut offsets, [3, 7, 8]);
        assert_eq!(offsets.behind(12, None), Some(3 + 3));
        offsets.done(numbers[2]);
        assert_eq!(offsets.behind(12, None), Some(2 + 3));
        assert_eq!(
            offsets.behind(5, None),
            Some(2),
            "an end that was asked for before"
        );

        let committed = offsets.committed(MAX).expect("something was read");
        assert_eq!(committed.next, 3);
        let mut again = Offsets::new(Some(&committed));
        assert_eq!(again.behind(12, Some(3)), Some(9 - 1));
        assert!(again.begin(3).is_some());
        assert_eq!(again.behind(12, Some(3)), Some(9 - 1));
        assert!(again.begin(8).is_none());
        assert_eq!(again.behind(12, Some(3)), Some(1 + 3));
    }

    #[test]
    fn all_that_was_done_before_moves_the_watermark_by_itself() {
        let mut offsets = Offsets::new(None);
        let numbers = begun(&mut offsets, 0..3);
        offsets.done(numbers[1]);
        offsets.done(numbers[2]);
        let committed = offsets.committed(MAX);
        // The one that was not done is gone from the log.
        let mut again = Offsets::new(committed.as_ref());
        assert_eq!(again.begin(1), None);
        assert_eq!(again.begin(2), None);
        assert_eq!(again.watermark(), Some(3));
        assert_eq!(again.ahead(), 0);
    }

    #[test]
    fn a_commit_before_all_was_read_again_forgets_nothing_that_was_done() {
        let mut offsets = Offsets::new(None);
        let numbers = begun(&mut offsets, 0..10);
        for index in [2, 3, 6, 8] {
            offsets.done(numbers[index]);
        }
        let first = offsets.committed(MAX);
        for read in 1..10 {
            let mut second = Offsets::new(first.as_ref());
            let mut numbers = (0..read).filter_map(|offset| second.begin(offset));
            let number = numbers.next().expect("the first is not done");
            numbers.for_each(drop);
            second.done(number);
            let committed = second.committed(MAX).expect("something was read");
            assert_eq!(committed.next, 1);
            let mut third = Offsets::new(Some(&committed));
            let came: Vec<_> = (1..12)
                .filter(|offset| third.begin(*offset).is_some())
                .collect();
            assert_eq!(came, [1, 4, 5, 7, 9, 10, 11], "{read} were read");
        }
    }

    proptest! {
        /// Against sets of offsets, over any gaps and any order, with a crash in the middle.
        #[test]
        fn it_agrees_with_sets(
            gaps in proptest::collection::vec(1u64..4, 1..200),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..200),
            max in prop_oneof![Just(0usize), 1usize..60, Just(4096)],
        ) {
            let all: Vec<u64> = gaps
                .iter()
                .scan(0, |at, gap| { *at += gap; Some(*at) })
                .collect();
            let mut offsets = Offsets::new(None);
            let numbers = begun(&mut offsets, all.iter().copied());
            let mut done = BTreeSet::new();
            for index in order {
                let index = index.index(all.len());
                offsets.done(numbers[index]);
                done.insert(all[index]);
                let first = all.iter().find(|offset| !done.contains(offset));
                let end = all.last().map(|last| last + 1);
                prop_assert_eq!(offsets.watermark(), first.copied().or(end));
            }
            let committed = offsets.committed(max).expect("something was read");
            let length = committed.metadata.as_ref().map_or(0, |text| text.len());
            prop_assert!(length <= max);
            let mut again = Offsets::new(Some(&committed));
            for offset in all.iter().filter(|offset| **offset >= committed.next) {
                let skipped = again.begin(*offset).is_none();
                prop_assert!(!skipped || done.contains(offset), "lost {}", offset);
                if max == 4096 {
                    prop_assert_eq!(skipped, done.contains(offset));
                }
            }
        }
    }
}
