use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{DeliveryFuture, OwnedDeliveryResult};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Config;
use super::context::{Context, Reports};
use super::error::{BACKEND, config, error, interrupted, publish};
use super::metadata;
use crate::broker::{self, Appended, Position, PublishError, Record, TopicPartition};
use crate::error::{Error, Kind};

/// How long a full queue is given to drain before it is tried again.
const QUEUE_FULL: Duration = Duration::from_millis(5);

/// Publishes to Kafka. Clones share the producer.
#[derive(Clone)]
pub struct Publisher {
    producer: FutureProducer<Context>,
    reports: Arc<Reports>,
    max_record: usize,
    /// Topics that were there when they were asked for.
    known: Arc<Mutex<HashSet<Arc<str>>>>,
}

impl Publisher {
    /// A publisher; the connection is made in the background.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the configuration is not usable.
    pub fn new(settings: &Config) -> Result<Self, Error> {
        settings.check().map_err(config)?;
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
            // A wave is handed over as a whole; waiting for more only delays it.
            .set("linger.ms", "0");
        let reports = Arc::new(Reports::default());
        let producer = settings
            .finish(client)
            .create_with_context(Context(Arc::clone(&reports)))
            .map_err(error("configure"))?;
        let max_record = usize::try_from(settings.max_record).unwrap_or(usize::MAX);
        Ok(Self {
            producer,
            reports,
            max_record,
            known: Arc::default(),
        })
    }

    /// Whether the topic of `record` exists and its size fits.
    async fn admit(&self, record: &Record) -> Result<(), Error> {
        let size = record.size();
        if size > self.max_record {
            return Err(
                Error::new(Kind::TooLarge, BACKEND, "publish").with_detail(format!(
                    "the record has {size} bytes, allowed: {}",
                    self.max_record
                )),
            );
        }
        if self.known().contains(&record.topic) {
            return Ok(());
        }
        let (producer, topic) = (self.producer.clone(), Arc::clone(&record.topic));
        let asked = Arc::clone(&topic);
        let found =
            spawn_blocking(move || metadata::partitions(producer.client(), &asked, "publish"));
        let found = found.await.map_err(interrupted("publish"))?;
        let refusal = self.reports.refusal();
        match (found, refusal) {
            (Ok(_), _) => {
                self.known().insert(topic);
                Ok(())
            }
            (Err(_), Some(reason)) => {
                Err(Error::new(Kind::Unauthorized, BACKEND, "publish").with_detail(reason))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Hands a record to librdkafka, which answers later.
    async fn send(&self, record: &Record) -> Result<DeliveryFuture, PublishError> {
        loop {
            let mut message: FutureRecord<'_, [u8], [u8]> =
                FutureRecord::to(&record.topic).headers(headers(record));
            if let Some(key) = &record.key {
                message = message.key(key);
            }
            if let Some(payload) = &record.payload {
                message = message.payload(payload);
            }
            if let Some(partition) = record.partition.and_then(|p| i32::try_from(p).ok()) {
                message = message.partition(partition);
            }
            match self.producer.send_result(message) {
                Ok(answer) => return Ok(answer),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    sleep(QUEUE_FULL).await;
                }
                Err((error, _)) => return Err(publish(error)),
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<Arc<str>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a record needs besides key, headers and payload, at most.
const OVERHEAD: u64 = 512;

impl broker::Publisher for Publisher {
    /// A batch goes out in waves with at most one record of a key each: the next record of a key is
    /// sent when the one before it was acknowledged. So no failure, of whatever kind, can let a
    /// later record of a key pass an earlier one.
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let mut results: Vec<Option<Result<Appended, PublishError>>> =
            batch.iter().map(|_| None).collect();
        let mut failed: HashSet<(Arc<str>, Bytes)> = HashSet::new();
        while results.iter().any(Option::is_none) {
            let mut on_the_way = HashSet::new();
            let mut answers = Vec::new();
            for (index, record) in batch.iter().enumerate() {
                if results[index].is_some() {
                    continue;
                }
                let key = record
                    .key
                    .clone()
                    .map(|key| (Arc::clone(&record.topic), key));
                if key.as_ref().is_some_and(|key| failed.contains(key)) {
                    results[index] = Some(Err(PublishError::held(BACKEND)));
                    continue;
                }
                if key
                    .as_ref()
                    .is_some_and(|key| !on_the_way.insert(key.clone()))
                {
                    continue;
                }
                let sent = match self.admit(record).await {
                    Ok(()) => self.send(record).await,
                    Err(error) => Err(PublishError::not_sent(error)),
                };
                match sent {
                    Ok(answer) => answers.push((index, key, answer)),
                    Err(error) => {
                        failed.extend(key);
                        results[index] = Some(Err(error));
                    }
                }
            }
            for (index, key, answer) in answers {
                let result = acknowledged(&batch[index], answer.await);
                if result.is_err() {
                    failed.extend(key);
                }
                results[index] = Some(result);
            }
        }
        results.into_iter().flatten().collect()
    }
}

fn acknowledged<E: std::error::Error + Send + Sync + 'static>(
    record: &Record,
    answer: Result<OwnedDeliveryResult, E>,
) -> Result<Appended, PublishError> {
    match answer {
        Ok(Ok(delivered)) => {
            let partition = u32::try_from(delivered.partition).unwrap_or_default();
            let offset = u64::try_from(delivered.offset).unwrap_or_default();
            let partition = TopicPartition::new(Arc::clone(&record.topic), partition);
            Ok(Appended::at(Position::new(partition, offset)))
        }
        Ok(Err((error, _))) => Err(publish(error)),
        Err(canceled) => Err(PublishError::unknown(
            Error::new(Kind::Closed, BACKEND, "publish").with_source(canceled),
        )),
    }
}

fn headers(record: &Record) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    record
        .headers
        .iter()
        .fold(headers, |headers, (name, value)| {
            headers.insert(Header {
                key: name,
                value: Some(&**value),
            })
        })
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kafka::Publisher")
    }
}
