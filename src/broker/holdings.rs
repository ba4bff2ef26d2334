use std::collections::BTreeMap;

use super::group::Claim;
use super::{Assignment, TopicPartition};
use crate::error::{Error, Kind};

/// What the group says a member owns.
pub(super) type Claims = BTreeMap<TopicPartition, Claim>;

/// What one member has been told is its own, and how far it has read.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    partitions: BTreeMap<TopicPartition, Holding>,
    /// The revision of the group that the member knows all about.
    settled: Option<u64>,
    turn: usize,
}

#[derive(Debug)]
struct Holding {
    epoch: u64,
    next: u64,
    paused: bool,
    revoking: bool,
}

/// A partition to read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) partition: TopicPartition,
    pub(super) epoch: u64,
    pub(super) next: u64,
}

/// A difference between what the group says and what the member has been told.
#[derive(Debug)]
pub(super) enum Change {
    /// These have ended; they are forgotten.
    Lost(Vec<Assignment>),
    /// These are to be given back; they are not read any more.
    Revoking(Vec<Assignment>),
    /// These are new; [`Holdings::assign`] them.
    New(Vec<Assignment>),
}

impl Holdings {
    /// Compares with the member's claims at `revision` of its group and notes the first difference:
    /// what was lost before what is to be given back, before what is new.
    pub(super) fn sync(
        &mut self,
        revision: u64,
        claims: impl FnOnce() -> Claims,
    ) -> Option<Change> {
        if self.settled == Some(revision) {
            return None;
        }
        let change = self.difference(&claims());
        if change.is_none() {
            self.settled = Some(revision);
        }
        change
    }

    /// Starts to read `assignment` at offset `next`.
    pub(super) fn assign(&mut self, assignment: &Assignment, next: u64) {
        let holding = Holding {
            epoch: assignment.epoch,
            next,
            paused: false,
            revoking: false,
        };
        self.partitions
            .insert(assignment.partition.clone(), holding);
    }

    /// Forgets those of `assignments` that are held. Those that the group still counts as ours
    /// after that will be new again.
    pub(super) fn forget(&mut self, assignments: &[Assignment]) {
        self.settled = None;
        for assignment in assignments {
            if self.held(assignment).is_some() {
                self.partitions.remove(&assignment.partition);
            }
        }
    }

    /// Whether nothing is held.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Everything that is held.
    pub(super) fn assignments(&self) -> impl Iterator<Item = Assignment> {
        self.partitions
            .iter()
            .map(|(partition, held)| Assignment::new(partition.clone(), held.epoch))
    }

    /// The partitions to read from, each time another one first, so that a busy one starves nobody.
    pub(super) fn readable(&mut self) -> Vec<Cursor> {
        let mut cursors: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, held)| !held.paused && !held.revoking)
            .map(|(partition, held)| Cursor {
                partition: partition.clone(),
                epoch: held.epoch,
                next: held.next,
            })
            .collect();
        if !cursors.is_empty() {
            let turn = self.turn % cursors.len();
            cursors.rotate_left(turn);
            self.turn = turn + 1;
        }
        cursors
    }

    /// The partitions to read ahead from, in their order, those that are paused too.
    #[cfg(feature = "redis")]
    pub(super) fn cursors(&self) -> impl Iterator<Item = Cursor> {
        self.partitions
            .iter()
            .filter(|(_, held)| !held.revoking)
            .map(|(partition, held)| Cursor {
                partition: partition.clone(),
                epoch: held.epoch,
                next: held.next,
            })
    }

    /// Notes that everything before `next` was handed out.
    pub(super) fn advance(&mut self, partition: &TopicPartition, next: u64) {
        if let Some(held) = self.partitions.get_mut(partition) {
            held.next = next;
        }
    }

    /// Stops or goes on reading `partition`, if it is held.
    pub(super) fn set_paused(&mut self, partition: &TopicPartition, paused: bool) {
        if let Some(held) = self.partitions.get_mut(partition) {
            held.paused = paused;
        }
    }

    /// Goes on reading at `offset`; `false` when the assignment is not held.
    pub(super) fn seek(&mut self, assignment: &Assignment, offset: u64) -> bool {
        let held = self.held(assignment);
        if let Some(held) = held {
            held.next = offset;
            return true;
        }
        false
    }

    fn difference(&mut self, claims: &Claims) -> Option<Change> {
        let lost: Vec<_> = self
            .assignments()
            .filter(|held| {
                claims
                    .get(&held.partition)
                    .is_none_or(|claim| claim.epoch != held.epoch)
            })
            .collect();
        if !lost.is_empty() {
            self.forget(&lost);
            return Some(Change::Lost(lost));
        }
        let mut revoking = Vec::new();
        let mut new = Vec::new();
        for (partition, claim) in claims {
            let assignment = Assignment::new(partition.clone(), claim.epoch);
            match self.partitions.get_mut(partition) {
                None => new.push(assignment),
                Some(held) if claim.revoking && !held.revoking => {
                    held.revoking = true;
                    revoking.push(assignment);
                }
                Some(_) => {}
            }
        }
        if !revoking.is_empty() {
            return Some(Change::Revoking(revoking));
        }
        (!new.is_empty()).then_some(Change::New(new))
    }

    fn held(&mut self, assignment: &Assignment) -> Option<&mut Holding> {
        self.partitions
            .get_mut(&assignment.partition)
            .filter(|held| held.epoch == assignment.epoch)
    }
}

/// The error of a call whose assignment has ended.
pub(super) fn fenced(
    assignment: &Assignment,
    backend: &'static str,
    operation: &'static str,
) -> Error {
    Error::new(Kind::Fenced, backend, operation).with_detail(format!(
        "assignment of {} in epoch {} has ended",
        assignment.partition, assignment.epoch
    ))
}
