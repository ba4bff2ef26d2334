use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::Config;
use super::config::GroupProtocol;
use super::error::error;
use super::rebalance::Rebalances;
use super::subscriber::Driver;
use crate::error::Error;

/// A client that is to be a member of `group`.
pub(super) fn join(settings: &Config, group: &str) -> Result<Driver, Error> {
    let session = settings.session_timeout.as_millis();
    let mut client = settings.client();
    client
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "false")
        .set("auto.offset.reset", "earliest")
        // Signs of life come from a thread of librdkafka's: polling has a limit of its own. It is
        // also how long a member may drain what it is to give back.
        .set("max.poll.interval.ms", (2 * session).to_string())
        .set("isolation.level", "read_committed")
        // In KiB, of each partition, as each has a queue of its own.
        .set(
            "queued.max.messages.kbytes",
            settings.prefetch.div_ceil(1024).to_string(),
        )
        // How soon to look again when so much was read ahead; a whole second otherwise, in which a
        // fast handler would run dry.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "100");
    match settings.group_protocol {
        GroupProtocol::Classic => client
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Not with the other protocol: librdkafka refuses what is the broker's there.
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 3).to_string()),
        GroupProtocol::Consumer => client.set("group.protocol", "consumer"),
    };
    if let Some(id) = &settings.group_instance_id {
        client.set("group.instance.id", id);
    }
    settings
        .finish(client)
        .create_with_context(Rebalances::default())
        .map_err(error("subscribe"))
}

/// Why polling failed. When the member has ended, the driver says only that, and elsewhere why.
pub(super) fn ended(driver: &Driver, failed: KafkaError) -> Error {
    let why = match failed.rdkafka_error_code() {
        Some(Code::Fatal) => driver.client().fatal_error(),
        _ => None,
    };
    error("poll")(match why {
        Some((code, _)) => KafkaError::MessageConsumptionFatal(code),
        None => failed,
    })
}
