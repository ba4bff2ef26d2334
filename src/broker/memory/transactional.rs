use std::fmt;
use std::sync::Arc;

use super::state::State;
use super::{BACKEND, Memory, Shared};
use crate::broker::admission::{Admission, unknown_topic};
use crate::broker::membership::MAX_METADATA;
use crate::broker::{
    Appended, Committed, PublishError, Record, TopicPartition, Transactional, Transactions,
};
use crate::error::{Error, Kind};

/// A producer of a [`Memory`] broker whose batches are there all together or not at all.
pub struct MemoryTransactional {
    shared: Arc<Shared>,
    max_record: usize,
    id: Arc<str>,
    epoch: u64,
}

impl Transactions for Memory {
    type Producer = MemoryTransactional;

    async fn connect(&self, id: &str) -> Result<MemoryTransactional, Error> {
        if id.is_empty() {
            let empty = Error::new(Kind::Invalid, BACKEND, "connect");
            return Err(empty.with_detail("the transactional id is empty"));
        }
        let id = Arc::from(id);
        let epoch = self.shared.state().take_over(&id);
        Ok(MemoryTransactional {
            shared: Arc::clone(&self.shared),
            max_record: self.max_record,
            id,
            epoch,
        })
    }
}

impl MemoryTransactional {
    fn check(&self, state: &State, operation: &'static str) -> Result<(), Error> {
        if state.is_newest(&self.id, self.epoch) {
            return Ok(());
        }
        let fenced = Error::new(Kind::Fenced, BACKEND, operation);
        Err(fenced.with_detail(format!("another producer has taken {:?} over", self.id)))
    }
}

impl Transactional for MemoryTransactional {
    async fn publish(
        &mut self,
        batch: Vec<Record>,
        group: &str,
        partition: &TopicPartition,
        committed: &Committed,
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        const OPERATION: &str = "publish";
        let now = self.shared.clock.now();
        let mut admission = Admission::new(BACKEND, self.max_record);
        let results = {
            let mut state = self.shared.state();
            self.check(&state, OPERATION)?;
            check_metadata(committed)?;
            if !state.has_partition(partition) {
                return Err(unknown_topic(BACKEND, OPERATION, &partition.topic));
            }
            let results = state.append_all(batch, &mut admission, now);
            if results.iter().all(Result::is_ok) {
                state.set_position(group, partition, committed);
            }
            results
        };
        self.shared.changed();
        Ok(results)
    }

    async fn position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, Error> {
        let state = self.shared.state();
        self.check(&state, "read position")?;
        Ok(state.position(group, partition))
    }

    fn max_metadata(&self) -> usize {
        MAX_METADATA
    }
}

impl fmt::Debug for MemoryTransactional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransactional")
            .field("id", &self.id)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

fn check_metadata(committed: &Committed) -> Result<(), Error> {
    let length = committed.metadata.as_ref().map_or(0, |text| text.len());
    if length <= MAX_METADATA {
        return Ok(());
    }
    let error = Error::new(Kind::TooLarge, BACKEND, "commit position");
    Err(error.with_detail(format!(
        "metadata has {length} bytes, allowed: up to {MAX_METADATA}"
    )))
}
