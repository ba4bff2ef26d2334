//! Many records of a key on their way at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::future_producer::DeliveryFuture;
use tokio::time::{Instant, sleep};

use super::batch::Batch;
use super::error::{error, is_refusal};
use super::send::{acknowledged, answered, send};
use super::session::Session;
use crate::broker::{PublishError, TopicPartition};
use crate::clock::after;

/// How often to look whether the session has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long what is on its way may still be answered when the time is up.
const GRACE: Duration = Duration::from_secs(1);

/// What is left of a turn.
#[derive(Default)]
pub(super) struct Left {
    /// Certainly not sent, and may be sent in another turn.
    pub(super) again: Vec<usize>,
    /// Refused by a broker, each together with what was in the same request.
    pub(super) refused: Vec<usize>,
}

/// Sends as many of `left` as may be on their way at once, and waits for the answers until `deadline`.
pub(super) async fn turn(
    session: &Session,
    batch: &mut Batch,
    left: Vec<usize>,
    deadline: Instant,
) -> Left {
    let (sent, again) = hand_over(session, batch, left);
    let mut left = Left {
        again,
        ..Left::default()
    };
    // With nothing on its way the queue is full of the records of others.
    if sent.is_empty() && !left.again.is_empty() {
        sleep(LOOK).await;
    }
    for (index, mut answer) in sent {
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answered(answer),
                () = sleep(LOOK) => look_after(session, deadline),
            }
        };
        place(session, batch, &mut left, index, answer);
    }
    left.again.sort_unstable();
    left
}

/// Hands records to librdkafka; says which, and which are to wait for another turn.
fn hand_over(
    session: &Session,
    batch: &mut Batch,
    left: Vec<usize>,
) -> (Vec<(usize, DeliveryFuture)>, Vec<usize>) {
    let (mut sent, mut again) = (Vec::with_capacity(left.len()), Vec::new());
    let mut keys = Keys::default();
    let mut opening = HashSet::new();
    let mut waiting = HashSet::new();
    let mut full = false;
    for index in left {
        let Some(partition) = batch.admit(index) else {
            continue;
        };
        let record = &batch.records[index];
        let waits = match &record.key {
            Some(key) => {
                let partition = TopicPartition::new(Arc::clone(&record.topic), partition);
                let waits = full
                    || !keys.follow(key, &partition)
                    || (!session.is_open(&partition) && !opening.insert(partition));
                if waits {
                    keys.wait(&record.topic, key);
                }
                waits
            }
            // It need not wait, but may be in one partition with those before it.
            None => waiting.contains(&record.topic),
        };
        if waits {
            waiting.insert(Arc::clone(&record.topic));
            again.push(index);
            continue;
        }
        match send(&session.producer, record) {
            Some(Ok(answer)) => sent.push((index, answer)),
            Some(Err(_)) if session.may_be_followed() => {
                full = true;
                again.push(index);
            }
            Some(Err(failed)) => {
                batch.end(index, Err(PublishError::not_sent(error("publish")(failed))));
            }
            // What is sent so far comes first.
            None => {
                full = true;
                again.push(index);
            }
        }
    }
    (sent, again)
}

/// Ends a session whose time is up, and takes back what is not sent any more.
fn look_after(session: &Session, deadline: Instant) {
    let now = Instant::now();
    if now >= deadline {
        session.give_up();
    }
    if now >= after(deadline, GRACE) {
        session.take_back_all();
    } else if session.has_ended() {
        session.take_back();
    }
}

/// Decides what becomes of record `index`.
fn place(
    session: &Session,
    batch: &mut Batch,
    left: &mut Left,
    index: usize,
    answer: Result<(i32, i64), KafkaError>,
) {
    match answer {
        Err(failed) if is_refusal(&failed) => left.refused.push(index),
        Err(failed) if is_taken_back(&failed) => {
            if session.was_refused() && is_queued(&failed) {
                left.again.push(index);
            } else {
                batch.end(index, Err(PublishError::unknown(session.end())));
            }
        }
        answer => {
            let result = acknowledged(&batch.records[index], answer);
            if let Ok(appended) = &result {
                session.open(&appended.partition);
            }
            batch.end(index, result);
        }
    }
}

/// Whether librdkafka gave it back without an answer.
pub(super) fn is_taken_back(failed: &KafkaError) -> bool {
    let code = failed.rdkafka_error_code();
    matches!(code, Some(Code::PurgeQueue | Code::PurgeInflight))
}

/// Whether it was not on its way. One that was, and lost its connection, counts as queued too: it can
/// be doubled when a broker refuses another record in the very moment before it is sent again.
fn is_queued(failed: &KafkaError) -> bool {
    failed.rdkafka_error_code() == Some(Code::PurgeQueue)
}

/// Where the keys of a turn go, and which of them wait.
#[derive(Default)]
struct Keys(HashMap<(Arc<str>, Bytes), Option<u32>>);

impl Keys {
    /// Whether a record of `key` may follow those before it: it does not when they wait, nor when they
    /// go to another partition, which would not stop with theirs.
    fn follow(&mut self, key: &Bytes, to: &TopicPartition) -> bool {
        let entry = self.0.entry((Arc::clone(&to.topic), key.clone()));
        *entry.or_insert(Some(to.partition)) == Some(to.partition)
    }

    fn wait(&mut self, topic: &Arc<str>, key: &Bytes) {
        self.0.insert((Arc::clone(topic), key.clone()), None);
    }
}
