use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, InfoDict, RedisError, RedisResult, Value, cmd};
use tokio::time::{self, Instant};

use super::keys::{Keys, before};
use super::reply;
use super::stock::{Stock, find};
use crate::broker::Received;
use crate::broker::holdings::{Cursor, Holdings};
use crate::broker::membership::millis;
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
    /// Whether there was a connection before.
    known: bool,
    /// How often others had left a server when the connection was made.
    generation: u64,
    pending: Option<Pending>,
    stock: Stock,
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

impl Feed {
    pub(super) fn new(client: Client, patience: Duration) -> Self {
        Self {
            client,
            patience,
            connection: None,
            server: None,
            known: false,
            generation: 0,
            pending: None,
            stock: Stock::default(),
            size: LARGE,
            not_before: None,
        }
    }

    /// Which start of which server was read from, if it says so.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Leaves a server that others have left: `generation` says how often they have.
    pub(super) fn follow(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.disconnect();
        }
    }

    /// At most `max` records that are there already.
    pub(super) fn take(&mut self, holdings: &mut Holdings, max: usize) -> Vec<Received> {
        self.stock.take(holdings, max)
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
        let cursors = self.stock.missing(cursors);
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

    /// Connects, unless connected; says whether the server is not the one of the last time.
    pub(super) async fn connect(&mut self, until: Instant) -> Result<bool, Error> {
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
            self.stock.add(cursor, records);
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

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("is_connected", &self.connection.is_some())
            .field("is_waiting", &self.pending.is_some())
            .field("stock", &self.stock)
            .finish_non_exhaustive()
    }
}
