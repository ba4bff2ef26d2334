use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;

use super::{PublishError, Record, partition_for};
use crate::error::{Error, Kind};

/// The largest record, as [`Record::size`] counts it, unless the broker is told otherwise: 1 MiB,
/// as Kafka has it.
pub(super) const DEFAULT_MAX_RECORD: usize = 1024 * 1024;

const MAX_TOPIC_NAME: usize = 249;

/// Decides for each record of a batch, in order, whether it may be appended, and where.
#[derive(Debug)]
pub(super) struct Admission {
    backend: &'static str,
    max_record: usize,
    failed: HashSet<(Arc<str>, Bytes)>,
}

impl Admission {
    pub(super) fn new(backend: &'static str, max_record: usize) -> Self {
        Self {
            backend,
            max_record,
            failed: HashSet::new(),
        }
    }

    /// The partition of `record`; `partitions` is how many its topic has, `turn` spreads records
    /// that have no key.
    pub(super) fn admit(
        &mut self,
        record: &Record,
        partitions: Option<NonZeroU32>,
        turn: &mut u32,
    ) -> Result<u32, PublishError> {
        let key = record
            .key
            .as_ref()
            .map(|key| (Arc::clone(&record.topic), key.clone()));
        if key.as_ref().is_some_and(|key| self.failed.contains(key)) {
            return Err(PublishError::held(self.backend));
        }
        self.place(record, partitions, turn).map_err(|error| {
            self.failed.extend(key);
            PublishError::not_sent(error)
        })
    }

    /// Holds back the later records of the key of `record`, which was admitted and failed then.
    #[cfg(any(feature = "kafka", feature = "redis"))]
    pub(super) fn failed(&mut self, record: &Record) {
        let key = record.key.clone();
        self.failed
            .extend(key.map(|key| (Arc::clone(&record.topic), key)));
    }

    fn place(
        &self,
        record: &Record,
        partitions: Option<NonZeroU32>,
        turn: &mut u32,
    ) -> Result<u32, Error> {
        let Some(partitions) = partitions else {
            return Err(unknown_topic(self.backend, "publish", &record.topic));
        };
        let size = record.size();
        if size > self.max_record {
            return Err(self.error(
                Kind::TooLarge,
                format!(
                    "record has {size} bytes, allowed: up to {}",
                    self.max_record
                ),
            ));
        }
        match (record.partition, &record.key) {
            (Some(partition), _) if partition < partitions.get() => Ok(partition),
            (Some(partition), _) => Err(self.error(
                Kind::Invalid,
                format!(
                    "partition is {partition}, topic {} has 0 to {}",
                    record.topic,
                    partitions.get() - 1
                ),
            )),
            (None, Some(key)) => Ok(partition_for(key, partitions)),
            (None, None) => {
                *turn = turn.wrapping_add(1);
                Ok(*turn % partitions)
            }
        }
    }

    fn error(&self, kind: Kind, detail: String) -> Error {
        Error::new(kind, self.backend, "publish").with_detail(detail)
    }
}

/// The error for a topic that does not exist.
pub(super) fn unknown_topic(
    backend: &'static str,
    operation: &'static str,
    topic: &Arc<str>,
) -> Error {
    Error::new(Kind::NotFound, backend, operation).with_detail(format!("topic {topic}"))
}

/// Refuses a topic name that Kafka would refuse.
pub(super) fn check_topic_name(backend: &'static str, topic: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let length = 1..=MAX_TOPIC_NAME;
    if length.contains(&topic.len()) && topic.chars().all(allowed) && !matches!(topic, "." | "..") {
        return Ok(());
    }
    Err(
        Error::new(Kind::Invalid, backend, "create topic").with_detail(format!(
            "topic name is {topic:?}, allowed: 1 to {MAX_TOPIC_NAME} of a-z A-Z 0-9 . _ -, \
             not \".\" and \"..\""
        )),
    )
}

/// Refuses to create `topic` anew with another number of partitions.
pub(super) fn check_partitions(
    backend: &'static str,
    topic: &str,
    existing: u32,
    wanted: NonZeroU32,
) -> Result<(), Error> {
    if existing == wanted.get() {
        return Ok(());
    }
    Err(
        Error::new(Kind::Conflict, backend, "create topic").with_detail(format!(
            "topic {topic} has {existing} partitions, wanted {wanted}"
        )),
    )
}
