use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bowline::Error;
use bowline::broker::{Assignment, Commit, Polled, Position, Start, Subscriber, TopicPartition};
use bowline::error::Kind;
use fastrand::Rng;
use tokio::time::{Instant, sleep, sleep_until};

/// Whether the broker answers; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather(Arc<AtomicBool>);

/// A subscriber whose calls fail now and then, and always while the broker is down. A commit that fails
/// may have been made.
#[derive(Debug)]
pub(crate) struct Unreliable<S> {
    inner: S,
    weather: Weather,
    /// How many of 1,000 calls fail.
    faults: u32,
    /// How long a call may take.
    latency: Duration,
    /// When the answer of a poll comes. A poll that is dropped has asked all the same.
    answers: Option<Instant>,
    random: Rng,
}

impl Weather {
    pub(crate) fn set_down(&self, is_down: bool) {
        self.0.store(is_down, Ordering::SeqCst);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl<S> Unreliable<S> {
    /// With so many faults among 1,000 calls, and answers that take up to so long.
    pub(crate) fn new(
        inner: S,
        weather: Weather,
        (faults, latency): (u32, Duration),
        random: Rng,
    ) -> Self {
        Self {
            inner,
            weather,
            faults,
            latency,
            answers: None,
            random,
        }
    }

    fn fails(&mut self) -> bool {
        self.random.u32(0..1_000) < self.faults || self.weather.is_down()
    }

    /// How long the next call takes, or its answer.
    fn delay(&mut self) -> Duration {
        self.latency * self.random.u32(0..100) / 100
    }

    async fn wait(&mut self) {
        let delay = self.delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    fn check(&mut self, operation: &'static str) -> Result<(), Error> {
        if self.fails() {
            return Err(error(operation));
        }
        Ok(())
    }
}

impl<S: Subscriber> Subscriber for Unreliable<S> {
    async fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<(), Error> {
        self.wait().await;
        self.check("subscribe")?;
        self.inner.subscribe(group, topics, start).await
    }

    async fn poll(&mut self, max: NonZeroUsize) -> Result<Polled, Error> {
        let delay = self.delay();
        let answers = self.answers.get_or_insert_with(|| Instant::now() + delay);
        sleep_until(*answers).await;
        self.answers = None;
        self.check("poll")?;
        self.inner.poll(max).await
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<S> {
        let fails = self.fails();
        let begun = (!fails || self.random.bool()).then(|| self.inner.commit(commits));
        let delay = self.delay();
        async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            let answer = match begun {
                Some(begun) => begun.await,
                None => Ok(()),
            };
            if fails { Err(error("commit")) } else { answer }
        }
    }

    fn max_metadata(&self) -> usize {
        self.inner.max_metadata()
    }

    fn ends(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send + use<S> {
        self.inner.ends(partitions)
    }

    fn system(&self) -> &'static str {
        self.inner.system()
    }

    async fn release(&mut self, partitions: &[Assignment]) -> Result<(), Error> {
        self.wait().await;
        // They are given up in any case.
        self.inner.release(partitions).await?;
        self.check("release")
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.inner.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.inner.resume(partition);
    }

    async fn seek(&mut self, assignment: &Assignment, offset: u64) -> Result<(), Error> {
        self.check("seek")?;
        self.inner.seek(assignment, offset).await
    }

    async fn close(mut self) -> Result<(), Error> {
        self.check("close")?;
        self.inner.close().await
    }
}

fn error(operation: &'static str) -> Error {
    Error::new(Kind::Unavailable, "weather", operation)
}
