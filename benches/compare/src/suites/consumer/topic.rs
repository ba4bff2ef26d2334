use std::cell::Cell;
use std::num::NonZeroU32;
use std::process;
use std::time::Duration;

use bowline::broker::kafka::{Config, Publisher, Topics};
use bowline::broker::{Publisher as _, Record, Topics as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::Load;
use crate::report::Result;

/// A topic full of records, of which each has its number in the payload.
///
/// A key is a number too, the record's modulo how many keys there are.
pub(super) struct Topic {
    pub(super) servers: String,
    pub(super) name: String,
    pub(super) records: u32,
    pub(super) keys: u32,
    pub(super) work: Option<Duration>,
    groups: Cell<u32>,
}

const PAYLOAD: usize = 100;
/// Odd and with bits all over.
const NOISE: u32 = 0x9E37_79B1;
const BATCH: u32 = 10_000;
const TIMEOUT: Duration = Duration::from_secs(10);

impl Topic {
    /// # Errors
    ///
    /// The broker takes no topic, or not all records.
    pub(super) async fn fill(servers: &str, load: &Load) -> Result<Self> {
        let Load {
            records,
            keys,
            partitions,
            work,
            ..
        } = *load;
        // The broker may be one that others use too.
        let name = format!("compare-{}-{records}-of-{keys}-keys", process::id());
        let config = Config::new(servers);
        let partitions = NonZeroU32::new(partitions).ok_or("no partitions")?;
        Topics::new(&config)?.create(&name, partitions).await?;
        let publisher = Publisher::new(&config)?;
        let record = |number: u32| {
            // Noise, as what compresses well would unfold in the memory of a consumer.
            let noise = (number..).map(|number| number.wrapping_mul(NOISE).rotate_left(13) as u8);
            let mut payload = number.to_le_bytes().to_vec();
            payload.extend(noise.take(PAYLOAD - payload.len()));
            Record::new(name.as_str(), payload).with_key((number % keys).to_string())
        };
        for first in (0..records).step_by(BATCH as usize) {
            let batch = (first..records.min(first + BATCH)).map(record);
            for appended in publisher.publish(batch.collect()).await {
                appended?;
            }
        }
        Ok(Self {
            servers: servers.to_owned(),
            name,
            records,
            keys,
            work,
            groups: Cell::new(0),
        })
    }

    /// What a worker is told of it.
    pub(super) fn arguments(&self) -> [String; 5] {
        let work = self.work.unwrap_or_default().as_millis();
        [
            self.servers.clone(),
            self.name.clone(),
            work.to_string(),
            self.records.to_string(),
            self.keys.to_string(),
        ]
    }

    /// What a worker was told.
    ///
    /// # Errors
    ///
    /// They are not of a topic.
    pub(super) fn from_arguments(arguments: &[String]) -> Result<Self> {
        let [servers, name, work, records, keys] = arguments else {
            return Err("no topic".into());
        };
        let work = Duration::from_millis(work.parse()?);
        Ok(Self {
            servers: servers.clone(),
            name: name.clone(),
            records: records.parse()?,
            keys: keys.parse()?,
            work: (!work.is_zero()).then_some(work),
            groups: Cell::new(0),
        })
    }

    /// The name of a group that has read nothing yet.
    pub(super) fn new_group(&self) -> String {
        let group = self.groups.replace(self.groups.get() + 1);
        format!("{}-{group}", self.name)
    }

    /// That `group` has committed all there is.
    ///
    /// # Errors
    ///
    /// It has not.
    pub(super) fn check_committed(&self, group: &str) -> Result<()> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("group.id", group)
            .create()?;
        let metadata = consumer.fetch_metadata(Some(&self.name), TIMEOUT)?;
        let mut wanted = TopicPartitionList::new();
        for topic in metadata.topics() {
            for partition in topic.partitions() {
                wanted.add_partition(&self.name, partition.id());
            }
        }
        let mut committed = 0;
        for one in consumer.committed_offsets(wanted, TIMEOUT)?.elements() {
            if let Offset::Offset(offset) = one.offset() {
                committed += offset;
            }
        }
        if committed != i64::from(self.records) {
            return Err(format!("{committed} of {} records committed", self.records).into());
        }
        Ok(())
    }
}
