use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{DeadLetter, Filter, LetterId, Redriving, State, Store};
use crate::error::{Error, Kind};

const BACKEND: &str = "memory";

/// Keeps dead letters in this process, and loses them with it. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<HashMap<LetterId, Row>>>);

#[derive(Debug)]
struct Row {
    letter: DeadLetter,
    redrive: Option<(Uuid, Instant)>,
}

impl Memory {
    /// A store without letters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<LetterId, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn matching(&self, filter: &Filter) -> Vec<DeadLetter> {
        let rows = self.rows();
        let letters = rows.values().map(Row::now);
        letters.filter(|letter| passes(filter, letter)).collect()
    }
}

impl Store for Memory {
    async fn put(&self, letter: &DeadLetter) -> Result<LetterId, Error> {
        let mut rows = self.rows();
        let known = rows.values_mut().find(|Row { letter: known, .. }| {
            known.group == letter.group
                && known.position == letter.position
                && known.digest() == letter.digest()
        });
        if let Some(Row { letter: known, .. }) = known {
            known.failures = known.failures.saturating_add(1);
            known.reason = letter.reason.clone();
            known.last_failed_at = letter.last_failed_at;
            known.state = State::Open;
            return Ok(known.id);
        }
        let row = Row {
            letter: letter.clone(),
            redrive: None,
        };
        rows.insert(letter.id, row);
        Ok(letter.id)
    }

    async fn get(&self, id: LetterId) -> Result<Option<DeadLetter>, Error> {
        Ok(self.rows().get(&id).map(Row::now))
    }

    async fn query(&self, filter: &Filter) -> Result<Vec<DeadLetter>, Error> {
        let mut letters = self.matching(filter);
        letters.sort_by_key(|letter| Reverse((letter.last_failed_at, letter.id)));
        letters.truncate(filter.limit.get());
        Ok(letters)
    }

    async fn count(&self, filter: &Filter) -> Result<u64, Error> {
        Ok(self.matching(filter).len() as u64)
    }

    async fn begin_redrive(&self, id: LetterId, lease: Duration) -> Result<Redriving, Error> {
        let mut rows = self.rows();
        let row = open(&mut rows, id, "begin redrive")?;
        row.letter.state = State::Redriving;
        let redriving = Redriving::generate(row.letter.clone());
        row.redrive = Some((redriving.nonce, Instant::now() + lease));
        Ok(redriving)
    }

    async fn end_redrive(&self, redriving: &Redriving, sent: bool) -> Result<(), Error> {
        let mut rows = self.rows();
        let row = rows
            .get_mut(&redriving.letter.id)
            .filter(|row| {
                row.redrive
                    .is_some_and(|(nonce, _)| nonce == redriving.nonce)
            })
            .ok_or_else(|| Error::new(Kind::Fenced, BACKEND, "end redrive"))?;
        row.redrive = None;
        row.letter.redrives += u32::from(sent);
        // A copy that has failed already has opened the letter again.
        if row.letter.state == State::Redriving {
            row.letter.state = if sent { State::Redriven } else { State::Open };
        }
        Ok(())
    }

    async fn discard(&self, id: LetterId) -> Result<(), Error> {
        open(&mut self.rows(), id, "discard")?.letter.state = State::Discarded;
        Ok(())
    }
}

impl Row {
    /// The letter as it counts now: a redrive whose lease has ended is open.
    fn now(&self) -> DeadLetter {
        let mut letter = self.letter.clone();
        let held = self
            .redrive
            .is_some_and(|(_, until)| until > Instant::now());
        if letter.state == State::Redriving && !held {
            letter.state = State::Open;
        }
        letter
    }
}

fn open<'a>(
    rows: &'a mut HashMap<LetterId, Row>,
    id: LetterId,
    operation: &'static str,
) -> Result<&'a mut Row, Error> {
    let row = rows
        .get_mut(&id)
        .ok_or_else(|| Error::new(Kind::NotFound, BACKEND, operation))?;
    match row.now().state {
        State::Open => Ok(row),
        state => Err(Error::new(Kind::Conflict, BACKEND, operation)
            .with_detail(format!("the letter is {}", state.as_str()))),
    }
}

fn passes(filter: &Filter, letter: &DeadLetter) -> bool {
    filter
        .group
        .as_ref()
        .is_none_or(|group| *group == letter.group)
        && filter
            .topic
            .as_ref()
            .is_none_or(|topic| *topic == letter.position.partition.topic)
        && filter.state.is_none_or(|state| state == letter.state)
}
