use rdkafka::ClientConfig;

use super::Config;

/// What a record needs besides key, headers and payload, at most.
const OVERHEAD: u64 = 512;

/// What every producer is told.
pub(super) fn config(settings: &Config) -> ClientConfig {
    let mut client = settings.client();
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set(
            "message.timeout.ms",
            settings.message_timeout.as_millis().to_string(),
        )
        .set(
            "message.max.bytes",
            (settings.max_record + OVERHEAD).to_string(),
        )
        // A batch is handed over as a whole; waiting for more only delays it.
        .set("linger.ms", "0");
    client
}
