use std::collections::HashMap;
use std::error::Error as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ::redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use super::Redis;
use super::link::Link;
use super::part::{Answer, Failed, Part};
use crate::broker::admission::Admission;
use crate::broker::membership::millis;
use crate::broker::{Appended, Position, PublishError, Record, TopicPartition};
use crate::driver::redis::{BACKEND, error, server_error};
use crate::error::{Error, Kind};
use crate::message::blob;

pub(super) const OPERATION: &str = "publish";

/// The most records, and about the most bytes, of one script: the server does nothing else meanwhile.
const MOST_RECORDS: usize = 1_000;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// How often a topic may be another one than it was a moment ago.
const TURNS: u32 = 3;

type Outcome = Result<Appended, PublishError>;

/// Appends what of `batch` may be appended, a part at a time and each in one round trip. The next part
/// waits for the answer, as a failed record holds back its key.
pub(super) async fn append(broker: &Redis, batch: &[Record]) -> Vec<Outcome> {
    let mut run = Run {
        broker,
        batch,
        admission: Admission::new(BACKEND, broker.max_record),
        counts: HashMap::new(),
        broken: HashMap::new(),
        stale: 0,
        outcomes: batch.iter().map(|_| None).collect(),
    };
    loop {
        let part = run.part().await;
        if part.records.is_empty() {
            return run.outcomes.into_iter().flatten().collect();
        }
        run.send(part).await;
    }
}

/// One call to publish.
struct Run<'a> {
    broker: &'a Redis,
    batch: &'a [Record],
    admission: Admission,
    /// How many partitions each topic has; `None` for one that does not exist.
    counts: HashMap<Arc<str>, Option<NonZeroU32>>,
    /// The partitions that cannot be appended to, and why.
    broken: HashMap<TopicPartition, Error>,
    /// How often a topic was not as we knew it.
    stale: u32,
    outcomes: Vec<Option<Outcome>>,
}

