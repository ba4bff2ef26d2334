use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, InfoDict, RedisError, RedisResult, Value, cmd};
use tokio::time::{self, Instant};

use super::keys::{Keys, before};
use super::reply;
use crate::broker::holdings::{Cursor, Holdings};
use crate::broker::membership::millis;
use crate::broker::{Received, TopicPartition};
use crate::driver::redis::{BACKEND, blocking, error};
use crate::error::{Error, Kind};

const OPERATION: &str = "poll";

/// How long the server may let a read wait: it costs next to nothing, and the answer tells that the
/// connection stands.
const BLOCK: Duration = Duration::from_secs(5);

/// The pause after a connection that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The fewest and the most records that are read of one partition at a time. What was asked for is
/// shared among the partitions; a few more than that make no difference, and a million would.
const FEWEST: usize = 16;
const MOST: usize = 1_000;

/// About how many bytes are read at a time: Redis has no limit of its own. How large records are is
/// learnt from those that came; before that they count as large.
const BYTES: usize = 4 * 1024 * 1024;
const LARGE: usize = BYTES / FEWEST;

/// What comes of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be records.
    Read,
    /// The group has changed.
    Changed,
    /// It is time for something else.
    Elapsed,
    /// The server is another one than before, or was started anew.
    Restarted,
}

/// Reads ahead, on a connection of its own.
///
/// A read that was begun goes on when the poll that began it is dropped, so that it never stands in
/// the way of the next one, and nothing of what it brings is lost.
pub(super) struct Feed {
    client: Client,
    patience: Duration,
    connection: Option<MultiplexedConnection>,
    /// Which start of which server the connection is to; `None` when it does not say.
    server: Option<String>,
    known: bool,
    pending: Option<Pending>,
    stock: HashMap<TopicPartition, Stock>,
    /// About how many bytes a record has.
    size: usize,
    /// Not before this is another connection made.
    not_before: Option<Instant>,
}

/// A read that was begun.
struct Pending {
    reply: Pin<Box<dyn Future<Output = RedisResult<Value>> + Send>>,
    cursors: Vec<Cursor>,
    names: Vec<String>,
    revision: u64,
    give_up: Instant,
}

/// Records of one partition that were not handed out yet.
struct Stock {
    epoch: u64,
    /// How far the member had read when the first of them was next.
    from: u64,
    records: VecDeque<Received>,
}

impl Feed {
    pub(super) fn new(client: Client, patience: Duration) -> Self {
        Self {
            client,
            patience,
            connection: None,
            server: None,
            known: false,
            pending: None,
            stock: HashMap::new(),
            size: LARGE,
            not_before: None,
        }
    }

    /// At most `max` records that are there already.
    pub(super) fn take(&mut self, holdings: &mut Holdings, max: usize) -> Vec<Received> {
        let mut records = Vec::new();
        if self.stock.is_empty() {
            return records;
        }
        for cursor in holdings.readable() {
            let room = max - records.len();
            if room == 0 {
                break;
            }
            let Some(stock) = self.stock.get_mut(&cursor.partition) else {
                continue;
            };
            if stock.fits(&cursor) {
                let count = room.min(stock.records.len());
                records.extend(stock.records.drain(..count));
                if let Some(last) = records.last() {
                    stock.from = last.position.offset + 1;
                    holdings.advance(&cursor.partition, stock.from);
                }
            }
            if stock.records.is_empty() {
                self.stock.remove(&cursor.partition);
            }
        }
        records
    }

    /// Waits until there is something to take, `group` is no longer at `revision`, or it is `until`.
    pub(super) async fn wait(
        &mut self,
        keys: &Keys,
        group: &str,
        revision: u64,
        wanted: (Vec<Cursor>, usize),
        until: Instant,
    ) -> Result<Woken, Error> {
        let (cursors, max) = wanted;
        let cursors = self.missing(cursors);
        let covers = |pending: &Pending| {
            pending.revision == revision
                && cursors
                    .iter()
                    .all(|cursor| find(&pending.cursors, &cursor.partition) == Some(cursor))
        };
        if !self.pending.as_ref().is_some_and(covers) {
            if self.pending.take().is_some() {
                // It would keep the new one waiting; the server ends it with its connection.
                self.connection = None;
            }
            if self.connect(until).await? {
                return Ok(Woken::Restarted);
            }
            self.begin(keys, group, revision, cursors, max);
        }
        let Some(pending) = &mut self.pending else {
            return Ok(Woken::Elapsed);
        };
        let due = until.min(pending.give_up);
        match time::timeout_at(due, &mut pending.reply).await {
            Ok(Ok(reply)) => Ok(self.store(reply)),
            Ok(Err(failed)) => Err(self.broken(failed)),
            Err(_elapsed) if due == until => Ok(Woken::Elapsed),
            Err(_elapsed) => {
                // It may have been too much for the time there was.
                self.size = self.size.saturating_mul(4).min(BYTES);
                self.disconnect();
                let detail = "a read that waits was not answered";
                Err(Error::new(Kind::Timeout, BACKEND, OPERATION).with_detail(detail))
            }
        }
    }

