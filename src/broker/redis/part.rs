//! What of a batch goes into one script, and what comes of it.

use std::collections::HashMap;

use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Value, cmd};
use bytes::Bytes;

use super::Redis;
use super::append::OPERATION;
use crate::broker::{Record, TopicPartition};
use crate::driver::redis::error;
use crate::error::Error;

/// Records for one script.
#[derive(Default)]
pub(super) struct Part {
    pub(super) partitions: Vec<Place>,
    by_name: HashMap<TopicPartition, usize>,
    /// Indices in the batch and in `partitions`, and the headers.
    pub(super) records: Vec<(usize, usize, Bytes)>,
    pub(super) bytes: usize,
}

pub(super) struct Place {
    pub(super) partition: TopicPartition,
    /// How many partitions the topic has, as far as we know.
    count: u32,
}

impl Part {
    /// The call of the script that appends the records, which are those of `batch`.
    pub(super) fn command(&self, broker: &Redis, batch: &[Record]) -> Cmd {
        let keys = &broker.keys;
        let mut command = cmd("EVALSHA");
        command
            .arg(broker.scripts.append.get_hash())
            .arg(3 * self.partitions.len());
        for Place { partition, .. } in &self.partitions {
            command
                .arg(keys.topic(&partition.topic))
                .arg(keys.log(partition))
                .arg(keys.done(partition));
        }
        command.arg(broker.max_len.map_or(0, Into::into));
        for Place { partition, count } in &self.partitions {
            command.arg(partition.partition).arg(count);
        }
        for (index, place, headers) in &self.records {
            let record = &batch[*index];
            let headers = (!headers.is_empty()).then_some(headers);
            let fields = [
                ("k", record.key.as_ref()),
                ("h", headers),
                ("p", record.payload.as_ref()),
            ];
            let values = fields.iter().filter(|(_, value)| value.is_some()).count() * 2;
            command.arg(place + 1).arg(values);
            for (name, value) in fields {
                if let Some(value) = value {
                    command.arg(name).arg(&**value);
                }
            }
        }
        command
    }

    /// The index of `partition` among those of this part.
    pub(super) fn place(&mut self, partition: TopicPartition, count: u32) -> usize {
        let places = &mut self.partitions;
        *self
            .by_name
            .entry(partition)
            .or_insert_with_key(|partition| {
                places.push(Place {
                    partition: partition.clone(),
                    count,
                });
                places.len() - 1
            })
    }
}

/// What the script has done.
pub(super) struct Answer {
    /// The partition that could not be appended to.
    pub(super) broken: Option<usize>,
    /// What is wrong with it; empty when its topic is not there as expected.
    pub(super) problem: String,
    pub(super) appended: usize,
    /// The offset of the first record of each partition.
    pub(super) firsts: Vec<u64>,
}

impl Answer {
    pub(super) fn read(value: Value) -> Result<Self, ::redis::ParsingError> {
        let mut values = Vec::<Value>::from_redis_value(value)?.into_iter();
        let mut next = || values.next().unwrap_or(Value::Nil);
        let broken = usize::from_redis_value(next())?.checked_sub(1);
        let problem = String::from_redis_value(next())?;
        let appended = usize::from_redis_value(next())?;
        let firsts = values
            .map(u64::from_redis_value)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            broken,
            problem,
            appended,
            firsts,
        })
    }
}

/// A script did not answer as it should.
pub(super) enum Failed {
    NotSent(Error),
    Unknown(Error),
}

impl Failed {
    /// What the server refuses it has not begun, and a connection that was refused has sent nothing.
    pub(super) fn new(source: RedisError) -> Self {
        let refused = match source.kind() {
            ErrorKind::Io | ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                source.is_connection_refusal()
            }
            _ => true,
        };
        let error = error(OPERATION)(source);
        if refused {
            Self::NotSent(error)
        } else {
            Self::Unknown(error)
        }
    }
}