impl Run<'_> {
    /// The next records that may be appended; the outcomes of those that may not stand after that.
    async fn part(&mut self) -> Part {
        let mut part = Part::default();
        for index in 0..self.batch.len() {
            if part.records.len() >= MOST_RECORDS || part.bytes >= MOST_BYTES {
                break;
            }
            if self.outcomes[index].is_some() {
                continue;
            }
            let count = match self.count(index).await {
                Ok(count) => count,
                Err(away) => {
                    self.fail_rest(&away);
                    return Part::default();
                }
            };
            if let Err(refused) = self.admit(index, count, &mut part) {
                self.fail(index, refused);
            }
        }
        part
    }

    /// How many partitions the topic of the record at `index` has. Asks again when it names one that
    /// the topic does not have as far as we know.
    async fn count(&mut self, index: usize) -> Result<Option<NonZeroU32>, Error> {
        let Record {
            topic, partition, ..
        } = &self.batch[index];
        let known = self.counts.get(topic).copied();
        let count = match known {
            Some(count) => count,
            None => self.broker.count(topic, OPERATION).await?,
        };
        let fits = partition.is_none_or(|named| count.is_some_and(|count| named < count.get()));
        let count = if fits || known.is_some() {
            count
        } else {
            self.broker.forget_count(topic);
            self.broker.count(topic, OPERATION).await?
        };
        if known.is_none() {
            self.counts.insert(Arc::clone(topic), count);
        }
        Ok(count)
    }

    fn admit(
        &mut self,
        index: usize,
        count: Option<NonZeroU32>,
        part: &mut Part,
    ) -> Result<(), PublishError> {
        let record = &self.batch[index];
        let partition = self.admission.admit(record, count, &mut turn())?;
        let partition = TopicPartition::new(Arc::clone(&record.topic), partition);
        if let Some(broken) = self.broken.get(&partition) {
            return Err(PublishError::not_sent(again(broken)));
        }
        let headers = blob::encode(&record.headers).map_err(PublishError::not_sent)?;
        part.bytes += record.size();
        let place = part.place(partition, count.map_or(0, NonZeroU32::get));
        part.records.push((index, place, headers));
        Ok(())
    }

    /// Appends the records of `part`, or notes what is wrong with one of its partitions.
    async fn send(&mut self, part: Part) {
        match self.call(&part).await {
            Ok(answer) => self.note(&part, &answer),
            Err(failed) => {
                let (source, status): (_, fn(_) -> _) = match failed {
                    Failed::NotSent(source) => (source, PublishError::not_sent),
                    Failed::Unknown(source) => (source, PublishError::unknown),
                };
                for (index, ..) in &part.records {
                    self.fail(*index, status(again(&source)));
                }
                // The server is away, or refuses to write: later ones are not even tried.
                self.fail_rest(&source);
            }
        }
    }

    async fn call(&self, part: &Part) -> Result<Answer, Failed> {
        let command = part.command(self.broker, self.batch);
        let replicated = match &self.broker.replicas {
            None => None,
            Some(wait) => {
                let connect = || Link::connect(self.broker.client.clone());
                let link = wait.link.get_or_try_init(connect).await;
                Some((wait.least, link.map_err(Failed::NotSent)?))
            }
        };
        let answer = match self.invoke(&command, replicated).await {
            Err(missing) if missing.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut connection = self.broker.link.get();
                let loaded = self.broker.scripts.append.load_async(&mut connection).await;
                loaded.map_err(|source| Failed::NotSent(error(OPERATION)(source)))?;
                self.invoke(&command, replicated).await
            }
            answer => answer,
        };
        let (answer, replicas) = answer.map_err(Failed::new)?;
        let answer = Answer::read(answer)
            .map_err(|source| Failed::Unknown(error(OPERATION)(source.into())))?;
        match (replicated, replicas) {
            (Some((least, _)), Some(have)) if have < least.get() && answer.appended > 0 => {
                let detail = format!("{have} replicas have it, wanted {least}");
                let late = Error::new(Kind::Timeout, BACKEND, OPERATION).with_detail(detail);
                Err(Failed::Unknown(late))
            }
            _ => Ok(answer),
        }
    }

    /// The script's answer, and how many replicas have what it wrote if that matters.
    async fn invoke(
        &self,
        command: &Cmd,
        replicated: Option<(NonZeroU32, &Link)>,
    ) -> Result<(Value, Option<u32>), RedisError> {
        let Some((least, link)) = replicated else {
            let mut connection = self.broker.link.get();
            return Ok((command.query_async(&mut connection).await?, None));
        };
        let mut connection = link.get();
        let mut both = ::redis::pipe();
        both.add_command(command.clone())
            .cmd("WAIT")
            .arg(least.get())
            .arg(millis(Redis::REPLICATION));
        let (answer, replicas) = both.query_async(&mut connection).await?;
        Ok((answer, Some(replicas)))
    }

    /// Takes note of what was appended. Records that were not are tried again, unless their partition
    /// is broken.
    fn note(&mut self, part: &Part, answer: &Answer) {
        let mut ends = answer.firsts.clone();
        for (index, place, _) in part.records.iter().take(answer.appended) {
            let partition = part.partitions[*place].partition.clone();
            let appended = match ends.get_mut(*place) {
                None => Appended::within(partition),
                Some(end) => {
                    let offset = *end;
                    *end += 1;
                    Appended::at(Position::new(partition, offset))
                }
            };
            self.outcomes[*index] = Some(Ok(appended));
        }
        let Some(place) = answer.broken.and_then(|place| part.partitions.get(place)) else {
            return;
        };
        let partition = place.partition.clone();
        if answer.problem.is_empty() {
            self.broker.forget_count(&partition.topic);
            self.counts.remove(&partition.topic);
            self.stale += 1;
            if self.stale <= TURNS {
                return;
            }
        }
        let broken = if answer.problem.is_empty() {
            Error::new(Kind::Contention, BACKEND, OPERATION)
                .with_detail(format!("topic {} comes and goes", partition.topic))
        } else {
            let own = self.broker.replicas.as_ref().and_then(|own| own.link.get());
            let link = own.unwrap_or(&self.broker.link);
            link.failed(server_error(&answer.problem), OPERATION)
        };
        self.broken.insert(partition, broken);
    }

    /// None of those that have no outcome yet was sent.
    fn fail_rest(&mut self, source: &Error) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = Some(Err(PublishError::not_sent(again(source))));
        }
    }

    fn fail(&mut self, index: usize, failed: PublishError) {
        self.admission.failed(&self.batch[index]);
        self.outcomes[index] = Some(Err(failed));
    }
}

/// Where a record without a key goes. Each process counts for itself.
fn turn() -> u32 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    TURN.fetch_add(1, Ordering::Relaxed)
}

/// `error` once more, for another record.
fn again(error: &Error) -> Error {
    let again = Error::new(error.kind(), error.backend(), error.operation());
    match (error.detail(), error.source()) {
        (Some(detail), _) => again.with_detail(detail.to_owned()),
        (None, Some(source)) => again.with_detail(source.to_string()),
        (None, None) => again,
    }
}
