use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bowline::Error;
use bowline::broker::{Assignment, Commit, Polled, Position, Start, Subscriber, TopicPartition};
use bowline::error::Kind;

use crate::{Log, What};

/// The header that tells a handler under which assignment its record was read.
pub(crate) const EPOCH: &str = "history-epoch";

/// A subscriber that notes what it is told and asked.
#[derive(Debug)]
pub struct Watched<S> {
    inner: S,
    life: u32,
    log: Log,
    calls: u64,
}

impl<S> Watched<S> {
    /// Notes what becomes of `inner`, which is of `life`.
    pub fn new(inner: S, life: u32, log: Log) -> Self {
        Self {
            inner,
            life,
            log,
            calls: 0,
        }
    }

    fn note(&self, what: What) {
        self.log.note(self.life, what);
    }

    fn note_polled(&self, polled: &mut Polled) {
        match polled {
            Polled::Assigned(assigned) => {
                for one in assigned {
                    let next = one.committed.as_ref().map(|committed| committed.next);
                    self.note(What::Assigned(one.assignment.clone(), next));
                }
            }
            Polled::Lost(lost) => {
                for one in lost {
                    self.note(What::Lost(one.clone()));
                }
            }
            Polled::Revoking(revoking) => {
                for one in revoking {
                    self.note(What::Revoking(one.clone()));
                }
            }
            Polled::Records(records) => {
                for received in records {
                    let epoch = received.epoch.to_string();
                    received.record.headers.set(EPOCH, epoch);
                }
            }
            _ => {}
        }
    }
}

impl<S: Subscriber> Subscriber for Watched<S> {
    async fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<(), Error> {
        self.inner.subscribe(group, topics, start).await
    }

    async fn poll(&mut self, max: NonZeroUsize) -> Result<Polled, Error> {
        let mut polled = self.inner.poll(max).await?;
        self.note_polled(&mut polled);
        Ok(polled)
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<S> {
        self.calls += 1;
        let (call, life, log) = (self.calls, self.life, self.log.clone());
        for one in commits {
            let what = What::Committing(call, one.assignment.clone(), one.committed.next);
            log.note(life, what);
        }
        let answer = self.inner.commit(commits);
        async move {
            let answer = answer.await;
            let what = match &answer {
                Ok(()) => What::Committed(call),
                Err(error) if error.kind() == Kind::Fenced => What::Fenced(call),
                Err(_) => What::Unknown(call),
            };
            log.note(life, what);
            answer
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
        // Before the call: the next owner may begin before it returns.
        for one in partitions {
            self.note(What::Releasing(one.clone()));
        }
        self.inner.release(partitions).await
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.inner.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.inner.resume(partition);
    }

    async fn seek(&mut self, assignment: &Assignment, offset: u64) -> Result<(), Error> {
        self.inner.seek(assignment, offset).await
    }

    async fn close(self) -> Result<(), Error> {
        self.note(What::Closing);
        self.inner.close().await
    }
}
