//! Metrics through the `metrics` facade; without the feature there is nothing left of them.
//!
//! A handle is resolved once, from the recorder that stands when the pattern is built, and then
//! costs no look-up, no label and no allocation.

use std::fmt;

/// Names and values that tell the series of a metric apart.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Counts.
#[derive(Clone)]
pub(crate) struct Counter(#[cfg(feature = "metrics")] metrics::Counter);

/// Shows a number that goes up and down.
#[derive(Clone)]
pub(crate) struct Gauge(#[cfg(feature = "metrics")] metrics::Gauge);

/// One's share of a gauge: takes it back when it is dropped.
pub(crate) struct Level(
    #[cfg(feature = "metrics")] Gauge,
    #[cfg(feature = "metrics")] u64,
);

/// Shows how long things take, in seconds.
#[derive(Clone)]
pub(crate) struct Histogram(#[cfg(feature = "metrics")] metrics::Histogram);

/// The meters of whoever holds a place that lives for ever, to be found by calls that know the place
/// only.
pub(crate) struct Held<M>(
    #[cfg(feature = "metrics")] arc_swap::ArcSwapOption<M>,
    #[cfg(not(feature = "metrics"))] std::marker::PhantomData<fn() -> M>,
);

impl<M> fmt::Debug for Held<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

#[cfg(feature = "metrics")]
mod on {
    use std::sync::Arc;
    use std::time::Duration;

    use metrics::Label;

    use super::{Counter, Gauge, Held, Histogram, Labels, Level};

    fn labels(labels: Labels<'_>) -> Vec<Label> {
        let label = |(name, value): &(&'static str, &str)| Label::new(*name, (*value).to_owned());
        labels.iter().map(label).collect()
    }

    impl Counter {
        pub(crate) fn new(name: &'static str, of: Labels<'_>) -> Self {
            Self(metrics::counter!(name, labels(of)))
        }

        /// Counts for nobody.
        pub(crate) fn none() -> Self {
            Self(metrics::Counter::noop())
        }

        #[inline]
        pub(crate) fn increment(&self) {
            self.0.increment(1);
        }

        pub(crate) fn add(&self, count: u64) {
            self.0.increment(count);
        }
    }

    impl Gauge {
        pub(crate) fn new(name: &'static str, of: Labels<'_>) -> Self {
            Self(metrics::gauge!(name, labels(of)))
        }

        /// Shows to nobody.
        pub(crate) fn none() -> Self {
            Self(metrics::Gauge::noop())
        }

        /// Changes the number by `change`, of either sign.
        #[inline]
        pub(crate) fn add(&self, change: f64) {
            self.0.increment(change);
        }
    }

    impl Level {
        pub(crate) fn new(name: &'static str, of: Labels<'_>) -> Self {
            Self(Gauge::new(name, of), 0)
        }

        #[cfg(test)]
        pub(crate) fn none() -> Self {
            Self(Gauge::none(), 0)
        }

        /// Whole numbers, so that nothing is left of many changes.
        pub(crate) fn set(&mut self, level: u64) {
            let Self(gauge, at) = self;
            if level != *at {
                gauge.add(level as f64 - *at as f64);
                *at = level;
            }
        }
    }

    impl Drop for Level {
        fn drop(&mut self) {
            self.set(0);
        }
    }

    impl Histogram {
        pub(crate) fn new(name: &'static str, of: Labels<'_>) -> Self {
            Self(metrics::histogram!(name, labels(of)))
        }

        pub(crate) fn record(&self, took: Duration) {
            self.0.record(took.as_secs_f64());
        }

        pub(crate) fn record_many(&self, took: Duration, times: usize) {
            self.0.record_many(took.as_secs_f64(), times);
        }
    }

    impl<M> Held<M> {
        pub(crate) fn empty() -> Self {
            Self(arc_swap::ArcSwapOption::const_empty())
        }

        pub(crate) fn put(&self, meters: impl FnOnce() -> M) {
            self.0.store(Some(Arc::new(meters())));
        }

        #[inline]
        pub(crate) fn with(&self, using: impl FnOnce(&M)) {
            if let Some(meters) = &*self.0.load() {
                using(meters);
            }
        }
    }
}

#[cfg(not(feature = "metrics"))]
#[expect(clippy::unused_self, reason = "the same as with the feature")]
mod off {
    use std::marker::PhantomData;
    use std::time::Duration;

    use super::{Counter, Gauge, Held, Histogram, Labels, Level};

    impl Counter {
        pub(crate) fn new(_: &'static str, _: Labels<'_>) -> Self {
            Self()
        }

        pub(crate) fn none() -> Self {
            Self()
        }

        #[inline]
        pub(crate) fn increment(&self) {}

        #[inline]
        pub(crate) fn add(&self, _: u64) {}
    }

    impl Gauge {
        pub(crate) fn new(_: &'static str, _: Labels<'_>) -> Self {
            Self()
        }

        pub(crate) fn none() -> Self {
            Self()
        }

        #[inline]
        pub(crate) fn add(&self, _: f64) {}
    }

    impl Level {
        pub(crate) fn new(_: &'static str, _: Labels<'_>) -> Self {
            Self()
        }

        #[cfg(test)]
        pub(crate) fn none() -> Self {
            Self()
        }

        #[inline]
        pub(crate) fn set(&mut self, _: u64) {}
    }

    impl Histogram {
        pub(crate) fn new(_: &'static str, _: Labels<'_>) -> Self {
            Self()
        }

        pub(crate) fn record(&self, _: Duration) {}

        #[inline]
        pub(crate) fn record_many(&self, _: Duration, _: usize) {}
    }

    impl<M> Held<M> {
        pub(crate) fn empty() -> Self {
            Self(PhantomData)
        }

        pub(crate) fn put(&self, _: impl FnOnce() -> M) {}

        #[inline]
        pub(crate) fn with(&self, _: impl FnOnce(&M)) {}
    }
}
