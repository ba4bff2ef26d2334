/// The outcomes of the latest calls: a ring of bits with a running sum.
#[derive(Debug)]
pub(super) struct Window {
    failed: Box<[u64]>,
    size: u32,
    next: u32,
    calls: u32,
    failures: u32,
}

impl Window {
    pub(super) fn new(size: u32) -> Self {
        let words = usize::try_from(size.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            failed: vec![0; words].into(),
            size,
            next: 0,
            calls: 0,
            failures: 0,
        }
    }

    /// Takes in one outcome; a full window loses its oldest.
    pub(super) fn push(&mut self, failed: bool) {
        let (word, bit) = (self.next as usize / 64, 1u64 << (self.next % 64));
        if self.calls == self.size {
            self.failures -= u32::from(self.failed[word] & bit != 0);
        } else {
            self.calls += 1;
        }
        self.failed[word] = if failed {
            self.failed[word] | bit
        } else {
            self.failed[word] & !bit
        };
        self.failures += u32::from(failed);
        self.next = (self.next + 1) % self.size;
    }

    pub(super) fn clear(&mut self) {
        self.failed.fill(0);
        (self.next, self.calls, self.failures) = (0, 0, 0);
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether one more success would change nothing: the window is full and holds no failure.
    pub(super) fn is_saturated(&self) -> bool {
        self.failures == 0 && self.calls == self.size
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_exactly_the_latest_outcomes(
            size in 1u32..200, outcomes in prop::collection::vec(any::<bool>(), 0..1_000),
        ) {
            let mut window = Window::new(size);
            let mut oracle = VecDeque::new();
            for failed in outcomes {
                window.push(failed);
                oracle.push_back(failed);
                if oracle.len() > size as usize {
                    oracle.pop_front();
                }
                prop_assert_eq!(window.calls() as usize, oracle.len());
                let failures = oracle.iter().filter(|failed| **failed).count();
                prop_assert_eq!(window.failures() as usize, failures);
            }
        }
    }
}
