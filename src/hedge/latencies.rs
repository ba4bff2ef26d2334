use std::time::Duration;

use crate::config::Ratio;

/// How fine times are told apart.
const UNIT: Duration = Duration::from_micros(100);
/// Steps to a doubling, as a power of two: a sixteenth is the largest error.
const STEPS: u32 = 4;
/// Doublings above the first 32 units, which have a bucket each.
const DOUBLINGS: u32 = 18;
const BUCKETS: usize = ((DOUBLINGS as usize) + 2) << STEPS;
/// After so many calls the older half is forgotten.
const HALF: u16 = 500;
/// Fewer say little about the slow ones among them.
const MINIMUM: u32 = 100;
/// How many calls come before the percentile is looked at again.
const REFRESH: u16 = 20;

/// How long the latest calls took: two halves of counted buckets, of which the older one is forgotten
/// when the newer one is full. It takes no clock, and no memory for a call.
#[derive(Debug)]
pub(super) struct Latencies {
    newer: [u16; BUCKETS],
    older: [u16; BUCKETS],
    /// Calls in the newer half.
    calls: u16,
    /// Whether the older half is there.
    is_full: bool,
}

impl Latencies {
    /// Takes in how long a call took. Now and then it says what the percentile is by now.
    pub(super) fn record(&mut self, took: Duration, share: Ratio) -> Option<Duration> {
        if let Some(count) = self.newer.get_mut(bucket(took)) {
            *count += 1;
        }
        self.calls += 1;
        let refreshed = self.calls.is_multiple_of(REFRESH);
        let percentile = refreshed.then(|| self.percentile(share)).flatten();
        if self.calls == HALF {
            self.older = std::mem::replace(&mut self.newer, [0; BUCKETS]);
            self.calls = 0;
            self.is_full = true;
        }
        percentile
    }

    /// How many calls it knows.
    pub(super) fn calls(&self) -> u32 {
        u32::from(self.calls) + if self.is_full { u32::from(HALF) } else { 0 }
    }

    /// The time that so large a share of the calls took at most; `None` while too few are known.
    pub(super) fn percentile(&self, share: Ratio) -> Option<Duration> {
        let calls = self.calls();
        if calls < MINIMUM {
            return None;
        }
        let wanted = share.value() * f64::from(calls);
        let mut seen = 0_u32;
        let found = self.newer.iter().zip(&self.older).position(|(new, old)| {
            seen += u32::from(*new) + u32::from(*old);
            f64::from(seen) >= wanted
        });
        found.map(upper)
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            newer: [0; BUCKETS],
            older: [0; BUCKETS],
            calls: 0,
            is_full: false,
        }
    }
}

/// The bucket of a time, which is rounded up to whole units.
fn bucket(took: Duration) -> usize {
    let units = took.as_nanos().div_ceil(UNIT.as_nanos());
    let doubling = units.checked_ilog2().unwrap_or(0).saturating_sub(STEPS);
    if doubling > DOUBLINGS {
        return BUCKETS - 1;
    }
    let step = usize::try_from(units >> doubling).unwrap_or(BUCKETS);
    ((doubling as usize) << STEPS) + step
}

/// The longest time in a bucket.
fn upper(bucket: usize) -> Duration {
    let doubling = (bucket >> STEPS).saturating_sub(1);
    let step = bucket - (doubling << STEPS);
    let units = ((step + 1) << doubling) - 1;
    UNIT.saturating_mul(u32::try_from(units).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_are_gapless_and_end_where_the_next_one_begins() {
        let mut begins = Duration::ZERO;
        for index in 0..BUCKETS {
            let ends = upper(index);
            assert_eq!((bucket(begins), bucket(ends)), (index, index));
            begins = ends + Duration::from_nanos(1);
        }
        assert!(begins > Duration::from_secs(13 * 60), "{begins:?}");
        assert_eq!(bucket(begins), BUCKETS - 1);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn it_says_nothing_before_it_knows_enough() {
        let mut latencies = Latencies::default();
        let mut record = || latencies.record(Duration::from_secs(1), Ratio::HALF);
        for _ in 1..MINIMUM {
            assert_eq!(record(), None);
        }
        assert!(record().is_some());
    }

    proptest! {
        #[test]
        fn it_is_never_below_the_exact_percentile_and_at_most_a_sixteenth_and_a_unit_above(
            micros in prop::collection::vec(0_u64..2_000_000_000, 100..2_500),
            scale in 0_u32..31,
            percent in 1_u8..100,
        ) {
            let share = Ratio::percent(percent);
            let mut latencies = Latencies::default();
            let took: Vec<_> = micros.iter().map(|m| Duration::from_micros(m >> scale)).collect();
            for took in &took {
                latencies.record(*took, share);
            }
            // The newer half is what came after the last full one.
            let half = usize::from(HALF);
            let known = took.len() % half + if took.len() >= half { half } else { 0 };
            prop_assert_eq!(latencies.calls() as usize, known);
            let mut known = took[took.len() - known..].to_vec();
            known.sort_unstable();
            let wanted = share.value() * known.len() as f64;
            let exact = (1..).zip(&known).find(|(rank, _)| f64::from(*rank) >= wanted);
            let exact = (*exact.expect("a call").1).min(upper(BUCKETS - 1));
            let found = latencies.percentile(share).expect("enough calls");
            prop_assert!(found >= exact, "{found:?} below {exact:?}");
            prop_assert!(found < exact + exact / 16 + UNIT, "{found:?} far above {exact:?}");
        }
    }
}
