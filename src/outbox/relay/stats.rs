use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::Report;
use super::latency::{Histogram, Latency};
use super::meters::Meters;

/// Shows what a relay has done; clones show the same relay.
///
/// It stays valid when the relay has ended. What waits is for [`Store::status`] to show, which knows of
/// every relay.
///
/// [`Store::status`]: crate::outbox::Store::status
#[derive(Clone)]
pub struct Stats(Arc<Shared>);

/// What a relay had done at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// Rows that the broker has, and that are settled.
    pub published: u64,
    /// Rows that were parked.
    pub parked: u64,
    /// Rows that were set aside. They are published later, and counted again then.
    pub aside: u64,
    /// Windows that were settled.
    pub windows: u64,
    /// How long rows took from being written to the broker's answer.
    pub latency: Latency,
}

struct Shared {
    published: AtomicU64,
    parked: AtomicU64,
    aside: AtomicU64,
    windows: AtomicU64,
    latency: Histogram,
    meters: Meters,
}

impl Stats {
    pub(super) fn new(meters: Meters) -> Self {
        Self(Arc::new(Shared {
            published: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            aside: AtomicU64::new(0),
            windows: AtomicU64::new(0),
            latency: Histogram::default(),
            meters,
        }))
    }

    /// What it has done until now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            published: read(&self.0.published),
            parked: read(&self.0.parked),
            aside: read(&self.0.aside),
            windows: read(&self.0.windows),
            latency: self.0.latency.snapshot(),
        }
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// The broker has rows that were `written` then, as it said at `now`.
    pub(super) fn answered(
        &self,
        written: impl Iterator<Item = DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let now = now.timestamp_micros();
        let took = written.map(|written| {
            let took = now.saturating_sub(written.timestamp_micros());
            u64::try_from(took).unwrap_or_default()
        });
        let meters = self.meters();
        self.0
            .latency
            .record(took, |took, rows| meters.took(took, rows));
    }

    /// How many windows were settled.
    pub(super) fn windows(&self) -> u64 {
        self.0.windows.load(Ordering::Relaxed)
    }

    /// So many windows were settled.
    pub(super) fn settled(&self, report: Report, windows: u64) {
        let add = |count: &AtomicU64, rows: usize| {
            count.fetch_add(rows as u64, Ordering::Relaxed);
        };
        add(&self.0.published, report.published);
        add(&self.0.parked, report.parked);
        add(&self.0.aside, report.aside);
        self.0.windows.fetch_add(windows, Ordering::Relaxed);
        self.meters().settled(report, windows);
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_row_took_from_when_it_was_written_and_no_less_than_nothing() {
        let stats = Stats::new(Meters::new(&"outbox".into()));
        let now = DateTime::from_timestamp_millis(1_000_000).unwrap_or_default();
        let ago = [0, 2, 3_000].map(|millis| now - Duration::from_millis(millis));
        // The clocks of two machines differ.
        let ahead = now + Duration::from_secs(1);
        stats.answered(ago.into_iter().chain([ahead]), now);
        let latency = stats.snapshot().latency;
        assert_eq!(
            (latency.count(), latency.percentile(50)),
            (4, Duration::ZERO)
        );
        assert_eq!(latency.percentile(75).as_millis(), 2);
        assert_eq!(latency.max(), Duration::from_secs(3));
    }
}
