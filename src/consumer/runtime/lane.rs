use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::time::Instant;

use super::offsets::{Number, Offsets};
use crate::broker::{Assigned, Assignment, Commit, Committed};
use crate::consumer::Config;
use crate::consumer::meters::PartitionMeters;
use crate::consumer::status::{Gauge, Shown};
use crate::shutdown::{Shutdown, Token};

/// Tells an assignment from all others that this consumer ever had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LaneId(pub(super) u64);

/// One assignment: what of it is in hand, done and committed. Dropping it cancels what runs.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) assignment: Assignment,
    pub(super) handling: Arc<Handling>,
    meters: PartitionMeters,
    offsets: Offsets,
    /// Records that wait or run.
    in_hand: usize,
    paused: bool,
    /// What the broker has.
    committed: Option<Committed>,
    /// Where the next record of the log will stand, when the broker was asked last.
    end: Option<u64>,
    /// When records came, with the first of each batch.
    came: VecDeque<(Number, Instant)>,
    /// Counts what may change what is to be committed, and how much of that was committed.
    version: u64,
    committed_version: u64,
    cancel: Shutdown,
    /// Set once no more of it is to begin: when what runs is cancelled.
    deadline: Option<Instant>,
    /// What runs has had all its time. From then on the deadline is that of the commit.
    abandoned: bool,
}

/// What a lane shares with those who handle its records.
#[derive(Debug)]
pub(super) struct Handling {
    pub(super) gauge: Arc<Gauge>,
    /// Hears when what runs is to be cancelled.
    pub(super) cancelled: Token,
    /// Set once no more is to begin.
    stopped: AtomicBool,
    /// Records that were taken and have not been reported.
    out: AtomicUsize,
}

/// What to tell the subscriber about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Pause,
    Resume,
}

impl Lane {
    pub(super) fn new(assigned: Assigned, gauge: Arc<Gauge>, meters: PartitionMeters) -> Self {
        let Assigned {
            assignment,
            committed,
            ..
        } = assigned;
        let cancel = Shutdown::new();
        let handling = Handling {
            gauge,
            cancelled: cancel.token(),
            stopped: AtomicBool::new(false),
            out: AtomicUsize::new(0),
        };
        Self {
            assignment,
            handling: Arc::new(handling),
            meters,
            offsets: Offsets::new(committed.as_ref()),
            in_hand: 0,
            paused: false,
            committed,
            end: None,
            came: VecDeque::new(),
            version: 0,
            committed_version: 0,
            cancel,
            deadline: None,
            abandoned: false,
        }
    }

    /// Records come at `now`.
    pub(super) fn receiving(&mut self, now: Instant) {
        let next = self.offsets.next();
        match self.came.back_mut() {
            // Nothing was begun of what came then.
            Some((number, at)) if *number == next => *at = now,
            Some((_, at)) if *at == now => {}
            _ => self.came.push_back((next, now)),
        }
    }

    /// The next record of the log will stand at `end`.
    pub(super) fn ends_at(&mut self, end: u64) {
        self.end = Some(end);
    }

    /// Shows how it stands.
    pub(super) fn show(&mut self) {
        let committed = self.committed.as_ref().map(|committed| committed.next);
        let oldest = self.oldest();
        self.handling.gauge.show(Shown {
            paused: self.paused,
            watermark: self.offsets.watermark().or(committed),
            committed,
            lag: self.end.and_then(|end| self.offsets.behind(end, committed)),
            oldest,
        });
    }

    /// Sets the metrics as it stands now.
    pub(super) fn meter(&mut self) {
        let partition = self.assignment.partition.clone();
        self.meters.set(&self.handling.gauge.status(partition));
    }

    /// When the oldest record that is not done came.
    fn oldest(&mut self) -> Option<Instant> {
        if self.in_hand == 0 {
            self.came.clear();
            return None;
        }
        let first = self.offsets.first();
        while self.came.get(1).is_some_and(|(number, _)| *number <= first) {
            self.came.pop_front();
        }
        self.came.front().map(|(_, at)| *at)
    }

    /// A record came; `None` when it needs no handling: it was done before, or the lane was stopped and
    /// it comes again to whoever owns the partition next.
    pub(super) fn begin(&mut self, offset: u64) -> Option<Number> {
        if self.is_stopped() {
            return None;
        }
        let number = self.offsets.begin(offset);
        match number {
            Some(_) => {
                self.in_hand += 1;
                self.handling.gauge.queued();
            }
            None => self.version += 1,
        }
        number
    }

    /// A record is done.
    pub(super) fn done(&mut self, number: Number) {
        self.offsets.done(number);
        self.in_hand = self.in_hand.saturating_sub(1);
        self.version += 1;
    }

    /// How the partition is to flow from now on, if otherwise than before: it pauses at the limits and
    /// resumes at half of them, so that it does not switch with every record. One that was stopped
    /// stays paused.
    pub(super) fn flow(&mut self, config: &Config) -> Option<Flow> {
        if self.is_stopped() {
            return None;
        }
        let (queue, window) = (config.queue.get(), config.window.get());
        let ahead = self.offsets.ahead();
        if !self.paused && (self.in_hand >= queue || ahead >= window) {
            self.paused = true;
            return Some(Flow::Pause);
        }
        if self.paused && self.in_hand <= queue / 2 && ahead <= window / 2 {
            self.paused = false;
            return Some(Flow::Resume);
        }
        None
    }

