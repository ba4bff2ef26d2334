use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
use crate::broker::admission::Admission;
use crate::broker::{self, Appended, Position, PublishError, Record, TopicPartition};
use crate::error::{Error, Kind};

/// How long a full queue is given to drain before it is tried again.
const QUEUE_FULL: Duration = Duration::from_millis(5);

/// Publishes to Kafka. Clones share the producer.
#[derive(Clone)]
pub struct Publisher {
    settings: Arc<Config>,
    producer: Arc<Mutex<FutureProducer<Context>>>,
    reports: Arc<Reports>,
    max_record: usize,
    /// Topics and their partitions as they were when they were asked for.
    known: Arc<Mutex<HashMap<Arc<str>, NonZeroU32>>>,
}

/// How many partitions a topic has. The error is that of all its records in a batch.
type Found = Result<NonZeroU32, Arc<Error>>;

impl Publisher {
    /// A publisher; the connection is made in the background.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the configuration is not usable.
    pub fn new(settings: &Config) -> Result<Self, Error> {
        settings.check().map_err(config)?;
        let reports = Arc::new(Reports::default());
        let producer = connect(settings, &reports)?;
        let max_record = usize::try_from(settings.max_record).unwrap_or(usize::MAX);
        Ok(Self {
            settings: Arc::new(settings.clone()),
            producer: Arc::new(Mutex::new(producer)),
            reports,
            max_record,
            known: Arc::default(),
        })
    }

