use std::collections::{BTreeMap, BTreeSet};

/// What is known of one partition.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Every record that is known to be there at some time of the history.
    pub(super) known: BTreeSet<u64>,
    pub(super) acknowledged: BTreeSet<u64>,
    /// What somebody has done so far.
    pub(super) done: BTreeSet<u64>,
    /// The others, and those of each key that keeps its order.
    undone: BTreeSet<u64>,
    undone_of_key: BTreeMap<String, BTreeSet<u64>>,
    /// How far the group had come at the least.
    pub(super) committed: u64,
    /// The tenures so far, by their numbers.
    pub(super) tenures: Vec<usize>,
}

impl Ledger {
    /// There is a record, at some time of the history.
    pub(super) fn know(&mut self, offset: u64, key: Option<&str>) {
        self.known.insert(offset);
        self.undone.insert(offset);
        if let Some(key) = key {
            let of_key = self.undone_of_key.entry(key.to_owned()).or_default();
            of_key.insert(offset);
        }
    }

    /// Somebody has done a record.
    pub(super) fn done(&mut self, offset: u64, key: Option<&str>) {
        self.done.insert(offset);
        self.undone.remove(&offset);
        if let Some(of_key) = key.and_then(|key| self.undone_of_key.get_mut(key)) {
            of_key.remove(&offset);
        }
    }

    /// The first record before `next` that nobody has done.
    pub(super) fn undone_before(&self, next: u64) -> Option<u64> {
        self.undone.range(..next).next().copied()
    }

    /// The first record of `key` before `offset` that nobody has done.
    pub(super) fn undone_of(&self, key: &str, offset: u64) -> Option<u64> {
        let of_key = self.undone_of_key.get(key)?;
        of_key.range(..offset).next().copied()
    }

    /// The offset after the last record.
    pub(super) fn end(&self) -> u64 {
        self.known.last().map_or(0, |last| last + 1)
    }
}
