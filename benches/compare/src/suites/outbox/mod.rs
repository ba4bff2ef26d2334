//! Events from PostgreSQL: what a relay takes for each, and a writer, beside the statements alone.
//!
//! The base line of a relay is a loop that reads by a cursor and moves it, and of a writer one `unnest`
//! into a table without anything else; both keep less than the others promise. Beside them stands the
//! loop that most write by hand, `DELETE .. RETURNING`. Each subject has a database and a process of its
//! own, and a first run that is not counted; they take turns round by round. A run must show that each
//! event was published once, and of those that promise it the order of each key. Slow subjects get
//! fewer events.

mod backbone;
mod cursor;
mod delete;
mod follow;
mod ours;
mod oxide;
mod sink;
mod worker;

use bowline_test_services::{Kafka, Postgres, shared};

use self::worker::Worker;
pub(crate) use self::worker::{WORKER, work};
use super::Suite;
use crate::report::{OURS, Result, Row, Series};
use crate::spent::UNITS;
use crate::{Plan, bare};

const NAME: &str = "outbox";
const DELETE: &str = "DELETE RETURNING";
const OXIDE: &str = "oxide-outbox";
const BACKBONE: &str = "backbone-outbox";
const DEBEZIUM: &str = "Debezium";

/// How many keys the events have.
const KEYS: u32 = 10_000;

/// A library, or what is written by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Cursor,
    Delete,
    Ours,
    Oxide,
    Backbone,
    /// On a Java machine.
    Debezium,
}

/// What a subject is asked to do, and how many events.
struct Case {
    name: &'static str,
    task: Task,
    subjects: Vec<(Subject, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Publishes what waits, to nobody.
    Drain,
    /// As `Drain`, while an old snapshot is held.
    DrainHeld,
    /// Publishes what waits to Kafka.
    DrainToKafka,
    /// Writes so many events in each transaction.
    Write(u32),
}

pub(crate) fn suite() -> Suite {
    Suite {
        name: NAME,
        cases: Vec::new(),
        latencies: Vec::new(),
        own: Some(run),
    }
}

fn cases() -> Vec<Case> {
    use Subject::{Backbone, Cursor, Debezium, Delete, Ours, Oxide};
    let many = 100_000;
    let drained = vec![
        (Cursor, many),
        (Delete, many),
        (Ours, many),
        (Oxide, 20_000),
        (Backbone, 5_000),
        (Debezium, many),
    ];
    let case = |name, task, subjects| Case {
        name,
        task,
        subjects,
    };
    vec![
        case("drain", Task::Drain, drained.clone()),
        case("drain, a snapshot held", Task::DrainHeld, drained),
        case(
            "drain into Kafka",
            Task::DrainToKafka,
            vec![
                (Delete, 100_000),
                (Ours, 100_000),
                (Oxide, KEYS),
                (Debezium, 100_000),
            ],
        ),
        case(
            "write, 100 in a transaction",
            Task::Write(100),
            vec![
                (Cursor, 50_000),
                (Ours, 50_000),
                (Oxide, KEYS),
                (Backbone, KEYS),
            ],
        ),
        case(
            "write, one in a transaction",
            Task::Write(1),
            vec![
                (Cursor, KEYS),
                (Ours, KEYS),
                (Oxide, KEYS),
                (Backbone, KEYS),
            ],
        ),
    ]
}

fn run(plan: &Plan) -> Result<Vec<Vec<Row>>> {
    let mut cases = cases();
    cases.retain(|case| plan.wants(case.name));
    for case in &mut cases {
        let takes_part = |subject: Subject| plan.jvm || subject != Subject::Debezium;
        case.subjects.retain(|(subject, _)| takes_part(*subject));
    }
    let follows = plan.wants(follow::NAME);
    if cases.is_empty() && !follows {
        return Ok(Vec::new());
    }
    let servers = Servers::start(plan.jvm)?;
    let mut tables = Vec::new();
    for case in &cases {
        tables.extend(case.measure(&servers, plan.rounds)?);
    }
    if follows {
        tables.extend(follow::measure(&servers, plan)?);
    }
    Ok(tables)
}

/// What the subjects work with.
struct Servers {
    postgres: Postgres,
    kafka: &'static Kafka,
}

impl Servers {
    fn start(with_debezium: bool) -> Result<Self> {
        let postgres = Postgres::start()?;
        if with_debezium {
            // Its reader needs more in the log of the server.
            postgres.query("ALTER SYSTEM SET wal_level = logical")?;
            postgres.restart()?;
        }
        Ok(Self {
            postgres,
            kafka: shared::kafka()?,
        })
    }
}

impl Case {
    fn measure(&self, servers: &Servers, rounds: usize) -> Result<Vec<Vec<Row>>> {
        let mut runs = Vec::new();
        for (subject, events) in &self.subjects {
            let named = |problem| format!("{}: {}: {problem}", self.name, subject.name());
            let worker = Worker::start(*subject, servers).and_then(|mut worker| {
                worker.run(self.task, *events)?;
                Ok(worker)
            });
            runs.push((*subject, *events, worker.map_err(named)?, Vec::new()));
        }
        for _ in 0..rounds {
            for (subject, events, worker, spent) in &mut runs {
                let run = worker.run(self.task, *events);
                let named = |problem| format!("{}: {}: {problem}", self.name, subject.name());
                spent.push(run.map_err(named)?);
            }
        }
        let tables = UNITS.map(|(unit, part)| {
            let series = runs.iter().map(|(subject, _, _, spent)| {
                let mut series = Series::new(subject.name());
                series.values = spent.iter().map(part).collect();
                series
            });
            Series::rows(&series.collect::<Vec<_>>(), &row(self.name, unit, rounds))
        });
        Ok(tables.into())
    }
}

fn row(case: &'static str, unit: &'static str, rounds: usize) -> Row {
    Row {
        suite: NAME,
        case,
        work: "none",
        unit,
        rounds,
        ..Row::default()
    }
}

impl Subject {
    const ALL: [Self; 6] = [
        Self::Cursor,
        Self::Delete,
        Self::Ours,
        Self::Oxide,
        Self::Backbone,
        Self::Debezium,
    ];

    /// In tables, and to a worker.
    fn name(self) -> &'static str {
        match self {
            Self::Cursor => bare::NAME,
            Self::Delete => DELETE,
            Self::Ours => OURS,
            Self::Oxide => OXIDE,
            Self::Backbone => BACKBONE,
            Self::Debezium => DEBEZIUM,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == name)
    }

    /// Whether it promises the order of each key, and repeats nothing of the run before as Debezium does.
    fn is_ordered(self) -> bool {
        matches!(self, Self::Cursor | Self::Ours)
    }
}
