use std::env;
use std::io::{Write as _, stdin, stdout};
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline::broker::Topics as _;
use bowline::broker::kafka::{Config, Topics};
use bowline::shutdown::{Shutdown, Token};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::sink::{Sink, Topic};
use super::{KEYS, Servers, Subject, Task, backbone, cursor, delete, ours, oxide};
use crate::book::{Answer, Book};
use crate::child::Child;
use crate::report::Result;
use crate::spent::Spent;
use crate::{jvm, usage};

/// One subject's tables and its relay.
pub(super) trait Outbox: Sized + Send + Sync + 'static {
    /// With new tables in the database at `url`.
    async fn create(url: &str) -> Result<Self>;

    /// With the tables that are there.
    async fn open(url: &str) -> Result<Self>;

    /// A statement that writes events `first` to `last`; both are expressions.
    fn insert(&self, first: &str, last: &str) -> String;

    /// Writes events `first` to `last` in a transaction, as users do.
    fn write(&self, first: u32, last: u32) -> impl Future<Output = Result<()>> + Send;

    /// Publishes to `sink` until it is told to stop.
    fn relay(
        &self,
        sink: Arc<Sink>,
        token: Token,
    ) -> impl Future<Output = Result<()>> + Send + 'static;
}

/// A process that does what it is asked, with a database of its own.
pub(super) struct Worker {
    child: Child,
    subject: Subject,
    pub(super) database: String,
}

/// What a worker is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    Drain {
        events: u32,
        to_kafka: bool,
    },
    /// Holds a snapshot from now on, and makes it old.
    Hold,
    LetGo,
    Write {
        events: u32,
        at_once: u32,
    },
    /// Relays to Kafka from now on.
    Follow {
        events: u32,
    },
    /// Which share of a core it uses in so many seconds.
    Share {
        seconds: u32,
    },
    /// When each event was acknowledged.
    Acks,
}

/// The argument with which this program is such a process.
pub(crate) const WORKER: &str = "outbox-worker";

impl Worker {
    /// # Errors
    ///
    /// It cannot be started.
    pub(super) fn start(subject: Subject, servers: &Servers) -> Result<Self> {
        let database = servers.postgres.create_database("outbox")?;
        let mut command = if subject == Subject::Debezium {
            jvm::OUTBOX.command()?
        } else {
            let mut command = Command::new(env::current_exe()?);
            command.args([WORKER, subject.name()]);
            command
        };
        command.args([&database, &servers.kafka.url()]);
        Ok(Self {
            child: Child::start(&mut command)?,
            subject,
            database,
        })
    }

    /// # Errors
    ///
    /// The process has ended, or events were not published as they should have been.
    pub(super) fn run(&mut self, task: Task, events: u32) -> Result<Spent> {
        let drain = |to_kafka| Question::Drain { events, to_kafka };
        let answer: Answer = match task {
            Task::Drain => self.ask(&drain(false))?,
            Task::DrainToKafka => self.ask(&drain(true))?,
            Task::Write(at_once) => self.ask(&Question::Write { events, at_once })?,
            Task::DrainHeld => {
                self.ask::<()>(&Question::Hold)?;
                let answer = self.ask(&drain(false))?;
                self.ask::<()>(&Question::LetGo)?;
                answer
            }
        };
        if self.subject.is_ordered() && answer.disorder > 0 {
            return Err(format!("{} events out of order", answer.disorder).into());
        }
        Ok(Spent::of(&answer))
    }

    /// # Errors
    ///
    /// The process has ended, or could not do it.
    pub(super) fn ask<T: serde::de::DeserializeOwned>(&mut self, question: &Question) -> Result<T> {
        self.child.ask(&serde_json::to_string(question)?)
    }
}

/// What the process does, as `arguments` say.
///
/// # Errors
///
/// The arguments are not ours, or a run has failed.
pub(crate) fn work(arguments: &[String]) -> Result<()> {
    let [subject, database, kafka] = arguments else {
        return Err("no subject".into());
    };
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        match Subject::named(subject) {
            Some(Subject::Cursor) => serve::<cursor::Cursor>(database, kafka).await,
            Some(Subject::Delete) => serve::<delete::Delete>(database, kafka).await,
            Some(Subject::Ours) => serve::<ours::Ours>(database, kafka).await,
            Some(Subject::Oxide) => serve::<oxide::Oxide>(database, kafka).await,
            Some(Subject::Backbone) => serve::<backbone::Backbone>(database, kafka).await,
            Some(Subject::Debezium) | None => Err("no such subject here".into()),
        }
    })
}

async fn serve<O: Outbox>(database: &str, kafka: &str) -> Result<()> {
    let mut served = Served {
        outbox: O::create(database).await?,
        admin: PgPool::connect(database).await?,
        kafka: kafka.to_owned(),
        topics: 0,
        held: None,
        following: None,
    };
    for question in stdin().lines() {
        let answer = served.answer(serde_json::from_str(&question?)?).await?;
        writeln!(stdout(), "{answer}")?;
    }
    Ok(())
}

struct Served<O> {
    outbox: O,
    admin: PgPool,
    kafka: String,
    topics: u32,
    held: Option<sqlx::Transaction<'static, sqlx::Postgres>>,
    following: Option<Running>,
}