    /// The cursors of which nothing is there. Forgets what is not wanted any more.
    fn missing(&mut self, mut cursors: Vec<Cursor>) -> Vec<Cursor> {
        let stock = &mut self.stock;
        stock.retain(|partition, stock| {
            let wanted = find(&cursors, partition);
            wanted.is_some_and(|cursor| stock.fits(cursor) && !stock.records.is_empty())
        });
        cursors.retain(|cursor| !stock.contains_key(&cursor.partition));
        cursors
    }

    /// Connects, unless connected; says whether the server is not the one of the last time.
    async fn connect(&mut self, until: Instant) -> Result<bool, Error> {
        if self.connection.is_some() {
            return Ok(false);
        }
        if let Some(not_before) = self.not_before {
            time::sleep_until(not_before.min(until)).await;
        }
        let connected = async {
            let mut connection = blocking(&self.client, self.patience).await?;
            let command = cmd("INFO").arg("server").to_owned();
            let asked = command.query_async::<InfoDict>(&mut connection);
            let answer = time::timeout(self.patience, asked).await;
            let run = match answer {
                Ok(Ok(info)) => info.get::<String>("run_id"),
                Ok(Err(failed)) if failed.is_unrecoverable_error() => return Err(failed),
                Ok(Err(_refused)) => None,
                Err(_elapsed) => {
                    return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
                }
            };
            Ok((connection, run))
        };
        match connected.await {
            Err(failed) => Err(self.broken(failed)),
            Ok((connection, run)) => {
                let same = run.is_some() && run == self.server;
                let restarted = self.known && !same;
                self.connection = Some(connection);
                self.not_before = None;
                self.server = run;
                self.known = true;
                Ok(restarted)
            }
        }
    }

    fn begin(&mut self, keys: &Keys, group: &str, revision: u64, cursors: Vec<Cursor>, max: usize) {
        let Some(mut connection) = self.connection.clone() else {
            return;
        };
        let partitions = cursors.len().max(1);
        let count = max.div_ceil(partitions).clamp(FEWEST, MOST);
        let count = count.min(BYTES / partitions / self.size).max(1);
        let names: Vec<String> = cursors
            .iter()
            .map(|cursor| keys.log(&cursor.partition))
            .collect();
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(count);
        command.arg("BLOCK").arg(millis(BLOCK));
        command.arg("STREAMS").arg(keys.changes(group)).arg(&names);
        command.arg(before(revision + 1));
        for cursor in &cursors {
            command.arg(before(cursor.next));
        }
        self.pending = Some(Pending {
            reply: Box::pin(async move { command.query_async(&mut connection).await }),
            cursors,
            names,
            revision,
            give_up: Instant::now() + BLOCK + self.patience,
        });
    }

    /// Takes in what was read.
    fn store(&mut self, reply: Value) -> Woken {
        let Some(pending) = self.pending.take() else {
            return Woken::Elapsed;
        };
        let mut woken = Woken::Read;
        let (mut at, mut count, mut bytes) = (0, 0, 0);
        for (name, entries) in reply::streams(reply) {
            let found = pending.names[at..]
                .iter()
                .position(|other| other.as_bytes() == name);
            let Some(found) = found else {
                woken = Woken::Changed;
                continue;
            };
            let cursor = &pending.cursors[at + found];
            at += found + 1;
            let records: VecDeque<_> = entries
                .into_iter()
                .filter_map(|entry| reply::received(entry, cursor))
                .collect();
            count += records.len();
            bytes += records
                .iter()
                .map(|received| received.record.size())
                .sum::<usize>();
            if !records.is_empty() {
                let stock = Stock {
                    epoch: cursor.epoch,
                    from: cursor.next,
                    records,
                };
                self.stock.insert(cursor.partition.clone(), stock);
            }
        }
        if let Some(mean) = usize::checked_div(bytes, count) {
            // Down step by step: the next ones may be large again.
            self.size = mean.max(self.size / 8).max(1);
        }
        woken
    }

    fn broken(&mut self, failed: RedisError) -> Error {
        self.disconnect();
        error(OPERATION)(failed)
    }

    fn disconnect(&mut self) {
        self.pending = None;
        self.connection = None;
        self.not_before = Some(Instant::now() + PAUSE);
    }
}

impl Stock {
    /// Whether these are the records that `cursor` is to read next.
    fn fits(&self, cursor: &Cursor) -> bool {
        self.epoch == cursor.epoch && self.from == cursor.next
    }
}

/// The cursor in `partition` among `cursors`, which are in the order of their partitions.
fn find<'a>(cursors: &'a [Cursor], partition: &TopicPartition) -> Option<&'a Cursor> {
    let found = cursors.binary_search_by(|cursor| cursor.partition.cmp(partition));
    cursors.get(found.ok()?)
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("is_connected", &self.connection.is_some())
            .field("is_waiting", &self.pending.is_some())
            .field("stock", &self.stock.keys())
            .finish_non_exhaustive()
    }
}
