use std::collections::BTreeMap;

use super::bucket::Place;

/// How many gaps are remembered. More are given back at once only by a crowd that gave up waiting; what
/// is beyond them is lost.
const MOST: usize = 1_024;

/// Places that were given back while others stood behind them: pieces of time that belong to nobody,
/// none next to another.
#[derive(Debug, Default)]
pub(super) struct Gaps(BTreeMap<u64, u64>);

impl Gaps {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes in a place that nobody holds any more.
    pub(super) fn insert(&mut self, place: Place) {
        let Place { mut start, mut end } = place;
        if let Some(next) = self.0.remove(&end) {
            end = next;
        }
        if let Some((&before, &ends)) = self.0.range(..start).next_back()
            && ends == start
        {
            start = before;
        }
        if self.0.len() < MOST || self.0.contains_key(&start) {
            self.0.insert(start, end);
        }
    }

    /// Takes out the gap that ends at `end`, where nobody stands behind it.
    pub(super) fn remove_ending_at(&mut self, end: u64) -> Option<Place> {
        let last = self.0.last_entry()?;
        if *last.get() != end {
            return None;
        }
        let (start, end) = last.remove_entry();
        Some(Place { start, end })
    }

    /// The first place of length `cost` in time that is not older than `oldest`.
    pub(super) fn find(&self, cost: u64, oldest: u64) -> Option<Place> {
        self.0.iter().find_map(|(start, ends)| {
            let start = (*start).max(oldest);
            let end = start.checked_add(cost)?;
            (end <= *ends).then_some(Place { start, end })
        })
    }

    /// Takes a place that [`find`](Self::find) has found. What is before it is too old.
    pub(super) fn take(&mut self, place: Place) {
        let Some((&start, &end)) = self.0.range(..=place.start).next_back() else {
            return;
        };
        self.0.remove(&start);
        if place.end < end {
            self.0.insert(place.end, end);
        }
    }

    /// Forgets what is older than `oldest`.
    pub(super) fn forget(&mut self, oldest: u64) {
        while let Some(first) = self.0.first_entry()
            && *first.get() <= oldest
        {
            first.remove();
        }
    }

    /// How many permits of `interval` there are between `oldest` and `now`.
    pub(super) fn permits(&self, interval: u64, oldest: u64, now: u64) -> u64 {
        let ripe = |(start, end): (&u64, &u64)| {
            let time = (*end).min(now).saturating_sub((*start).max(oldest));
            time / interval.max(1)
        };
        self.0.iter().map(ripe).sum()
    }
}
