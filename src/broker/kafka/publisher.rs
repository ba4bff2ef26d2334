use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::producer::Producer as _;
use tokio::time::Instant;

use super::batch::Batch;
use super::context::Reports;
use super::counts::Counts;
use super::error::{BACKEND, config};
use super::producer::Held;
use super::send::{late, refused};
use super::session::Session;
use super::{Config, waves, window};
use crate::broker::{self, Appended, PublishError, Record};
use crate::clock::after;
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;

/// How long the records of a topic go one by one after one of them was refused. Each refusal costs a
/// producer: who sends a bad record again and again would otherwise keep the others waiting.
const CAREFUL: Duration = Duration::from_secs(60);

/// Publishes to Kafka. Clones share the producer.
#[derive(Clone)]
pub struct Publisher(Arc<Shared>);

struct Shared {
    settings: Config,
    reports: Arc<Reports>,
    max_record: usize,
    counts: Counts,
    session: Mutex<Arc<Session>>,
    /// Made when it is needed first.
    careful: Mutex<Option<Arc<Held>>>,
    /// Topics of which a record was refused, and when.
    refusing: Mutex<HashMap<Arc<str>, Instant>>,
}

impl Publisher {
    /// A publisher; the connection is made in the background.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the configuration is not usable.
    pub fn new(settings: &Config) -> Result<Self, Error> {
        settings.check().map_err(config)?;
        let reports = Arc::new(Reports::default());
        let session = Session::new(settings, &reports)?;
        Ok(Self(Arc::new(Shared {
            max_record: usize::try_from(settings.max_record).unwrap_or(usize::MAX),
            settings: settings.clone(),
            reports,
            counts: Counts::default(),
            session: Mutex::new(Arc::new(session)),
            careful: Mutex::default(),
            refusing: Mutex::default(),
        })))
    }
}

impl Shared {
    /// The session; a new one when the last has ended.
    fn session(&self) -> Result<Arc<Session>, Error> {
        let mut session = lock(&self.session);
        if session.has_ended() {
            tracing::warn!(error = %session.end(), "the producer has ended, making another");
            *session = Arc::new(Session::new(&self.settings, &self.reports)?);
        }
        Ok(Arc::clone(&session))
    }

    /// The producer for records that go one by one; a new one when the last is of no use any more, as
    /// an idempotent producer is after some errors.
    fn careful(&self) -> Result<Arc<Held>, Error> {
        let mut careful = lock(&self.careful);
        let usable = careful
            .take()
            .filter(|p| p.client().fatal_error().is_none());
        let producer = match usable {
            Some(producer) => producer,
            None => Arc::new(Held::new(waves::connect(&self.settings, &self.reports)?)),
        };
        Ok(Arc::clone(careful.insert(producer)))
    }

    /// Sends what it can of `left` with many records of a key on their way; returns what is left, and
    /// adds what must go one by one to `careful`.
    async fn turn(
        &self,
        batch: &mut Batch,
        left: Vec<usize>,
        careful: &mut Vec<usize>,
        deadline: Instant,
    ) -> Vec<usize> {
        let session = match self.session() {
            Ok(session) if Instant::now() < deadline => session,
            Ok(_late) => {
                batch.refuse(left, &Arc::new(late()));
                return Vec::new();
            }
            Err(error) => {
                batch.refuse(left, &Arc::new(error));
                return Vec::new();
            }
        };
        let turn = window::turn(&session, batch, left, deadline).await;
        for index in turn.refused {
            let topic = Arc::clone(&batch.records[index].topic);
            // A turn may last longer than what is remembered.
            lock(&self.refusing).insert(topic, Instant::now());
            careful.push(index);
        }
        let (more, left) = self.split(batch, turn.again);
        careful.extend(more);
        let (behind, left) = batch.behind(careful, left);
        careful.extend(behind);
        left
    }

    /// Parts the records of topics that refused something from the others.
    fn split(&self, batch: &Batch, left: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
        let mut refusing = lock(&self.refusing);
        if refusing.is_empty() {
            return (Vec::new(), left);
        }
        refusing.retain(|_, at| at.elapsed() < CAREFUL);
        left.into_iter()
            .partition(|index| refusing.contains_key(&batch.records[*index].topic))
    }

    async fn send_careful(&self, batch: &mut Batch, mut left: Vec<usize>, deadline: Instant) {
        if left.is_empty() {
            return;
        }
        left.sort_unstable();
        match self.careful() {
            Ok(producer) => waves::send_all(&producer, batch, left, deadline).await,
            Err(error) => batch.refuse(left, &Arc::new(error)),
        }
    }

    async fn publish(&self, records: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let deadline = after(Instant::now(), self.settings.message_timeout);
        let session = match self.session() {
            Ok(session) => session,
            Err(error) => {
                let error = Arc::new(error);
                return records.iter().map(|_| Err(refused(&error))).collect();
            }
        };
        let (producer, reports) = (&session.producer, &self.reports);
        let topics = self.counts.look_up(producer, reports, &records).await;
        drop(session);
        let mut batch = Batch::new(records, topics, self.max_record);
        let (mut careful, mut left) = self.split(&batch, (0..batch.records.len()).collect());
        while !left.is_empty() {
            left = self.turn(&mut batch, left, &mut careful, deadline).await;
        }
        self.send_careful(&mut batch, careful, deadline).await;
        for topic in batch.missing() {
            self.counts.forget(topic);
        }
        batch.into_results()
    }
}

impl broker::Publisher for Publisher {
    /// Many records of a key are on their way at once, by a producer that sends nothing more once a
    /// broker has refused a record. What was not sent then goes one by one.
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        self.0.publish(batch).await
    }

    fn system(&self) -> &'static str {
        BACKEND
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kafka::Publisher")
    }
}
