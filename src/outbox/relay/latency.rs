use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each power of two has so many buckets: none is wider than an eighth of what it holds.
const PARTS: usize = 8;
const PARTS_BITS: u32 = 3;
/// Below this each microsecond has a bucket of its own.
const EXACT: u64 = 1 << (PARTS_BITS + 1);
/// What takes longer, some 50 days, is counted as this.
const LONGEST: u64 = (1 << 42) - 1;
const BUCKETS: usize = bucket(LONGEST) + 1;

/// Counts times by their order of magnitude.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// In microseconds.
    max: AtomicU64,
}

/// How long it took from writing rows to the broker's answer, as far as the relay knows.
///
/// It is the time between `created_at`, which is the store's clock when the row was written and not when
/// its transaction was committed, and the relay's clock when the answer had come: right to the difference
/// of the two clocks. Times are counted in buckets that are an eighth of their value wide; what is read is
/// the bucket's upper end.
#[derive(Debug, Clone)]
pub struct Latency {
    buckets: Box<[u64]>,
    max: u64,
}

/// The bucket of `micros`, which are no more than [`LONGEST`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is cast is smaller than the number of buckets"
)]
const fn bucket(micros: u64) -> usize {
    if micros < EXACT {
        return micros as usize;
    }
    let power = micros.ilog2();
    let part = (micros >> (power - PARTS_BITS)) as usize % PARTS;
    EXACT as usize + (power - PARTS_BITS - 1) as usize * PARTS + part
}

/// The longest time in `bucket`, in microseconds.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (power, part) = (
        (bucket - EXACT) / PARTS as u64,
        (bucket - EXACT) % PARTS as u64,
    );
    ((PARTS as u64 + part + 1) << (power + 1)) - 1
}

impl Histogram {
    /// Counts rows that took so many microseconds each; `each` is told of rows that took about as long as
    /// one another, all at once.
    pub(super) fn record(&self, took: impl Iterator<Item = u64>, each: impl Fn(Duration, usize)) {
        // Rows of a window were written one after the other: most share a bucket with the one before.
        let (mut at, mut count, mut longest) = (0, 0, 0);
        for micros in took {
            let micros = micros.min(LONGEST);
            longest = micros.max(longest);
            let bucket = bucket(micros);
            if bucket != at {
                self.add(at, count, &each);
                (at, count) = (bucket, 0);
            }
            count += 1;
        }
        self.add(at, count, &each);
        self.max.fetch_max(longest, Ordering::Relaxed);
    }

    fn add(&self, bucket: usize, count: usize, each: impl Fn(Duration, usize)) {
        if count > 0 {
            self.buckets[bucket].fetch_add(count as u64, Ordering::Relaxed);
            each(Duration::from_micros(upper_end(bucket)), count);
        }
    }

    pub(super) fn snapshot(&self) -> Latency {
        let buckets = self.buckets.iter();
        Latency {
            buckets: buckets.map(|count| count.load(Ordering::Relaxed)).collect(),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            max: AtomicU64::new(0),
        }
    }
}

impl Latency {
    /// How many rows were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What half of the rows took at most.
    #[must_use]
    pub fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// What 99 of 100 rows took at most.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// What the slowest row took.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    /// What `percent` of 100 rows took at most; zero before there were any.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Duration {
        let rank = u128::from(self.count()) * u128::from(percent.min(100));
        let rank = rank.div_ceil(100).max(1);
        let mut passed = 0u128;
        for (bucket, count) in self.buckets.iter().enumerate() {
            passed += u128::from(*count);
            if passed >= rank {
                return Duration::from_micros(upper_end(bucket).min(self.max));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_a_bucket_that_is_no_wider_than_an_eighth_of_it() {
        let mut last = None;
        let powers = (0..42).flat_map(|power| {
            let low = 1u64 << power;
            [low - 1, low, low + low / 3, low + low / 2]
        });
        for micros in powers {
            let bucket = bucket(micros);
            assert!(last.is_none_or(|last| last <= bucket));
            last = Some(bucket);
            let end = upper_end(bucket);
            assert!(end >= micros, "{micros} in a bucket that ends at {end}");
            assert!(end - micros <= micros / 8, "{micros}: {end}");
            assert_eq!(super::bucket(end), bucket);
            assert_eq!(super::bucket(end + 1), bucket + 1);
        }
        assert_eq!(upper_end(BUCKETS - 1), LONGEST);
    }

    #[test]
    fn percentiles_are_read_from_what_was_recorded() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().p99(), Duration::ZERO);
        let runs = AtomicU64::new(0);
        let times = [1_000; 98].into_iter().chain([1_001, u64::MAX]);
        histogram.record(times, |_, _| {
            runs.fetch_add(1, Ordering::Relaxed);
        });
        let latency = histogram.snapshot();
        assert_eq!(runs.into_inner(), 2);
        assert_eq!(latency.count(), 100);
        assert_eq!(latency.p50(), Duration::from_micros(1_023));
        assert_eq!(latency.p99(), Duration::from_micros(1_023));
        assert_eq!(latency.percentile(100), latency.max());
        assert_eq!(latency.max(), Duration::from_micros(LONGEST));
    }

    #[test]
    fn one_time_is_its_own_percentile() {
        let histogram = Histogram::default();
        histogram.record([1_100].into_iter(), |_, _| {});
        assert_eq!(histogram.snapshot().p50(), Duration::from_micros(1_100));
    }
}
