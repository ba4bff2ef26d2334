use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;

#[cfg(feature = "kafka")]
use bowline::broker::kafka;
use bowline::broker::{
    Assignment, Commit, Polled, Position, RedisSubscriber, SqliteSubscriber, Start, Subscriber,
    TopicPartition,
};
use bowline::error::Error;

/// A member of a consumer group of a [`Broker`](super::Broker).
#[derive(Debug)]
#[non_exhaustive]
pub enum Member {
    /// On SQLite.
    Sqlite(Box<SqliteSubscriber>),
    /// On Redis Streams.
    Redis(Box<RedisSubscriber>),
    /// On Kafka.
    #[cfg(feature = "kafka")]
    Kafka(Box<kafka::Subscriber>),
}

/// What `$call` gives for the `$member` of whichever broker.
macro_rules! each {
    ($this:expr, $member:ident => $call:expr) => {
        match $this {
            Member::Sqlite($member) => $call,
            Member::Redis($member) => $call,
            #[cfg(feature = "kafka")]
            Member::Kafka($member) => $call,
        }
    };
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

impl Subscriber for Member {
    async fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<(), Error> {
        each!(self, member => member.subscribe(group, topics, start).await)
    }

    async fn poll(&mut self, max: NonZeroUsize) -> Result<Polled, Error> {
        each!(self, member => member.poll(max).await)
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let done: Answer<()> = each!(self, member => Box::pin(member.commit(commits)));
        done
    }

    fn ends(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send + use<> {
        let ends: Answer<_> = each!(self, member => Box::pin(member.ends(partitions)));
        ends
    }

    fn system(&self) -> &'static str {
        each!(self, member => member.system())
    }

    fn max_metadata(&self) -> usize {
        each!(self, member => member.max_metadata())
    }

    async fn release(&mut self, partitions: &[Assignment]) -> Result<(), Error> {
        each!(self, member => member.release(partitions).await)
    }

    fn pause(&mut self, partition: &TopicPartition) {
        each!(self, member => member.pause(partition));
    }

    fn resume(&mut self, partition: &TopicPartition) {
        each!(self, member => member.resume(partition));
    }

    async fn seek(&mut self, assignment: &Assignment, offset: u64) -> Result<(), Error> {
        each!(self, member => member.seek(assignment, offset).await)
    }

    async fn close(self) -> Result<(), Error> {
        each!(self, member => member.close().await)
    }
}
