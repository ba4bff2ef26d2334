use std::num::NonZeroU32;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaRespErr;

use super::error::{BACKEND, unanswered};
use crate::error::{Error, Kind};

/// How long to wait for the broker to say what it has.
pub(super) const ASK: Duration = Duration::from_secs(10);

const OPERATION: &str = "look up topic";

/// How many partitions `topic` has. Blocks.
pub(super) fn partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> Result<NonZeroU32, Error> {
    let metadata = client
        .fetch_metadata(Some(topic), ASK)
        .map_err(unanswered(OPERATION))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let missing = || {
        Error::new(Kind::NotFound, BACKEND, OPERATION)
            .with_detail(format!("there is no topic {topic}"))
    };
    let found = found.ok_or_else(missing)?;
    match found.error() {
        None => u32::try_from(found.partitions().len())
            .ok()
            .and_then(NonZeroU32::new)
            .ok_or_else(missing),
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Err(missing()),
        Some(code) => Err(
            Error::new(super::error::code_kind(code.into()), BACKEND, OPERATION)
                .with_detail(format!("topic {topic}: {code:?}")),
        ),
    }
}
