use std::sync::Arc;
use std::thread;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::oneshot;

use super::error::{BACKEND, error};
use super::rebalance::each;
use super::subscriber::Driver;
use crate::error::{Error, Kind};

/// Begins to commit `offsets`. While the group is rebalanced the answer may take as long as that, so
/// the wait has a thread of its own: a runtime waits for its own threads when it ends.
pub(super) fn begin(
    driver: Arc<Driver>,
    offsets: TopicPartitionList,
) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
    let (answer, answered) = oneshot::channel();
    let run = move || {
        let committed = commit(&driver, &offsets);
        drop(driver);
        // Nobody listens any more when the commit was given up.
        drop(answer.send(committed));
    };
    thread::Builder::new()
        .name("kafka-commit".to_owned())
        .spawn(run)
        .map(|_thread| answered)
        .map_err(|source| Error::new(Kind::Full, BACKEND, "commit").with_source(source))
}

fn commit(driver: &Driver, offsets: &TopicPartitionList) -> Result<(), Error> {
    let committed = driver.commit(offsets, CommitMode::Sync);
    // The call as a whole fails only when all of its partitions do.
    match committed.and_then(|()| each(offsets)) {
        Ok(()) => Ok(()),
        // The group has moved on, and the assignment may be carried over: when it is not, the next
        // decision says so. librdkafka itself waits for that too.
        Err(failed) if is_of_generation(&failed) && !driver.assignment_lost() => {
            Err(Error::new(Kind::Contention, BACKEND, "commit").with_source(failed))
        }
        Err(failed) => Err(error("commit")(failed)),
    }
}

fn is_of_generation(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::IllegalGeneration | Code::StaleMemberEpoch))
}
