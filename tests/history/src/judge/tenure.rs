use std::collections::{BTreeMap, BTreeSet};

use bowline::broker::Assignment;

/// One assignment, from when a life was told of it until it has ended.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) life: u32,
    pub(super) assignment: Assignment,
    /// The offset where it begins to read.
    pub(super) from: u64,
    /// What is with the handler, with its key.
    pub(super) running: BTreeMap<u64, String>,
    pub(super) done: BTreeSet<u64>,
    /// Those that were done after it was asked to end, which may have been too late.
    late: BTreeSet<u64>,
    /// It is to be given back soon.
    pub(super) asked: bool,
    /// The last offset that was begun of each key.
    pub(super) last: BTreeMap<String, u64>,
    pub(super) commit: LastCommit,
    pub(super) end: Option<End>,
    /// It may end at any time without a word: its life was stopped or killed, or its broker was down.
    pub(super) excused: bool,
    /// The event that told of it.
    pub(super) told: usize,
    /// At this event it was known that the partition is somebody else's.
    pub(super) succeeded: Option<usize>,
}

/// What became of the last commit of a tenure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastCommit {
    None,
    Open(u64),
    Made,
    /// It failed, or nobody knows.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Given back with nothing running.
    Calm,
    /// Given back with something running, or without the last commit, after all the time there may be.
    Overdue,
    Lost,
}

impl Tenure {
    pub(super) fn new(life: u32, assignment: Assignment, from: u64, told: usize) -> Self {
        Self {
            life,
            assignment,
            from,
            running: BTreeMap::new(),
            done: BTreeSet::new(),
            late: BTreeSet::new(),
            asked: false,
            last: BTreeMap::new(),
            commit: LastCommit::None,
            end: None,
            excused: false,
            told,
            succeeded: None,
        }
    }

    /// A record is done; says its key.
    pub(super) fn done(&mut self, offset: u64, is_hasty: bool) -> Option<String> {
        self.done.insert(offset);
        if is_hasty && self.asked {
            self.late.insert(offset);
        }
        self.running.remove(&offset)
    }

    /// It is given back by somebody whose commits may fail just now.
    pub(super) fn give_back(&mut self, is_failing: bool) {
        let end = if self.running.is_empty() && !is_failing {
            End::Calm
        } else {
            End::Overdue
        };
        self.end.get_or_insert(end);
    }

    /// Whether a record was done in it and is committed, by what was promised: it was given back calmly,
    /// and no commit failed. Where brokers answer late, none was on its way either, and there was time for
    /// another.
    pub(super) fn has_settled(&self, offset: u64, brokers_answer: bool, is_hasty: bool) -> bool {
        let is_calm = self.end == Some(End::Calm) && !self.excused;
        let in_time = self.done.contains(&offset) && !self.late.contains(&offset);
        let is_made = match self.commit {
            LastCommit::None | LastCommit::Made => brokers_answer || !is_hasty,
            LastCommit::Open(_) => brokers_answer,
            LastCommit::Failed => false,
        };
        is_calm && in_time && is_made
    }
}