struct Running {
    sink: Arc<Sink>,
    stop: Shutdown,
    relay: JoinHandle<Result<()>>,
}

/// A snapshot is old when so many events were relayed since, in so small portions.
const AGE: u32 = 20_000;
const PORTION: u32 = 10;
/// How many events a transaction has written of those that wait.
const BACKLOG: u32 = 500;

impl<O: Outbox> Served<O> {
    async fn answer(&mut self, question: Question) -> Result<String> {
        let answer = match question {
            Question::Drain { events, to_kafka } => {
                serde_json::to_string(&self.drain(events, to_kafka).await?)
            }
            Question::Hold => {
                self.hold().await?;
                serde_json::to_string(&())
            }
            Question::LetGo => {
                if let Some(held) = self.held.take() {
                    held.rollback().await?;
                }
                serde_json::to_string(&())
            }
            Question::Write { events, at_once } => {
                serde_json::to_string(&self.write(events, at_once).await?)
            }
            Question::Follow { events } => {
                self.following = Some(self.start(events, true).await?);
                serde_json::to_string(&())
            }
            Question::Share { seconds } => serde_json::to_string(&share(seconds).await?),
            Question::Acks => {
                let running = self.following.take().ok_or("nothing is followed")?;
                let sink = Arc::clone(&running.sink);
                running.end().await?;
                serde_json::to_string(&sink.acks())
            }
        };
        Ok(answer?)
    }

    async fn drain(&mut self, events: u32, to_kafka: bool) -> Result<Answer> {
        self.fill(events, BACKLOG).await?;
        let running = self.start(events, to_kafka).await?;
        let sink = Arc::clone(&running.sink);
        running.end().await?;
        sink.book.answer()
    }

    async fn start(&mut self, events: u32, to_kafka: bool) -> Result<Running> {
        let topic = match to_kafka {
            true => Some(self.topic().await?),
            false => None,
        };
        let sink = Sink::new(events, KEYS.min(events), topic)?;
        let stop = Shutdown::new();
        sink.book.begin();
        let relay = self.outbox.relay(Arc::clone(&sink), stop.token());
        Ok(Running {
            relay: tokio::spawn(relay),
            sink,
            stop,
        })
    }

    /// Writes without the subject, `at_once` in a transaction.
    async fn fill(&self, events: u32, at_once: u32) -> Result<()> {
        let insert = self.outbox.insert(
            &format!("i * {at_once}"),
            &format!("i * {at_once} + {}", at_once - 1),
        );
        let last = events / at_once - 1;
        for sql in [
            format!("DO $$ BEGIN FOR i IN 0..{last} LOOP {insert}; COMMIT; END LOOP; END $$"),
            "ANALYZE".to_owned(),
            "CHECKPOINT".to_owned(),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&self.admin)
                .await?;
        }
        Ok(())
    }

    async fn hold(&mut self) -> Result<()> {
        let mut held = self.admin.begin().await?;
        for sql in [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SELECT pg_current_xact_id()",
        ] {
            sqlx::raw_sql(sql).execute(&mut *held).await?;
        }
        self.held = Some(held);
        for _ in 0..AGE / KEYS {
            self.age().await?;
        }
        Ok(())
    }

    /// Relays events while they are written a few at a time.
    async fn age(&mut self) -> Result<()> {
        let running = self.start(KEYS, false).await?;
        self.fill(KEYS, PORTION).await?;
        running.end().await
    }

    async fn write(&self, events: u32, at_once: u32) -> Result<Answer> {
        let book = Book::new(events, KEYS.min(events))?;
        book.begin();
        for first in (0..events).step_by(usize::try_from(at_once)?) {
            self.outbox.write(first, first + at_once - 1).await?;
            for number in first..first + at_once {
                book.done_number(number);
            }
        }
        // What was written is none of the next run's.
        self.drain_rest(events).await?;
        book.answer()
    }

    async fn drain_rest(&self, events: u32) -> Result<()> {
        let sink = Sink::new(events, KEYS.min(events), None)?;
        let stop = Shutdown::new();
        sink.book.begin();
        let relay = self.outbox.relay(Arc::clone(&sink), stop.token());
        let relay = tokio::spawn(relay);
        Running { sink, stop, relay }.end().await
    }

    async fn topic(&mut self) -> Result<Topic> {
        self.topics += 1;
        let name = format!("outbox-{}-{}", std::process::id(), self.topics);
        let partitions = NonZeroU32::new(6).ok_or("no partitions")?;
        let topics = Topics::new(&Config::new(self.kafka.as_str()))?;
        topics.create(&name, partitions).await?;
        Ok(Topic {
            servers: self.kafka.clone(),
            name,
        })
    }
}

impl Running {
    /// Waits until all is published, and ends the relay.
    async fn end(self) -> Result<()> {
        let completed = self.sink.book.completed().await;
        self.stop.trigger();
        let ended = self.relay.await?;
        completed?;
        ended
    }
}

async fn share(seconds: u32) -> Result<f64> {
    let (began, before) = (Instant::now(), usage::cpu()?);
    sleep(Duration::from_secs(seconds.into())).await;
    let used = usage::cpu()? - before;
    Ok(used.as_secs_f64() / began.elapsed().as_secs_f64())
}
