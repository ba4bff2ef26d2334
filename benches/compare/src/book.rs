use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use serde::{Deserialize, Serialize};

use crate::report::Result;
use crate::usage;

/// What has been handled in a run, of records whose key is their number modulo how many keys there are.
/// Keeping it costs every subject the same.
pub(crate) struct Book {
    /// How many records of each key are done.
    keys: Vec<AtomicU32>,
    per_key: u32,
    incomplete: AtomicU32,
    /// Records that were not the next one of their key.
    disorder: AtomicU32,
    began: OnceLock<Moment>,
    ended: OnceLock<Moment>,
    end: Notify,
}

/// What a run took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) records: u32,
    /// Records that were not the next one of their key.
    pub(crate) disorder: u32,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Of the memory that is resident, in KiB.
    pub(crate) peak_kib: f64,
}

struct Moment {
    at: Instant,
    cpu: Duration,
}

/// Far longer than the slowest subject needs.
const STUCK: Duration = Duration::from_secs(180);

impl Book {
    /// # Errors
    ///
    /// The system does not say what a process uses.
    pub(crate) fn new(records: u32, keys: u32) -> Result<Self> {
        usage::forget_peak()?;
        Ok(Self {
            keys: (0..keys).map(|_| AtomicU32::new(0)).collect(),
            per_key: records / keys,
            incomplete: AtomicU32::new(keys),
            disorder: AtomicU32::new(0),
            began: OnceLock::new(),
            ended: OnceLock::new(),
            end: Notify::new(),
        })
    }

    /// A record is to be handled.
    pub(crate) fn begin(&self) {
        if self.began.get().is_none() {
            self.began.get_or_init(Moment::now);
        }
    }

    /// A record is done. One that belongs to no topic of ours is a disorder.
    pub(crate) fn done(&self, key: Option<&[u8]>, payload: Option<&[u8]>) {
        let number = payload.and_then(|payload| payload.first_chunk());
        let number = number.map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes));
        let key = key.and_then(|key| std::str::from_utf8(key).ok()?.parse().ok());
        self.done_one(key.unwrap_or(usize::MAX), number);
    }

    /// Record `number` is done, whose key is right.
    pub(crate) fn done_number(&self, number: u32) {
        let key = usize::try_from(number).map(|number| number % self.keys.len());
        self.done_one(key.unwrap_or(usize::MAX), number);
    }

    fn done_one(&self, key: usize, number: u32) {
        let Some(done) = self.keys.get(key) else {
            self.disorder.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let before = done.fetch_add(1, Ordering::Relaxed);
        let all = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        if number / all != before {
            self.disorder.fetch_add(1, Ordering::Relaxed);
        }
        if before + 1 == self.per_key && self.incomplete.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.get_or_init(Moment::now);
            self.end.notify_one();
        }
    }

    /// Whether each key has as many records done as it has.
    pub(crate) fn is_complete(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Waits until it is.
    ///
    /// # Errors
    ///
    /// It takes too long.
    pub(crate) async fn completed(&self) -> Result<()> {
        let waited = timeout(STUCK, self.end.notified()).await;
        Ok(waited.map_err(|_elapsed| "stuck")?)
    }

    /// What it took.
    ///
    /// # Errors
    ///
    /// Not every record was handled once.
    pub(crate) fn answer(&self) -> Result<Answer> {
        let (Some(began), Some(ended)) = (self.began.get(), self.ended.get()) else {
            return Err("not all records were handled".into());
        };
        if self.done_count() != self.records() {
            return Err("records were handled twice".into());
        }
        Ok(Answer {
            records: self.records(),
            disorder: self.disorder.load(Ordering::Relaxed),
            seconds: (ended.at - began.at).as_secs_f64(),
            cpu_seconds: (ended.cpu - began.cpu).as_secs_f64(),
            peak_kib: usage::peak_kib()?,
        })
    }

    fn done_count(&self) -> u32 {
        let counts = self.keys.iter().map(|key| key.load(Ordering::Relaxed));
        counts.sum()
    }

    fn records(&self) -> u32 {
        let keys = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.per_key * keys
    }
}

impl Moment {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            // Asked before, so that it does answer.
            cpu: usage::cpu().unwrap_or_default(),
        }
    }
}
