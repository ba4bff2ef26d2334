//! Metrics through the `metrics` facade; without the feature there is nothing left of them.
//!
//! A handle is resolved once, from the recorder that stands when the pattern is built, and then
//! costs no look-up, no label and no allocation.

/// Names and values that tell the series of a metric apart.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Counts.
#[derive(Clone)]
pub(crate) struct Counter(#[cfg(feature = "metrics")] metrics::Counter);

/// Shows a number that goes up and down.
#[derive(Clone)]
pub(crate) struct Gauge(#[cfg(feature = "metrics")] metrics::Gauge);

#[cfg(feature = "metrics")]
mod on {
    use metrics::Label;

    use super::{Counter, Gauge, Labels};

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
    }

    impl Gauge {
        pub(crate) fn new(name: &'static str, of: Labels<'_>) -> Self {
            Self(metrics::gauge!(name, labels(of)))
        }

        /// Shows to nobody.
        pub(crate) fn none() -> Self {
            Self(metrics::Gauge::noop())
        }

        #[inline]
        pub(crate) fn set(&self, value: f64) {
            self.0.set(value);
        }

        /// Changes the number by `change`, of either sign.
        #[inline]
        pub(crate) fn add(&self, change: f64) {
            self.0.increment(change);
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    use super::{Counter, Gauge, Labels};

    impl Counter {
        pub(crate) fn new(_: &'static str, _: Labels<'_>) -> Self {
            Self()
        }

        pub(crate) fn none() -> Self {
            Self()
        }

        #[inline]
        pub(crate) fn increment(&self) {}
    }

    impl Gauge {
        pub(crate) fn new(_: &'static str, _: Labels<'_>) -> Self {
            Self()
        }

        pub(crate) fn none() -> Self {
            Self()
        }

        #[inline]
        pub(crate) fn set(&self, _: f64) {}

        #[inline]
        pub(crate) fn add(&self, _: f64) {}
    }
}
