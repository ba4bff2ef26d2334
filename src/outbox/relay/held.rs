use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::backoff::{Backoff, Delays};

/// Topics that the broker does not have, or not for us, or for which it fails while it takes others. They
/// are left alone for a while, so that what waits for them, however much it is, keeps nobody else
/// waiting.
#[derive(Debug)]
pub(super) struct Held {
    backoff: Backoff,
    topics: HashMap<Arc<str>, (Instant, Delays)>,
    /// Those that the broker took something for last.
    well: HashSet<Arc<str>>,
}

impl Held {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            topics: HashMap::new(),
            well: HashSet::new(),
        }
    }

    /// The topics that are left alone now.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let held = self.topics.iter().filter(|(_, (until, _))| now < *until);
        held.map(|(topic, _)| Arc::clone(topic)).collect()
    }

    /// When the first of those that are left alone now may be tried again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let dues = self.topics.values().map(|(until, _)| *until);
        dues.filter(|until| now < *until).min()
    }

    /// Whether `topic` is left alone now.
    pub(super) fn holds(&self, topic: &Arc<str>) -> bool {
        let now = Instant::now();
        self.topics
            .get(topic)
            .is_some_and(|(until, _)| now < *until)
    }

    /// Leaves `topic` alone, longer each time.
    pub(super) fn hold(&mut self, topic: &Arc<str>) {
        let now = Instant::now();
        self.well.remove(topic);
        let (until, delays) = self
            .topics
            .entry(Arc::clone(topic))
            .or_insert_with(|| (now, self.backoff.delays()));
        if *until <= now {
            *until = now + delays.next().unwrap_or_default();
        }
    }

    /// The broker has taken something for `topic`.
    pub(super) fn free(&mut self, topic: &Arc<str>) {
        self.topics.remove(topic);
        if !self.well.contains(topic) {
            self.well.insert(Arc::clone(topic));
        }
    }

    /// The topics that the broker took something for last.
    pub(super) fn well(&self) -> impl Iterator<Item = &Arc<str>> {
        self.well.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_is_left_alone_now_is_due() {
        let backoff = Backoff::constant(Duration::from_secs(1));
        let mut held = Held::new(backoff);
        held.hold(&"ill".into());
        let due = held.next_due();
        assert!(due.is_some_and(|due| due > Instant::now()));
        // Nothing came for it since: nobody need look at once, again and again.
        advance(Duration::from_secs(2)).await;
        assert_eq!(held.next_due(), None);
        assert!(!held.holds(&"ill".into()));
    }
}
