use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::report::Reason;

/// The pure part of a check: results in, verdict out.
#[derive(Debug, Default)]
pub(super) struct State {
    verdict: Verdict,
    reason: Option<Reason>,
    streak: u32,
    last: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Verdict {
    /// No good result yet, and not enough bad ones.
    #[default]
    Unknown,
    Up,
    Down,
}

impl Verdict {
    pub(super) fn is_up(self) -> bool {
        self == Self::Up
    }
}

impl State {
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.last.map(|last| now.saturating_duration_since(last))
    }

    /// The verdict and its reason at `now`; a result older than `stale_after` is none.
    pub(super) fn at(&self, now: Instant, stale_after: Duration) -> (Verdict, Option<Reason>) {
        match self.age(now) {
            None => (Verdict::Unknown, Some(Reason::Pending)),
            Some(age) if age > stale_after => (Verdict::Down, Some(Reason::Stale)),
            Some(_) => (self.verdict, self.reason),
        }
    }

    /// Takes one result; says the verdict when it changed.
    pub(super) fn record(
        &mut self,
        result: Result<(), Reason>,
        now: Instant,
        rise: NonZeroU32,
        fall: NonZeroU32,
    ) -> Option<Verdict> {
        self.last = Some(now);
        self.reason = result.err();
        let (to, needed) = match (result, self.verdict) {
            (Ok(()), Verdict::Unknown) => (Verdict::Up, 1),
            (Ok(()), _) => (Verdict::Up, rise.get()),
            (Err(_), _) => (Verdict::Down, fall.get()),
        };
        if to == self.verdict {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        if self.streak < needed {
            return None;
        }
        self.streak = 0;
        self.verdict = to;
        Some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;
    const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

    #[tokio::test(start_paused = true)]
    async fn alternating_results_change_nothing() {
        let now = Instant::now();
        let mut state = State::default();
        assert_eq!(state.record(Ok(()), now, TWO, TWO), Some(Verdict::Up));
        for _ in 0..10 {
            assert_eq!(state.record(Err(Reason::Failed), now, TWO, TWO), None);
            assert_eq!(state.record(Ok(()), now, TWO, TWO), None);
        }
        assert_eq!(state.verdict(), Verdict::Up);
        assert_eq!(state.record(Err(Reason::Failed), now, TWO, TWO), None);
        let down = state.record(Err(Reason::Failed), now, TWO, TWO);
        assert_eq!(down, Some(Verdict::Down));
        assert_eq!(state.record(Ok(()), now, ONE, TWO), Some(Verdict::Up));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_result_is_none() {
        let now = Instant::now();
        let mut state = State::default();
        state.record(Ok(()), now, ONE, TWO);
        let later = now + Duration::from_secs(10);
        assert_eq!(state.at(later, Duration::from_secs(10)).0, Verdict::Up);
        let (verdict, reason) = state.at(later, Duration::from_secs(9));
        assert_eq!((verdict, reason), (Verdict::Down, Some(Reason::Stale)));
    }
}
