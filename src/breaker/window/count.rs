use super::{Ending, Sums};

/// The latest calls: two rings of bits with running sums.
#[derive(Debug)]
pub(in crate::breaker) struct Count {
    failed: Box<[u64]>,
    slow: Box<[u64]>,
    size: u32,
    next: u32,
    sums: Sums,
}

impl Count {
    pub(super) fn new(size: u32) -> Self {
        let words = usize::try_from(size.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            failed: vec![0; words].into(),
            slow: vec![0; words].into(),
            size,
            next: 0,
            sums: Sums::default(),
        }
    }

    /// Takes in one call; a full window loses its oldest.
    pub(super) fn push(&mut self, ending: Ending) {
        let (word, bit) = (self.next as usize / 64, 1u64 << (self.next % 64));
        if self.sums.calls == self.size {
            self.sums.subtract(Sums {
                calls: 1,
                failures: u32::from(self.failed[word] & bit != 0),
                slow: u32::from(self.slow[word] & bit != 0),
            });
        }
        set(&mut self.failed[word], bit, ending.failed);
        set(&mut self.slow[word], bit, ending.slow);
        self.sums.add(ending);
        self.next = if self.next + 1 == self.size {
            0
        } else {
            self.next + 1
        };
    }

    pub(super) fn clear(&mut self) {
        self.failed.fill(0);
        self.slow.fill(0);
        self.next = 0;
        self.sums = Sums::default();
    }

    pub(super) fn sums(&self) -> Sums {
        self.sums
    }

    /// Whether one more good call would change nothing: the window is full of them. Recording it
    /// would put a good call in the place of a good call.
    pub(super) fn is_saturated(&self) -> bool {
        let Sums {
            calls,
            failures,
            slow,
        } = self.sums;
        calls == self.size && failures == 0 && slow == 0
    }
}

fn set(word: &mut u64, bit: u64, on: bool) {
    *word = if on { *word | bit } else { *word & !bit };
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_exactly_the_latest_calls(
            size in 1u32..200,
            endings in prop::collection::vec((any::<bool>(), any::<bool>()), 0..1_000),
        ) {
            let mut window = Count::new(size);
            let mut oracle = VecDeque::new();
            for (failed, slow) in endings {
                window.push(Ending { failed, slow });
                oracle.push_back((failed, slow));
                if oracle.len() > size as usize {
                    oracle.pop_front();
                }
                let sums = window.sums();
                prop_assert_eq!(sums.calls as usize, oracle.len());
                let count = |of: fn(&&(bool, bool)) -> bool| oracle.iter().filter(of).count();
                prop_assert_eq!(sums.failures as usize, count(|call| call.0));
                prop_assert_eq!(sums.slow as usize, count(|call| call.1));
            }
        }
    }
}
