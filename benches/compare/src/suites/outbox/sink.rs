use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bowline::clock::{Clock as _, SystemClock};
use rdkafka::ClientConfig;

use crate::book::Book;
use crate::report::Result;

/// Where events are published to, and what is known of them.
pub(super) struct Sink {
    pub(super) book: Book,
    /// The broker and its topic; without them nobody gets them.
    pub(super) kafka: Option<Topic>,
    /// When each was acknowledged, in microseconds since 1970.
    acks: Vec<AtomicU64>,
}

#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) servers: String,
    pub(super) name: String,
}

impl Sink {
    /// # Errors
    ///
    /// The system does not say what a process uses.
    pub(super) fn new(events: u32, keys: u32, kafka: Option<Topic>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            book: Book::new(events, keys)?,
            kafka,
            acks: (0..events).map(|_| AtomicU64::new(0)).collect(),
        }))
    }

    /// Event `number` is published.
    pub(super) fn done(&self, number: u32) {
        if self.kafka.is_some() {
            let ack = usize::try_from(number).ok().and_then(|n| self.acks.get(n));
            if let Some(ack) = ack {
                ack.store(now(), Ordering::Relaxed);
            }
        }
        self.book.done_number(number);
    }

    pub(super) fn acks(&self) -> Vec<u64> {
        let acks = self.acks.iter();
        acks.map(|ack| ack.load(Ordering::Relaxed)).collect()
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

impl Topic {
    /// The driver's settings for all but us, who have the same by default: nothing is lost or turned
    /// around, and nothing waits for company.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        config.set("enable.idempotence", "true");
        config.set("linger.ms", "0");
        config.set("compression.type", "lz4");
        config
    }
}

/// The number of the event whose payload this is.
pub(super) fn number(payload: Option<&[u8]>) -> u32 {
    let number = payload.and_then(|payload| payload.first_chunk());
    number.map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
}

/// In microseconds since 1970: two processes compare it.
pub(super) fn now() -> u64 {
    u64::try_from(SystemClock.now().timestamp_micros()).unwrap_or_default()
}
