use std::ops::Deref;
use std::sync::mpsc;
use std::thread;

use rdkafka::ClientConfig;
use rdkafka::producer::FutureProducer;

use super::Config;
use super::context::Context;

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

/// A producer that ends on a thread of its own: the driver then waits for its own threads, up to half
/// a second, and who drops it may be on a thread of the runtime, or hold a lock.
pub(super) struct Held {
    producer: FutureProducer<Context>,
    /// Below the producer, as fields are dropped from the top: when this is gone, that is.
    gone: Option<mpsc::Sender<()>>,
}

impl Held {
    pub(super) const fn new(producer: FutureProducer<Context>) -> Self {
        Self {
            producer,
            gone: None,
        }
    }
}

impl Deref for Held {
    type Target = FutureProducer<Context>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (gone, wait) = mpsc::channel::<()>();
        self.gone = Some(gone);
        let last = self.producer.clone();
        let end = move || {
            // Nothing is sent: it ends when ours is the last.
            for () in wait {}
            drop(last);
        };
        let thread = thread::Builder::new().name("kafka-end".to_owned());
        if let Err(error) = thread.spawn(end) {
            tracing::debug!(%error, "the producer was ended in place");
        }
    }
}