    /// The producer; a new one when the last is of no use any more, as an idempotent producer is
    /// after some errors.
    fn producer(&self) -> Result<FutureProducer<Context>, Error> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = producer.client().fatal_error() {
            tracing::warn!(%code, reason, "the producer has failed for good, making another");
            *producer = connect(&self.settings, &self.reports)?;
        }
        Ok(producer.clone())
    }

    /// How many partitions each topic of `batch` has, or why nobody can say. Each is asked for once.
    async fn look_up(
        &self,
        producer: &FutureProducer<Context>,
        batch: &[Record],
    ) -> HashMap<Arc<str>, Found> {
        let mut found: HashMap<_, Found> = HashMap::new();
        let mut down: Option<Arc<Error>> = None;
        for record in batch {
            // A topic may have got more partitions since it was looked up.
            let fits = |count: NonZeroU32| record.partition.is_none_or(|p| p < count.get());
            let known = self.known().get(&record.topic).copied();
            if let Some(count) = known.filter(|count| fits(*count)) {
                found.insert(Arc::clone(&record.topic), Ok(count));
            } else if !found.contains_key(&record.topic) {
                let asked = match &down {
                    Some(error) => Err(Arc::clone(error)),
                    None => self.ask(producer, &record.topic).await.map_err(Arc::new),
                };
                // A broker that does not answer is not asked once per topic.
                down = asked.as_ref().err().filter(|e| e.is_transient()).cloned();
                found.insert(Arc::clone(&record.topic), asked);
            }
        }
        found
    }

    async fn ask(
        &self,
        producer: &FutureProducer<Context>,
        topic: &Arc<str>,
    ) -> Result<NonZeroU32, Error> {
        let (producer, asked) = (producer.clone(), Arc::clone(topic));
        let found = spawn_blocking(move || metadata::partitions(producer.client(), &asked));
        let found = found.await.map_err(interrupted("publish"))?;
        match (found, self.reports.refusal()) {
            (Ok(count), _) => {
                self.known().insert(Arc::clone(topic), count);
                Ok(count)
            }
            (Err(_), Some(reason)) => {
                Err(Error::new(Kind::Unauthorized, BACKEND, "publish").with_detail(reason))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Sends a record unless its topic, its size or an earlier record of its key forbids it.
    async fn begin(
        producer: &FutureProducer<Context>,
        record: &Record,
        topics: &HashMap<Arc<str>, Found>,
        admission: &mut Admission,
    ) -> Result<DeliveryFuture, PublishError> {
        let partitions = match topics.get(&record.topic) {
            Some(Ok(count)) => Some(*count),
            Some(Err(error)) => return Err(refused(error)),
            None => None,
        };
        // librdkafka itself chooses where no partition is asked for: it hears first of new ones.
        admission.admit(record, partitions, &mut 0)?;
        let sent = send(producer, record).await;
        if sent.is_err() {
            admission.failed(record);
        }
        sent
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, NonZeroU32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(settings: &Config, reports: &Arc<Reports>) -> Result<FutureProducer<Context>, Error> {
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
    settings
        .finish(client)
        .create_with_context(Context(Arc::clone(reports)))
        .map_err(error("configure"))
}

/// A record that was not sent, for a reason that it shares with others.
fn refused(reason: &Arc<Error>) -> PublishError {
    let error = Error::new(reason.kind(), BACKEND, "publish");
    PublishError::not_sent(error.with_source(Arc::clone(reason)))
}

/// What a record needs besides key, headers and payload, at most.
const OVERHEAD: u64 = 512;

impl broker::Publisher for Publisher {
    /// A batch goes out in waves with at most one record of a key each: the next record of a key is
    /// sent when the one before it was acknowledged. So no failure, of whatever kind, can let a
    /// later record of a key pass an earlier one.
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(error) => {
                let error = Arc::new(error);
                return batch.iter().map(|_| Err(refused(&error))).collect();
            }
        };
        let topics = self.look_up(&producer, &batch).await;
        let mut admission = Admission::new(BACKEND, self.max_record);
        let mut results: Vec<_> = batch.iter().map(|_| None).collect();
        let mut left: Vec<_> = (0..batch.len()).collect();
        while !left.is_empty() {
            let mut keys = HashSet::new();
            let mut sent = Vec::new();
            let (wave, rest) = left.into_iter().partition::<Vec<_>, _>(|index| {
                let Record { topic, key, .. } = &batch[*index];
                key.as_ref().is_none_or(|key| keys.insert((topic, key)))
            });
            for index in wave {
                match Self::begin(&producer, &batch[index], &topics, &mut admission).await {
                    Ok(answer) => sent.push((index, answer)),
                    Err(error) => results[index] = Some(Err(error)),
                }
            }
            for (index, answer) in sent {
                let record = &batch[index];
                let result = acknowledged(record, answer.await);
                if let Err(error) = &result {
                    admission.failed(record);
                    if error.error().kind() == Kind::NotFound {
                        self.known().remove(&record.topic);
                    }
                }
                results[index] = Some(result);
            }
            left = rest;
        }
        results.into_iter().flatten().collect()
    }

    fn system(&self) -> &'static str {
        BACKEND
    }
}

/// Hands a record to librdkafka, which answers later.
async fn send(
    producer: &FutureProducer<Context>,
    record: &Record,
) -> Result<DeliveryFuture, PublishError> {
    loop {
        let mut message: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&record.topic).headers(headers(record));
        if let Some(key) = &record.key {
            message = message.key(key);
        }
        if let Some(payload) = &record.payload {
            message = message.payload(payload);
        }
        // Admitted, so it is one of the topic's.
        if let Some(partition) = record.partition.and_then(|p| i32::try_from(p).ok()) {
            message = message.partition(partition);
        }
        match producer.send_result(message) {
            Ok(answer) => return Ok(answer),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                sleep(QUEUE_FULL).await;
            }
            Err((error, _)) => return Err(publish(error)),
        }
    }
}

fn acknowledged<E: std::error::Error + Send + Sync + 'static>(
    record: &Record,
    answer: Result<OwnedDeliveryResult, E>,
) -> Result<Appended, PublishError> {
    match answer {
        Ok(Ok(delivered)) => {
            let number = u32::try_from(delivered.partition).unwrap_or_default();
            let partition = TopicPartition::new(Arc::clone(&record.topic), number);
            // Below zero for a record that the broker recognised as one that it had already.
            Ok(match u64::try_from(delivered.offset) {
                Ok(offset) => Appended::at(Position::new(partition, offset)),
                Err(_unknown) => Appended::within(partition),
            })
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
