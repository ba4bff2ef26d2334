use super::{Ending, Sums};

/// The latest calls: a ring of two bits for each, with running sums.
#[derive(Debug)]
pub(in crate::breaker) struct Count {
    bits: Box<[Bits]>,
    size: u32,
    next: u32,
    sums: Sums,
}

/// How 64 calls ended.
#[derive(Debug, Clone, Copy, Default)]
struct Bits {
    failed: u64,
    slow: u64,
}

impl Count {
    pub(super) fn new(size: u32) -> Self {
        let words = usize::try_from(size.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            bits: vec![Bits::default(); words].into(),
            size,
            next: 0,
            sums: Sums::default(),
        }
    }

    /// Takes in one call; a full window loses its oldest.
    pub(super) fn push(&mut self, ending: Ending) {
        let bit = 1u64 << (self.next % 64);
        let bits = &mut self.bits[self.next as usize / 64];
        let oldest = Ending {
            failed: bits.failed & bit != 0,
            slow: bits.slow & bit != 0,
        };
        self.next = if self.next + 1 == self.size {
            0
        } else {
            self.next + 1
        };
        let full = self.sums.calls == self.size;
        // As most often: one more good call in the place of a good one.
        if full && oldest == ending {
            return;
        }
        if full {
            self.sums.subtract(Sums {
                calls: 1,
                failures: u32::from(oldest.failed),
                slow: u32::from(oldest.slow),
            });
        }
        set(&mut bits.failed, bit, ending.failed);
        set(&mut bits.slow, bit, ending.slow);
        self.sums.add(ending);
    }

    pub(super) fn clear(&mut self) {
        self.bits.fill(Bits::default());
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