    /// Whether something may have to be committed.
    pub(super) fn is_dirty(&self) -> bool {
        self.version != self.committed_version
    }

    /// What is to be committed, and which version that is; `None` when the broker has it already.
    pub(super) fn owed(&mut self, max_metadata: usize) -> Option<(u64, Commit)> {
        if !self.is_dirty() {
            return None;
        }
        let committed = self.offsets.committed(max_metadata);
        if committed == self.committed {
            self.committed_version = self.version;
            return None;
        }
        let assignment = self.assignment.clone();
        let commit = committed.map(|committed| Commit::of(assignment, committed))?;
        Some((self.version, commit))
    }

    /// The broker has `committed`, as it was at `version`.
    pub(super) fn committed(&mut self, version: u64, committed: Committed) {
        self.committed_version = self.committed_version.max(version);
        self.committed = Some(committed);
        self.show();
    }

    /// Lets what runs finish until `deadline`. The first call decides.
    pub(super) fn stop(&mut self, deadline: Instant) {
        self.deadline.get_or_insert(deadline);
        self.handling.stopped.store(true, Ordering::Release);
    }

    /// Cancels what runs. What was done before may still be committed until `deadline`, and what comes
    /// later does not count.
    pub(super) fn abandon(&mut self, deadline: Instant) {
        self.cancel.trigger();
        self.deadline = Some(deadline);
        self.abandoned = true;
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// When what runs is cancelled, or the commit given up, if it was stopped.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.deadline.is_some()
    }

    /// Whether nothing was taken that has not been reported. Of a lane that was stopped nothing more
    /// is.
    pub(super) fn is_idle(&self) -> bool {
        self.handling.out.load(Ordering::Acquire) == 0
    }

    /// Whether nothing runs or it has had all its time.
    pub(super) fn is_drained(&self, now: Instant) -> bool {
        self.is_idle() || self.abandoned || self.is_overdue(now)
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl Handling {
    /// Somebody has taken a record to handle it.
    pub(super) fn taken(&self) {
        self.out.fetch_add(1, Ordering::AcqRel);
        self.gauge.started();
    }

    /// A record is not with the handler any more.
    pub(super) fn ended(&self) {
        self.gauge.returned();
    }

    /// Whether no more records are to begin, those that were taken included.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// What became of a record is known.
    pub(super) fn reported(&self) {
        self.out.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.handling.stopped.store(true, Ordering::Release);
        self.cancel.trigger();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::broker::TopicPartition;

    fn lane() -> Lane {
        let assignment = Assignment::new(TopicPartition::new("tasks", 0), 1);
        let assigned = Assigned::new(assignment, None);
        Lane::new(assigned, Arc::default(), PartitionMeters::none())
    }

    #[test]
    fn it_pauses_when_full_and_resumes_at_half() {
        let config = Config {
            queue: NonZeroUsize::new(4).unwrap(),
            ..Config::default()
        };
        let mut lane = lane();
        let (mut flows, mut numbers) = (Vec::new(), Vec::new());
        for offset in 0..5 {
            numbers.push(lane.begin(offset).unwrap());
            flows.push(lane.flow(&config));
        }
        for number in numbers {
            lane.done(number);
            flows.push(lane.flow(&config));
        }
        let mut wanted = vec![None; 10];
        wanted[3] = Some(Flow::Pause);
        wanted[7] = Some(Flow::Resume);
        assert_eq!(flows, wanted);
    }

    #[test]
    fn one_record_that_is_not_done_bounds_how_far_the_others_go() {
        let config = Config {
            window: NonZeroUsize::new(6).unwrap(),
            ..Config::default()
        };
        let mut lane = lane();
        let stuck = lane.begin(0).unwrap();
        for offset in 1..5 {
            let number = lane.begin(offset).unwrap();
            lane.done(number);
            assert_eq!(lane.flow(&config), None);
        }
        let number = lane.begin(5).unwrap();
        assert_eq!(lane.flow(&config), Some(Flow::Pause));
        lane.done(number);
        assert_eq!(lane.flow(&config), None);
        lane.done(stuck);
        assert_eq!(lane.flow(&config), Some(Flow::Resume));
    }

    #[test]
    fn a_late_commit_does_not_hide_what_was_done_since() {
        let mut lane = lane();
        assert!(lane.owed(4096).is_none());
        let numbers = [0, 1].map(|offset| lane.begin(offset).unwrap());
        lane.done(numbers[0]);
        let (version, commit) = lane.owed(4096).expect("one is done");
        lane.done(numbers[1]);
        lane.committed(version, commit.committed);
        let (version, commit) = lane.owed(4096).expect("one more is done");
        assert_eq!(commit.committed.next, 2);
        lane.committed(version, commit.committed);
        assert!(!lane.is_dirty());
    }
}
