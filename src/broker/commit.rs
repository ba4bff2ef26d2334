use std::sync::Arc;

use super::Assignment;
#[cfg(doc)]
use super::Subscriber;

/// How far a group has come in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The offset of the next record to read: all before it are done.
    pub next: u64,
    /// What the group wants to know besides, e.g. which records after `next` are done. The broker keeps
    /// it as it is, up to [`Subscriber::max_metadata`] bytes.
    pub metadata: Option<Arc<str>>,
}

/// What is to be committed for one assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The assignment under which the records were read.
    pub assignment: Assignment,
    /// How far the group has come.
    pub committed: Committed,
}

/// A partition that is ours now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Assigned {
    /// The assignment.
    pub assignment: Assignment,
    /// How far the group had come; `None` when it has never committed here.
    pub committed: Option<Committed>,
}

impl Committed {
    /// Everything before offset `next` is done.
    #[must_use]
    pub fn new(next: u64) -> Self {
        Self {
            next,
            metadata: None,
        }
    }

    /// Sets what the group wants to know besides.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<Arc<str>>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }
}

impl Commit {
    /// Everything before offset `next` of `assignment` is done.
    #[must_use]
    pub fn new(assignment: Assignment, next: u64) -> Self {
        Self {
            assignment,
            committed: Committed::new(next),
        }
    }

    /// The group has come as far in `assignment` as `committed` says.
    #[must_use]
    pub fn of(assignment: Assignment, committed: Committed) -> Self {
        Self {
            assignment,
            committed,
        }
    }

    /// Sets what the group wants to know besides.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<Arc<str>>) -> Self {
        self.committed.metadata = Some(metadata.into());
        self
    }
}

impl Assigned {
    /// `assignment`, in which the group had come as far as `committed` says.
    #[must_use]
    pub fn new(assignment: Assignment, committed: Option<Committed>) -> Self {
        Self {
            assignment,
            committed,
        }
    }
}
