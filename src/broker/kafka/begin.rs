use std::sync::Arc;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

use super::error::{BACKEND, error};
use super::metadata::ASK;
use super::queue::Queue;
use super::rebalance::{each, list, number, take};
use super::subscriber::Driver;
use crate::broker::{Committed, Start, TopicPartition};
use crate::error::{Error, Kind};

/// A partition from which records come from now on.
pub(super) struct Begun {
    /// How far the group had come.
    pub(super) committed: Option<Committed>,
    pub(super) queue: Queue,
}

/// Finds where to begin in new partitions, and begins; says how far the group had come in each. Blocks.
///
/// A group that starts with the latest commits its start at once: after a crash before the first
/// commit it would otherwise start later, and skip what came in between.
pub(super) fn begin(
    driver: &Arc<Driver>,
    partitions: &[TopicPartition],
    start: Start,
) -> Result<Vec<Begun>, Error> {
    let error = |failed| again(error("poll")(failed));
    let mut offsets = driver
        .committed_offsets(list(partitions), ASK)
        .map_err(&error)?;
    // A partition that failed alone must not pass for one that was never committed.
    each(&offsets).map_err(&error)?;
    let mut first = TopicPartitionList::new();
    let mut all = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let (topic, number) = (&*partition.topic, number(partition));
        let found = offsets.find_partition(topic, number);
        if let Some(committed) = found.as_ref().and_then(committed) {
            all.push(Some(committed));
            continue;
        }
        let (low, high) = driver
            .fetch_watermarks(topic, number, ASK)
            .map_err(&error)?;
        let begin = match start {
            Start::Earliest => low,
            Start::Latest => high,
        };
        offsets
            .set_partition_offset(topic, number, Offset::Offset(begin))
            .map_err(&error)?;
        if start == Start::Latest {
            first
                .add_partition_offset(topic, number, Offset::Offset(begin))
                .map_err(&error)?;
        }
        let begun = u64::try_from(begin).ok().filter(|_| start == Start::Latest);
        all.push(begun.map(Committed::new));
    }
    // Taking comes last: it cannot be done twice, all before it can.
    if first.count() > 0 {
        driver.commit(&first, CommitMode::Sync).map_err(&error)?;
    }
    let mut begun = Vec::with_capacity(partitions.len());
    for (partition, committed) in partitions.iter().zip(all) {
        let queue = Queue::split(driver, partition)?;
        begun.push(Begun { committed, queue });
    }
    take(&**driver, &offsets).map_err(&error)?;
    Ok(begun)
}

/// What the group has committed; `None` when it has not.
pub(super) fn committed(found: &TopicPartitionListElem<'_>) -> Option<Committed> {
    let Offset::Offset(next) = found.offset() else {
        return None;
    };
    let committed = Committed::new(u64::try_from(next).ok()?);
    let metadata = found.metadata();
    Some(if metadata.is_empty() {
        committed
    } else {
        committed.with_metadata(metadata)
    })
}

/// A member that the group has given up begins nothing; the next decision takes the partitions away.
fn again(failed: Error) -> Error {
    match failed.kind() {
        Kind::Fenced => Error::new(Kind::Contention, BACKEND, "poll").with_source(failed),
        _ => failed,
    }
}
