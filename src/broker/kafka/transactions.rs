use super::error::config;
use super::transaction::Transaction;
use super::transactor::Transactor;
use super::{Config, Transactional};
use crate::broker::{self, Appended, Committed, PublishError, Record, TopicPartition};
use crate::error::{Error, Kind};

/// Connects [`Transactional`] producers, e.g. for a relay that publishes exactly once.
#[derive(Debug, Clone)]
pub struct Transactions {
    settings: Config,
}

impl Transactions {
    /// Producers by `settings`; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the configuration is not usable.
    pub fn new(settings: &Config) -> Result<Self, Error> {
        settings.check().map_err(config)?;
        Ok(Self {
            settings: settings.clone(),
        })
    }
}

impl broker::Transactions for Transactions {
    type Producer = Transactional;

    async fn connect(&self, id: &str) -> Result<Transactional, Error> {
        Transactional::connect(&self.settings, id).await
    }
}

impl broker::Transactional for Transactional {
    async fn publish(
        &mut self,
        batch: Vec<Record>,
        group: &str,
        partition: &TopicPartition,
        committed: &Committed,
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        self.calls.run("begin", Transactor::begin).await?;
        let transaction = || Transaction::new(&self.transactor, &self.calls, &self.counts);
        // The position does not wait for the records.
        let (mut records, mut position) = (transaction(), transaction());
        let (results, moved) = tokio::join!(
            records.publish(batch),
            position.commit_position(group, partition, committed)
        );
        if results.iter().any(Result::is_err) {
            // If it is not aborted now, it is when the next one begins.
            return match transaction().abort().await {
                Err(error) if matches!(error.kind(), Kind::Fenced | Kind::Closed) => Err(error),
                _ => Ok(results),
            };
        }
        moved.map_err(failed)?;
        transaction().commit().await.map_err(failed)?;
        Ok(results)
    }

    async fn position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, Error> {
        Self::position(self, group, partition).await
    }

    fn max_metadata(&self) -> usize {
        usize::try_from(self.transactor.settings.max_metadata).unwrap_or(usize::MAX)
    }
}

/// A transaction that has failed in whatever way does not keep the next one from going through.
fn failed(error: Error) -> Error {
    match error.kind() {
        Kind::Other | Kind::Conflict | Kind::Corrupt => {
            let failed = Error::new(Kind::Contention, error.backend(), error.operation());
            failed.with_source(error)
        }
        _ => error,
    }
}
