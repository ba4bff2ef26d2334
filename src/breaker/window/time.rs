use std::time::Duration;

use tokio::time::Instant;

use super::{Ending, Sums, Window};

/// The calls of the latest time: a ring of slices with running sums. Each call costs the same,
/// however many there are.
#[derive(Debug)]
pub(in crate::breaker) struct Time {
    slices: Box<[Sums]>,
    width: Duration,
    /// The slice that calls go into now, and when it began; `None` before the first call.
    current: Option<(usize, Instant)>,
    sums: Sums,
}

impl Time {
    pub(super) fn new(span: Duration) -> Self {
        let count = Window::SLICES.get();
        Self {
            slices: vec![Sums::default(); count as usize].into(),
            width: (span / count).max(Duration::from_nanos(1)),
            current: None,
            sums: Sums::default(),
        }
    }

    pub(super) fn push(&mut self, ending: Ending, now: Instant) {
        self.advance(now);
        let (index, _) = *self.current.get_or_insert((0, now));
        if let Some(slice) = self.slices.get_mut(index) {
            slice.add(ending);
            self.sums.add(ending);
        }
    }

    /// Forgets the slices whose time is over at `now`. A clock that goes back changes nothing.
    pub(super) fn advance(&mut self, now: Instant) {
        let Some((index, began)) = &mut self.current else {
            return;
        };
        let mut left = now.saturating_duration_since(*began);
        if left < self.width {
            return;
        }
        // A gap that outlasts the window leaves nothing: slices are not stepped through for it.
        if left / Window::SLICES.get() >= self.width {
            self.slices.fill(Sums::default());
            self.sums = Sums::default();
            self.current = Some((0, now));
            return;
        }
        while left >= self.width {
            *index = (*index + 1) % self.slices.len();
            if let Some(slice) = self.slices.get_mut(*index) {
                self.sums.subtract(std::mem::take(slice));
            }
            *began += self.width;
            left -= self.width;
        }
    }

    pub(super) fn clear(&mut self) {
        self.slices.fill(Sums::default());
        self.sums = Sums::default();
        self.current = None;
    }

    pub(super) fn sums(&self) -> Sums {
        self.sums
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const SPAN: Duration = Duration::from_secs(2);

    proptest! {
        /// A call is there for at least the span less a slice, and gone after the span.
        #[test]
        fn it_holds_the_calls_of_the_latest_time(
            steps in prop::collection::vec((0u64..400, any::<bool>(), any::<bool>()), 0..500),
        ) {
            let slice = SPAN / Window::SLICES.get();
            let mut now = Instant::now();
            let mut window = Time::new(SPAN);
            let mut oracle = VecDeque::new();
            for (wait, failed, slow) in steps {
                now += Duration::from_millis(wait);
                window.push(Ending { failed, slow }, now);
                oracle.push_back((now, failed));
                let within = |age: Duration, failed: bool| {
                    let fits = |call: &&(Instant, bool)| now - call.0 < age && (call.1 || !failed);
                    u32::try_from(oracle.iter().filter(fits).count()).expect("few")
                };
                let sums = window.sums();
                prop_assert!(sums.calls >= within(SPAN - slice, false));
                prop_assert!(sums.calls <= within(SPAN, false));
                prop_assert!(sums.failures >= within(SPAN - slice, true));
                prop_assert!(sums.failures <= within(SPAN, true));
            }
        }
    }

    #[test]
    fn no_gap_and_no_step_back_harm_it() {
        let mut now = Instant::now() + Duration::from_secs(10);
        let mut window = Time::new(SPAN);
        let failure = Ending {
            failed: true,
            slow: false,
        };
        window.push(failure, now);
        window.push(failure, now - Duration::from_secs(5));
        assert_eq!(window.sums().failures, 2);
        for gap in [SPAN, Duration::from_secs(200 * 365 * 86_400)] {
            now += gap;
            window.advance(now);
            assert_eq!(window.sums(), Sums::default());
            window.push(failure, now);
            assert_eq!(window.sums().failures, 1);
        }
    }
}
