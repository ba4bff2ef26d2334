use std::num::NonZeroUsize;

/// How far one assignment has come: what is queued, done and committed.
///
/// Records are done in offset order, so the offset after the last one done is the watermark:
/// everything before it is done, whatever gaps the offsets have.
#[derive(Debug, Default)]
pub(super) struct Progress {
    backlog: usize,
    next: Option<u64>,
    committed: Option<u64>,
    paused: bool,
}

/// What to tell the subscriber about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Pause,
    Resume,
}

impl Progress {
    /// One more record waits or runs.
    pub(super) fn queued(&mut self) {
        self.backlog += 1;
    }

    /// The record at `offset` is done.
    pub(super) fn done(&mut self, offset: u64) {
        self.backlog = self.backlog.saturating_sub(1);
        let next = offset.saturating_add(1);
        self.next = Some(self.next.map_or(next, |before| before.max(next)));
    }

    /// The watermark, unless it is committed.
    pub(super) fn uncommitted(&self) -> Option<u64> {
        self.next.filter(|_| self.next != self.committed)
    }

    /// The broker has the watermark `next`.
    pub(super) fn committed(&mut self, next: u64) {
        self.committed = Some(next);
    }

    /// Whether the partition must pause or may resume: it pauses with `limit` records in the queue
    /// and resumes at half of that, so that it does not switch with every record.
    pub(super) fn flow(&mut self, limit: NonZeroUsize) -> Option<Flow> {
        if !self.paused && self.backlog >= limit.get() {
            self.paused = true;
            return Some(Flow::Pause);
        }
        if self.paused && self.backlog <= limit.get() / 2 {
            self.paused = false;
            return Some(Flow::Resume);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_follows_the_offsets_over_gaps_and_is_committed_once() {
        let mut progress = Progress::default();
        assert_eq!(progress.uncommitted(), None);
        for offset in [3, 4, 9] {
            progress.queued();
            progress.done(offset);
        }
        assert_eq!(progress.uncommitted(), Some(10));
        progress.committed(10);
        assert_eq!(progress.uncommitted(), None);
        progress.done(17);
        assert_eq!(progress.uncommitted(), Some(18));
    }

    #[test]
    fn a_late_commit_does_not_hide_what_was_done_since() {
        let mut progress = Progress::default();
        progress.done(0);
        progress.done(1);
        progress.committed(1);
        assert_eq!(progress.uncommitted(), Some(2));
    }

    #[test]
    fn it_pauses_when_full_and_resumes_at_half() {
        let limit = NonZeroUsize::new(4).unwrap();
        let mut progress = Progress::default();
        let mut flows = Vec::new();
        for _ in 0..5 {
            progress.queued();
            flows.push(progress.flow(limit));
        }
        for offset in 0..5 {
            progress.done(offset);
            flows.push(progress.flow(limit));
        }
        let mut wanted = vec![None; 10];
        wanted[3] = Some(Flow::Pause);
        wanted[7] = Some(Flow::Resume);
        assert_eq!(flows, wanted);
    }

    #[test]
    fn a_limit_of_one_resumes_when_empty() {
        let mut progress = Progress::default();
        progress.queued();
        assert_eq!(progress.flow(NonZeroUsize::MIN), Some(Flow::Pause));
        assert_eq!(progress.flow(NonZeroUsize::MIN), None);
        progress.done(0);
        assert_eq!(progress.flow(NonZeroUsize::MIN), Some(Flow::Resume));
    }
}
