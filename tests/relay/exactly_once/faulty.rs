//! A broker with transactions that takes its time, and goes on when its caller is gone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{
    Appended, Committed, Memory, MemoryTransactional, PublishError, Record, TopicPartition,
    Transactional, Transactions,
};
use bowline::error::{Error, Kind};
use fastrand::Rng;
use tokio::time::sleep;

#[derive(Debug, Clone)]
pub(super) struct Broker {
    memory: Memory,
    shared: Arc<Mutex<Shared>>,
    max_metadata: usize,
}

#[derive(Debug, Default)]
struct Shared {
    ill: HashSet<&'static str>,
    /// How long a transaction may take, and by whose choice.
    slow: Option<(Duration, Rng)>,
}

#[derive(Debug)]
pub(super) struct Producer {
    /// Held by a transaction that is under way, whether anybody waits for it or not.
    inner: Arc<tokio::sync::Mutex<MemoryTransactional>>,
    broker: Broker,
}

impl Broker {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            memory,
            shared: Arc::default(),
            max_metadata: 4_096,
        }
    }

    pub(super) fn with_max_metadata(mut self, bytes: usize) -> Self {
        self.max_metadata = bytes;
        self
    }

    pub(super) fn with_delays(self, most: Duration, random: Rng) -> Self {
        self.shared.lock().unwrap().slow = Some((most, random));
        self
    }

    /// Takes nothing for `topic` from now on.
    pub(super) fn fails_for(&self, topic: &'static str) {
        self.shared.lock().unwrap().ill.insert(topic);
    }

    pub(super) fn is_well(&self) {
        self.shared.lock().unwrap().ill.clear();
    }

    fn delay(&self) -> Duration {
        let mut shared = self.shared.lock().unwrap();
        shared
            .slow
            .as_mut()
            .map_or(Duration::ZERO, |(most, random)| {
                // Mostly at once.
                most.mul_f64(random.f64().powi(4))
            })
    }

    /// The answers to a batch of which something is for a topic that fails.
    fn refused(&self, batch: &[Record]) -> Option<Vec<Result<Appended, PublishError>>> {
        let shared = self.shared.lock().unwrap();
        let is_ill = |record: &Record| shared.ill.contains(&*record.topic);
        batch.iter().any(is_ill).then(|| {
            let answers = batch.iter().map(|record| {
                if is_ill(record) {
                    let error = Error::new(Kind::Unavailable, "test", "publish");
                    return Err(PublishError::not_sent(error));
                }
                let place = TopicPartition::new(Arc::clone(&record.topic), 0);
                Ok(Appended::within(place))
            });
            answers.collect()
        })
    }
}

impl Transactions for Broker {
    type Producer = Producer;

    async fn connect(&self, id: &str) -> Result<Producer, Error> {
        sleep(self.delay()).await;
        Ok(Producer {
            inner: Arc::new(self.memory.connect(id).await?.into()),
            broker: self.clone(),
        })
    }
}

impl Transactional for Producer {
    async fn publish(
        &mut self,
        batch: Vec<Record>,
        group: &str,
        partition: &TopicPartition,
        committed: &Committed,
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        let mut inner = Arc::clone(&self.inner).lock_owned().await;
        if let Some(refused) = self.broker.refused(&batch) {
            return Ok(refused);
        }
        let (before, after) = (self.broker.delay(), self.broker.delay());
        let (group, partition) = (group.to_owned(), partition.clone());
        let committed = committed.clone();
        let going_on = tokio::spawn(async move {
            sleep(before).await;
            let published = inner.publish(batch, &group, &partition, &committed).await;
            sleep(after).await;
            published
        });
        going_on.await.unwrap()
    }

    async fn position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, Error> {
        let mut inner = self.inner.lock().await;
        sleep(self.broker.delay()).await;
        inner.position(group, partition).await
    }

    fn max_metadata(&self) -> usize {
        self.broker.max_metadata
    }
}
