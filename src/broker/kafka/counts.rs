use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::producer::{FutureProducer, Producer as _};
use tokio::task::spawn_blocking;

use super::context::{Context, Reports};
use super::error::{BACKEND, interrupted};
use super::metadata;
use crate::broker::Record;
use crate::error::{Error, Kind};

/// How many partitions a topic has. The error is that of all its records in a batch.
pub(super) type Found = Result<NonZeroU32, Arc<Error>>;

/// Topics and their partitions as they were when they were asked for.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<HashMap<Arc<str>, NonZeroU32>>);

impl Counts {
    /// How many partitions each topic of `batch` has, or why nobody can say. Each is asked for once.
    pub(super) async fn look_up(
        &self,
        producer: &FutureProducer<Context>,
        reports: &Reports,
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
                    None => self
                        .ask(producer, reports, &record.topic)
                        .await
                        .map_err(Arc::new),
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
        reports: &Reports,
        topic: &Arc<str>,
    ) -> Result<NonZeroU32, Error> {
        let (producer, asked) = (producer.clone(), Arc::clone(topic));
        let found = spawn_blocking(move || metadata::partitions(producer.client(), &asked));
        let found = found.await.map_err(interrupted("publish"))?;
        match (found, reports.refusal()) {
            (Ok(count), _) => {
                reports.let_in();
                self.known().insert(Arc::clone(topic), count);
                Ok(count)
            }
            (Err(_), Some(reason)) => {
                Err(Error::new(Kind::Unauthorized, BACKEND, "publish").with_detail(reason))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The next batch asks again.
    pub(super) fn forget(&self, topic: &Arc<str>) {
        self.known().remove(topic);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, NonZeroU32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
