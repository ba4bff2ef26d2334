use super::Faulty;
use crate::broker::{
    Appended, Committed, PublishError, Record, TopicPartition, Transactional, Transactions,
};
use crate::error::Error;

impl<T: Transactions> Transactions for Faulty<T> {
    type Producer = Faulty<T::Producer>;

    async fn connect(&self, id: &str) -> Result<Self::Producer, Error> {
        let producer = self.around("connect", self.inner.connect(id)).await?;
        Ok(self.faults.wrap(producer))
    }
}

/// What was published is there or not, and only the position tells.
impl<T: Transactional> Transactional for Faulty<T> {
    async fn publish(
        &mut self,
        batch: Vec<Record>,
        group: &str,
        partition: &TopicPartition,
        committed: &Committed,
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        self.faults.step("publish").await?;
        let published = self.inner.publish(batch, group, partition, committed);
        let results = published.await?;
        self.faults.step("publish").await?;
        Ok(results)
    }

    async fn position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, Error> {
        self.faults.step("position").await?;
        let position = self.inner.position(group, partition).await?;
        self.faults.step("position").await?;
        Ok(position)
    }

    fn max_metadata(&self) -> usize {
        self.inner.max_metadata()
    }
}
