use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{Appended, PublishError, Publisher, Record, TopicPartition};
use bowline::error::{Error, Kind};
use bowline_test_history::Answer;
use fastrand::Rng;
use tokio::time::sleep;

use super::{History, LATE, LEASE, POISON, name};

/// A broker for the relays of one outbox. What it was sent it takes, also when the relay that sent it is no
/// more; sometimes late.
#[derive(Debug, Clone)]
pub(super) struct Broker {
    shared: Arc<Shared>,
    life: u32,
}

#[derive(Debug)]
struct Shared {
    history: History,
    mood: Mutex<Mood>,
    /// How many batches are on their way.
    flying: AtomicUsize,
}

#[derive(Debug)]
struct Mood {
    random: Rng,
    is_down: bool,
    misses_late: bool,
    refuses_poison: bool,
    fails: bool,
}

impl Broker {
    pub(super) fn new(history: History, mut random: Rng) -> Self {
        let mood = Mood {
            is_down: false,
            misses_late: random.bool(),
            refuses_poison: true,
            fails: true,
            random,
        };
        let shared = Shared {
            history,
            mood: Mutex::new(mood),
            flying: AtomicUsize::new(0),
        };
        Self {
            shared: Arc::new(shared),
            life: 0,
        }
    }

    /// As the relay with this number reaches it.
    pub(super) fn of(&self, life: u32) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { shared, life }
    }

    /// Goes down and comes back, loses a topic and has it again.
    pub(super) async fn changes(&self) {
        loop {
            let pause = self.mood(|mood| {
                mood.is_down = mood.random.u8(0..4) == 0;
                mood.misses_late = mood.random.u8(0..3) == 0;
                mood.random.u64(50..700)
            });
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// From now on it does as it is asked.
    pub(super) fn is_well(&self) {
        self.mood(|mood| {
            mood.is_down = false;
            mood.misses_late = false;
            mood.refuses_poison = false;
            mood.fails = false;
        });
    }

    /// Returns when nothing is on its way any more.
    pub(super) async fn landed(&self) {
        while self.shared.flying.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn mood<T>(&self, change: impl FnOnce(&mut Mood) -> T) -> T {
        change(&mut self.shared.mood.lock().expect("nobody panics with it"))
    }

    async fn append(
        &self,
        waits: &AtomicBool,
        batch: Vec<Record>,
    ) -> Vec<Result<Appended, PublishError>> {
        let mut failed = HashSet::new();
        let mut results = Vec::with_capacity(batch.len());
        for record in batch {
            let pause =
                self.mood(|mood| (mood.random.u8(0..20) == 0).then(|| mood.random.u64(0..4)));
            if let Some(pause) = pause {
                sleep(Duration::from_millis(pause)).await;
            }
            let key = record
                .key
                .clone()
                .map(|key| (Arc::clone(&record.topic), key));
            let result = match &key {
                Some(key) if failed.contains(key) => Err(PublishError::held("fire")),
                _ => self.take(&record, waits),
            };
            if result.is_err() {
                failed.extend(key);
            }
            results.push(result);
        }
        results
    }

    fn take(&self, record: &Record, waits: &AtomicBool) -> Result<Appended, PublishError> {
        let name = name(record);
        let not_sent = |kind| PublishError::not_sent(Error::new(kind, "fire", "publish"));
        let chance = self.mood(|mood| {
            if mood.is_down {
                return Err(not_sent(Kind::Unavailable));
            }
            if mood.misses_late && &*record.topic == LATE {
                return Err(not_sent(Kind::NotFound));
            }
            if mood.refuses_poison && name.starts_with(POISON) {
                return Err(not_sent(Kind::TooLarge));
            }
            Ok(if mood.fails {
                mood.random.u8(..)
            } else {
                u8::MAX
            })
        })?;
        match chance {
            0..4 => Err(not_sent(Kind::Unavailable)),
            4..8 => {
                self.shared.history.appended(self.life, name, Answer::Lost);
                let error = Error::new(Kind::Timeout, "fire", "publish");
                Err(PublishError::unknown(error))
            }
            _ => {
                self.shared.history.appended_for(self.life, name, waits);
                let partition = TopicPartition::new(Arc::clone(&record.topic), 0);
                Ok(Appended::within(partition))
            }
        }
    }
}

/// Whoever waits for answers, until it gives up.
struct Caller<'a> {
    broker: &'a Broker,
    waits: Arc<AtomicBool>,
    is_told: bool,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            let Broker { shared, life } = self.broker;
            shared.history.deaf(*life, &self.waits);
        }
    }
}

impl Publisher for Broker {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let delay = self.mood(|mood| match mood.random.u8(0..60) {
            0 => Some(LEASE * mood.random.u32(50..180) / 100),
            1..10 => Some(Duration::from_millis(mood.random.u64(0..10))),
            _ => None,
        });
        let mut caller = Caller {
            broker: self,
            waits: Arc::new(AtomicBool::new(true)),
            is_told: false,
        };
        let results = match delay {
            None => self.append(&caller.waits, batch).await,
            Some(delay) => {
                let (broker, waits) = (self.clone(), Arc::clone(&caller.waits));
                broker.shared.flying.fetch_add(1, Ordering::SeqCst);
                let flight = tokio::spawn(async move {
                    sleep(delay).await;
                    let results = broker.append(&waits, batch).await;
                    broker.shared.flying.fetch_sub(1, Ordering::SeqCst);
                    results
                });
                flight.await.expect("no panic")
            }
        };
        caller.is_told = true;
        results
    }

    fn system(&self) -> &'static str {
        "fire"
    }
}
