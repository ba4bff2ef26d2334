use super::{Fault, Faulty, suffer};
use crate::broker::{Appended, PublishError, Publisher, Record};
use crate::error::{Error, Kind};

impl<P: Publisher> Publisher for Faulty<P> {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        const OPERATION: &str = "publish";
        let count = batch.len();
        let before = self.faults.next();
        if let Err(error) = suffer(before, OPERATION).await {
            let how = match before {
                Some(Fault::Drop) => PublishError::unknown,
                _ => PublishError::not_sent,
            };
            return fail(count, error.kind(), how);
        }
        let results = self.inner.publish(batch).await;
        match self.faults.step(OPERATION).await {
            Ok(()) => results,
            Err(error) => fail(count, error.kind(), PublishError::unknown),
        }
    }

    fn system(&self) -> &'static str {
        self.inner.system()
    }
}

/// What becomes of a batch of `count` records that failed as a whole.
fn fail(
    count: usize,
    kind: Kind,
    how: fn(Error) -> PublishError,
) -> Vec<Result<Appended, PublishError>> {
    let error = || Error::new(kind, "faults", "publish");
    (0..count).map(|_| Err(how(error()))).collect()
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::Faults;
    use super::*;
    use crate::broker::{Memory, Polled, SendStatus, Start, Subscriber, Topics};

    async fn broker() -> Memory {
        let broker = Memory::new();
        broker.create("t", NonZeroU32::MIN).await.expect("valid");
        broker
    }

    /// How many records there are.
    async fn count(broker: &Memory) -> usize {
        let mut subscriber = broker.subscriber();
        let topics = ["t".into()];
        let joined = subscriber.subscribe("g", &topics, Start::Earliest);
        joined.await.expect("the topic exists");
        let max = NonZeroUsize::new(10).expect("not zero");
        let polls = async {
            loop {
                if let Ok(Polled::Records(records)) = subscriber.poll(max).await {
                    return records.len();
                }
            }
        };
        let polled = tokio::time::timeout(Duration::from_millis(10), polls).await;
        polled.unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_of_a_record_and_whether_it_is_there() {
        let (not_sent, unknown) = (SendStatus::NotSent, SendStatus::Unknown);
        for (step, fault, told, there) in [
            (1, Fault::Fail, not_sent, 0),
            (1, Fault::Drop, unknown, 0),
            (2, Fault::Fail, unknown, 1),
            (2, Fault::Drop, unknown, 1),
        ] {
            let broker = broker().await;
            let publisher = Faults::at(step, fault).wrap(broker.clone());
            let results = publisher.publish(vec![Record::new("t", "x")]).await;
            let error = results[0].as_ref().expect_err("it failed");
            assert!(error.error().is_transient());
            let found = (error.status(), count(&broker).await);
            assert_eq!(found, (told, there), "{fault:?} at {step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_is_only_a_delay() {
        for step in [1, 2] {
            let broker = broker().await;
            let delay = Fault::Delay(Duration::from_secs(3));
            let publisher = Faults::at(step, delay).wrap(broker.clone());
            let begun = Instant::now();
            let results = publisher.publish(vec![Record::new("t", "x")]).await;
            assert!(results[0].is_ok());
            assert_eq!(begun.elapsed(), Duration::from_secs(3));
            assert_eq!(count(&broker).await, 1);
        }
    }
}
