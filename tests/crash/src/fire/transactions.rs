use bowline::broker::{
    Appended, Committed, PublishError, Record, TopicPartition, Transactional, Transactions,
};
use bowline::error::{Error, Kind};

use super::{Call, UnderFire};

impl<T: Transactions> Transactions for UnderFire<T> {
    type Producer = UnderFire<T::Producer>;

    async fn connect(&self, id: &str) -> Result<Self::Producer, Error> {
        let connected = self.inner.connect(id).await;
        connected.map(|producer| self.plan.around(producer))
    }
}

impl<P: Transactional> Transactional for UnderFire<P> {
    async fn publish(
        &mut self,
        batch: Vec<Record>,
        group: &str,
        partition: &TopicPartition,
        committed: &Committed,
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        let published = self.inner.publish(batch, group, partition, committed);
        let published = self.plan.through(Call::Publish, published).await;
        if let Err(error) = &published
            && error.kind() == Kind::Fenced
        {
            self.plan.fenced();
        }
        published
    }

    async fn position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, Error> {
        self.inner.position(group, partition).await
    }

    fn max_metadata(&self) -> usize {
        self.inner.max_metadata()
    }
}
