use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::{Config, Consumer, Order, Status};
use crate::backoff::Backoff;
use crate::broker::Start;
use crate::config::{ConfigError, Problems};

/// Makes a [`Consumer`]; see [`Consumer::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<S, H> {
    subscriber: S,
    handler: H,
    group: Arc<str>,
    topics: Vec<Arc<str>>,
    start: Start,
    config: Config,
}

impl<S, H> Builder<S, H> {
    pub(super) fn new(subscriber: S, handler: H) -> Self {
        Self {
            subscriber,
            handler,
            group: "".into(),
            topics: Vec::new(),
            start: Start::default(),
            config: Config::default(),
        }
    }

    /// The group that shares the records. Required.
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.group = group.into();
        self
    }

    /// The topics to read, in place of any that were given before. Required.
    pub fn topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Sets where the group starts in a partition that it has never committed; at the oldest record
    /// unless set.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets all of the configuration, e.g. as read from a file.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets [`Config::order`], [`Order::Key`] unless set.
    pub fn with_order(mut self, order: Order) -> Self {
        self.config.order = order;
        self
    }

    /// Sets [`Config::concurrency`], [`Config::DEFAULT_CONCURRENCY`] unless set.
    pub fn with_concurrency(mut self, records: NonZeroUsize) -> Self {
        self.config.concurrency = records;
        self
    }

    /// Sets [`Config::window`], [`Config::DEFAULT_WINDOW`] unless set.
    pub fn with_window(mut self, records: NonZeroUsize) -> Self {
        self.config.window = records;
        self
    }

    /// Sets [`Config::deadline`], none unless set.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = Some(deadline);
        self
    }

    /// Sets [`Config::queue`], [`Config::DEFAULT_QUEUE`] unless set.
    pub fn with_queue(mut self, records: NonZeroUsize) -> Self {
        self.config.queue = records;
        self
    }

    /// Sets [`Config::commit_interval`], [`Config::DEFAULT_COMMIT_INTERVAL`] unless set; zero commits
    /// as soon as possible.
    pub fn with_commit_interval(mut self, interval: Duration) -> Self {
        self.config.commit_interval = interval;
        self
    }

    /// Sets [`Config::drain_timeout`], [`Config::DEFAULT_DRAIN_TIMEOUT`] unless set; zero waits for
    /// nobody.
    pub fn with_drain_timeout(mut self, timeout: Duration) -> Self {
        self.config.drain_timeout = timeout;
        self
    }

    /// Sets [`Config::backoff`], [`Backoff::default`] unless set.
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Sets [`Config::lag_interval`], [`Config::DEFAULT_LAG_INTERVAL`] unless set.
    pub fn with_lag_interval(mut self, interval: Duration) -> Self {
        self.config.lag_interval = Some(interval);
        self
    }

    /// Never asks the broker where the partitions end.
    pub fn without_lag(mut self) -> Self {
        self.config.lag_interval = None;
        self
    }

    /// The consumer. It does nothing until it is run.
    ///
    /// # Errors
    ///
    /// All problems: no group, no topics, an empty or repeated topic, and those of
    /// [`Config::check`].
    pub fn build(self) -> Result<Consumer<S, H>, ConfigError> {
        let mut problems = Problems::default();
        problems.check(!self.group.is_empty(), "group", "\"\"", "a name");
        problems.check(
            !self.topics.is_empty(),
            "topics",
            "[]",
            "at least one topic",
        );
        let mut seen = HashSet::new();
        for topic in &self.topics {
            let fine = !topic.is_empty() && seen.insert(topic);
            problems.check(fine, "topics", format!("{topic:?}"), "a name, each once");
        }
        self.config.check(&mut problems);
        problems.into_result()?;
        Ok(Consumer {
            subscriber: self.subscriber,
            handler: self.handler,
            group: self.group,
            topics: self.topics,
            start: self.start,
            config: self.config,
            status: Status::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_named_at_once() {
        let error = Builder::new((), ())
            .topics(["tasks", "tasks"])
            .with_drain_timeout(Duration::from_secs(7200))
            .build()
            .map(|_| ())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "3 problems in the configuration: group is \"\", allowed: a name; \
             topics is \"tasks\", allowed: a name, each once; \
             drain_timeout is 2h, allowed: at most 1h"
        );
    }
}
