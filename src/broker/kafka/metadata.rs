use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaRespErr;

use super::error::{BACKEND, unanswered};
use crate::error::{Error, Kind};

/// How long to wait for the broker to say what it has.
pub(super) const ASK: Duration = Duration::from_secs(10);

/// How many partitions `topic` has. Blocks.
pub(super) fn partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    operation: &'static str,
) -> Result<usize, Error> {
    let metadata = client
        .fetch_metadata(Some(topic), ASK)
        .map_err(unanswered(operation))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let missing = || {
        Error::new(Kind::NotFound, BACKEND, operation)
            .with_detail(format!("there is no topic {topic}"))
    };
    let found = found.ok_or_else(missing)?;
    match found.error() {
        None if found.partitions().is_empty() => Err(missing()),
        None => Ok(found.partitions().len()),
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Err(missing()),
        Some(code) => Err(
            Error::new(super::error::code_kind(code.into()), BACKEND, operation)
                .with_detail(format!("topic {topic}: {code:?}")),
        ),
    }
}
