use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::Offset;
use tokio::task::spawn_blocking;

use super::error::{error, interrupted};
use super::rebalance::list;
use super::subscriber::Driver;
use crate::broker::{Position, TopicPartition};
use crate::error::Error;

/// How long the brokers may take: who leaves the group, or ends the runtime, waits for it.
const ASK: Duration = Duration::from_secs(2);

/// Where the next record of each of `partitions` will stand: the last stable offset, as transactions
/// that are open are not read. Asked for in one request to each broker that leads some of them.
pub(super) async fn ends(
    driver: Arc<Driver>,
    partitions: Vec<TopicPartition>,
) -> Result<Vec<Position>, Error> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let asked = spawn_blocking(move || {
        // A time of -1, which `End` stands for, asks for the end rather than for a time.
        let mut times = list(&partitions);
        times.set_all_offsets(Offset::End)?;
        let found = driver.offsets_for_times(times, ASK)?;
        let position = |partition: TopicPartition| {
            let number = i32::try_from(partition.partition).ok()?;
            let found = found.find_partition(&partition.topic, number)?;
            let (Ok(()), Offset::Offset(end)) = (found.error(), found.offset()) else {
                return None;
            };
            Some(Position::new(partition, u64::try_from(end).ok()?))
        };
        Ok(partitions.into_iter().filter_map(position).collect())
    });
    let answer = asked.await.map_err(interrupted("ends"))?;
    answer.map_err(error("ends"))
}
