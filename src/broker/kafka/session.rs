use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{Producer as _, PurgeConfig};
use tokio::time::Instant;

use super::Config;
use super::context::{Context, Reports};
use super::error::error;
use super::producer::{self, Held};
use super::send::late;
use crate::broker::TopicPartition;
use crate::error::Error;

/// After so long without a record a broker may have forgotten a producer; it does so after a day, if
/// it is not told otherwise.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// A producer that may have many records of a key on their way: it ends with the first record that a
/// broker refuses, and sends nothing of what comes after it.
///
/// librdkafka calls this gapless. Its own time limit would leave gaps: it is only for records that
/// nobody waits for any more, and the limit of those that somebody waits for ends the session too.
pub(super) struct Session {
    pub(super) producer: Held,
    /// Partitions whose broker knows this producer, and since when. One that does not takes whatever
    /// comes first, also what follows a refused record.
    opened: Mutex<HashMap<TopicPartition, Instant>>,
    given_up: AtomicBool,
}

impl Session {
    pub(super) fn new(settings: &Config, reports: &Arc<Reports>) -> Result<Self, Error> {
        let mut client = producer::config(settings);
        client
            .set("enable.gapless.guarantee", "true")
            // As long again as somebody waits.
            .set(
                "message.timeout.ms",
                (2 * settings.message_timeout).as_millis().to_string(),
            )
            // How long a topic that was there may be unknown before its records fail.
            .set("topic.metadata.propagation.max.ms", "5000");
        let producer = settings
            .finish(client)
            .create_with_context(Context(Arc::clone(reports)))
            .map_err(error("configure"))?;
        Ok(Self {
            producer: Held::new(producer),
            opened: Mutex::default(),
            given_up: AtomicBool::new(false),
        })
    }

    /// Whether nothing is sent any more.
    pub(super) fn has_ended(&self) -> bool {
        self.given_up.load(Ordering::Acquire) || self.producer.client().fatal_error().is_some()
    }

    /// Whether another session may do what this one cannot do any more.
    pub(super) fn may_be_followed(&self) -> bool {
        self.given_up.load(Ordering::Acquire) || self.was_refused()
    }

    /// Why it ended.
    pub(super) fn end(&self) -> Error {
        match self.producer.client().fatal_error() {
            Some((code, _)) if !matches!(code, Code::GaplessGuarantee | Code::Fatal) => {
                error("publish")(KafkaError::MessageProduction(code))
            }
            _ => late(),
        }
    }

    /// Whether it ended because a broker refused a record. Those that were not sent for that can be
    /// sent again; after any other end nobody knows.
    pub(super) fn was_refused(&self) -> bool {
        let fatal = self.producer.client().fatal_error();
        let gapless = fatal.is_some_and(|(code, _)| code == Code::GaplessGuarantee);
        gapless && !self.given_up.load(Ordering::Acquire)
    }

    /// Ends it: nothing is sent any more.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Takes back what is not on its way.
    pub(super) fn take_back(&self) {
        let purge = PurgeConfig::default().queue().non_blocking();
        self.producer.purge(purge);
    }

    /// Takes back everything, and waits for no answer any more.
    pub(super) fn take_back_all(&self) {
        let purge = PurgeConfig::default().queue().inflight().non_blocking();
        self.producer.purge(purge);
    }

    pub(super) fn is_open(&self, partition: &TopicPartition) -> bool {
        let opened = self.opened().get(partition).copied();
        opened.is_some_and(|at| at.elapsed() < FORGOTTEN)
    }

    /// A record of `partition` was appended.
    pub(super) fn open(&self, partition: &TopicPartition) {
        let now = Instant::now();
        let mut opened = self.opened();
        match opened.get_mut(partition) {
            Some(at) => *at = now,
            None => {
                opened.insert(partition.clone(), now);
            }
        }
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<TopicPartition, Instant>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
