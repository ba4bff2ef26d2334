use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::{Fault, Faulty, suffer};
use crate::broker::{Assignment, Commit, Polled, Position, Start, Subscriber, TopicPartition};
use crate::error::Error;

impl<S: Subscriber> Subscriber for Faulty<S> {
    async fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<(), Error> {
        self.faults.step("subscribe").await?;
        // It may be asked to join once more when it was told of a failure only.
        if !self.joined {
            self.inner.subscribe(group, topics, start).await?;
            self.joined = true;
        }
        self.faults.step("subscribe").await
    }

    async fn poll(&mut self, max: NonZeroUsize) -> Result<Polled, Error> {
        self.faults.step("poll").await?;
        self.inner.poll(max).await
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<S> {
        const OPERATION: &str = "commit";
        let faults = self.faults.clone();
        let before = faults.next();
        let begun = match before {
            None | Some(Fault::Delay(_)) => Some(self.inner.commit(commits)),
            Some(Fault::Fail | Fault::Drop | Fault::Hang) => None,
        };
        async move {
            suffer(before, OPERATION).await?;
            if let Some(begun) = begun {
                begun.await?;
            }
            faults.step(OPERATION).await
        }
    }

    fn max_metadata(&self) -> usize {
        self.inner.max_metadata()
    }

    /// No step: it only looks, and when it does is a matter of time.
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
        const OPERATION: &str = "release";
        let before = self.faults.next();
        match before {
            Some(Fault::Delay(_) | Fault::Hang) => suffer(before, OPERATION).await?,
            None | Some(Fault::Fail | Fault::Drop) => {}
        }
        self.inner.release(partitions).await?;
        match before {
            Some(Fault::Fail | Fault::Drop) => suffer(before, OPERATION).await,
            None | Some(Fault::Delay(_) | Fault::Hang) => self.faults.step(OPERATION).await,
        }
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.inner.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.inner.resume(partition);
    }

    async fn seek(&mut self, assignment: &Assignment, offset: u64) -> Result<(), Error> {
        self.faults.step("seek").await?;
        self.inner.seek(assignment, offset).await?;
        self.faults.step("seek").await
    }

    /// One that fails before has not left, and is forgotten all the same.
    async fn close(self) -> Result<(), Error> {
        let Self { inner, faults, .. } = self;
        faults.step("close").await?;
        inner.close().await?;
        faults.step("close").await
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::Faults;
    use super::*;
    use crate::broker::{Memory, MemorySubscriber, Publisher, Record, Topics};

    const MAX: NonZeroUsize = NonZeroUsize::new(10).unwrap();

    /// A member that owns the one partition, in which there are three records.
    async fn member(faults: &Faults) -> (Memory, Faulty<MemorySubscriber>, Assignment) {
        let broker = Memory::new();
        broker.create("t", NonZeroU32::MIN).await.expect("valid");
        let records = (0..3).map(|n: u32| Record::new("t", n.to_string()));
        broker.publish(records.collect()).await;
        let mut member = faults.wrap(broker.subscriber());
        let topics = ["t".into()];
        while member
            .subscribe("g", &topics, Start::Earliest)
            .await
            .is_err()
        {}
        loop {
            if let Ok(Polled::Assigned(mine)) = member.poll(MAX).await {
                let assignment = mine[0].assignment.clone();
                return (broker, member, assignment);
            }
        }
    }

    /// How far the group has come, as the next member is told.
    async fn committed(broker: &Memory) -> Option<u64> {
        let mut next = broker.subscriber();
        let topics = ["t".into()];
        let joined = next.subscribe("g", &topics, Start::Earliest);
        joined.await.expect("the topic exists");
        let Ok(Polled::Assigned(mine)) = next.poll(MAX).await else {
            panic!("it is alone")
        };
        mine[0].committed.as_ref().map(|committed| committed.next)
    }

    #[tokio::test]
    async fn a_commit_is_made_or_not_and_nobody_hears_which() {
        for (step, made) in [(1, None), (2, Some(2))] {
            for fault in [Fault::Fail, Fault::Drop] {
                // Joining is two steps, and learning what is ours a third.
                let faults = Faults::at(3 + step, fault);
                let (broker, mut member, assignment) = member(&faults).await;
                let committed_to = member.commit(&[Commit::new(assignment, 2)]).await;
                assert!(committed_to.expect_err("it failed").is_transient());
                drop(member);
                assert_eq!(committed(&broker).await, made, "{fault:?} at {step}");
            }
        }
    }

    #[tokio::test]
    async fn a_seek_is_made_or_not_and_no_record_is_skipped() {
        for (step, expected) in [(1, 0), (2, 2)] {
            let faults = Faults::at(3 + step, Fault::Fail);
            let (_broker, mut member, assignment) = member(&faults).await;
            member.seek(&assignment, 2).await.expect_err("it failed");
            let Ok(Polled::Records(records)) = member.poll(MAX).await else {
                panic!("there are some")
            };
            assert_eq!(records[0].position.offset, expected);
        }
    }

    #[tokio::test]
    async fn joining_may_be_tried_again_whatever_became_of_it() {
        for step in 1..=3 {
            let faults = Faults::at(step, Fault::Drop);
            member(&faults).await;
            assert!(faults.steps() > 3, "one more than without a fault");
        }
    }
}
