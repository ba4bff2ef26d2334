//! Records from a real broker: what a consumer takes for each, beside the loop without one.
//!
//! The base line is what a user writes by hand on the driver: a loop that reads and handles, where
//! records need no time, and any number of records at once in no order, where they do. It keeps less
//! than the others promise. All subjects of a load read the same topic, each run in a group of its own,
//! and take turns round by round. Each has a process of its own, so that nobody pays for the memory of
//! another, and a first run in it that is not counted. A run lasts from the first record to the last
//! one, joining the group not counted, and must show that each record was handled once, in the order
//! that the case says, and that all is committed at its end.

mod ours;
mod raw;
mod topic;
mod worker;

use std::time::Duration;

use bowline_test_services::shared;
use tokio::runtime::Runtime;

use self::topic::Topic;
use self::worker::Worker;
pub(crate) use self::worker::{WORKER, work};
use super::Suite;
use crate::report::{OURS, Result, Row, Series};
use crate::spent::UNITS;
use crate::{Plan, bare};

const NAME: &str = "consumer";
const PARALLEL_CONSUMER: &str = "parallel-consumer";
const KAFKA_CONSUMER: &str = "KafkaConsumer";

/// A topic, and what is done with it.
struct Load {
    records: u32,
    keys: u32,
    partitions: u32,
    /// How long each record takes, without any computing.
    work: Option<Duration>,
    cases: Vec<Case>,
}

struct Case {
    name: &'static str,
    subjects: Vec<(&'static str, How)>,
}

/// A way to consume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct How {
    place: Place,
    mode: Mode,
    at_once: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    /// On a Java machine.
    Jvm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The driver alone, one record after the other.
    Loop,
    /// The driver alone, any records at once.
    ByHand,
    Key,
    Partition,
    Unordered,
}

pub(crate) fn suite() -> Suite {
    Suite {
        name: NAME,
        cases: Vec::new(),
        latencies: Vec::new(),
        own: Some(run),
    }
}

fn loads() -> [Load; 3] {
    [
        Load {
            records: 500_000,
            keys: 10_000,
            partitions: 6,
            work: None,
            cases: vec![
                ordered("by key, 64 at once", Mode::Key, 64),
                ordered("by key, 512 at once", Mode::Key, 512),
                ordered("by partition", Mode::Partition, 64),
                ordered("no order, 64 at once", Mode::Unordered, 64),
                Case {
                    name: "one after the other",
                    subjects: vec![
                        (bare::NAME, How::here(Mode::Loop, 1)),
                        (KAFKA_CONSUMER, How::jvm(Mode::Loop, 1)),
                    ],
                },
            ],
        },
        Load {
            records: 100_000,
            keys: 1,
            partitions: 1,
            work: None,
            cases: vec![ordered("one key", Mode::Key, 64)],
        },
        Load {
            records: 200_000,
            keys: 10_000,
            partitions: 1,
            work: Some(Duration::from_millis(2)),
            cases: vec![
                waiting("one partition, by key, 100 at once", 100),
                waiting("one partition, by key, 1,000 at once", 1_000),
            ],
        },
    ]
}

fn ordered(name: &'static str, mode: Mode, at_once: usize) -> Case {
    beside(name, How::here(Mode::Loop, 1), mode, at_once)
}

fn waiting(name: &'static str, at_once: usize) -> Case {
    beside(name, How::here(Mode::ByHand, at_once), Mode::Key, at_once)
}

fn beside(name: &'static str, bare: How, mode: Mode, at_once: usize) -> Case {
    Case {
        name,
        subjects: vec![
            (bare::NAME, bare),
            (OURS, How::here(mode, at_once)),
            (PARALLEL_CONSUMER, How::jvm(mode, at_once)),
        ],
    }
}

fn run(plan: &Plan) -> Result<Vec<Vec<Row>>> {
    let mut loads = loads();
    for load in &mut loads {
        load.cases.retain(|case| plan.wants(case.name));
        for case in &mut load.cases {
            let takes_part = |how: &How| plan.jvm || how.place != Place::Jvm;
            case.subjects.retain(|(_, how)| takes_part(how));
        }
    }
    let wanted = loads.iter().filter(|load| !load.cases.is_empty());
    let wanted: Vec<&Load> = wanted.collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = Runtime::new()?;
    let broker = shared::kafka()?;
    let mut tables = Vec::new();
    for load in wanted {
        let topic = runtime.block_on(Topic::fill(&broker.url(), load))?;
        tables.extend(load.measure(&topic, plan.rounds)?);
    }
    Ok(tables)
}

impl Load {
    fn measure(&self, topic: &Topic, rounds: usize) -> Result<Vec<Vec<Row>>> {
        let mut runs = Vec::new();
        let named = |how, problem| format!("{how:?}: {problem}");
        for how in self.ways() {
            let worker = Worker::start(how, topic).map_err(|problem| named(how, problem))?;
            runs.push((how, worker, Vec::new()));
        }
        for _ in 0..rounds {
            for (how, worker, spent) in &mut runs {
                let run = worker.run(*how, topic);
                spent.push(run.map_err(|problem| named(*how, problem))?);
            }
        }
        let of = |how: &How| {
            let run = runs.iter().find(|(other, ..)| other == how);
            run.map(|(_, _, spent)| spent.as_slice())
                .unwrap_or_default()
        };
        let tables = self.cases.iter().flat_map(|case| {
            UNITS.map(|(unit, part)| {
                let series = case.subjects.iter().map(|(name, how)| {
                    let mut series = Series::new(name);
                    series.values = of(how).iter().map(part).collect();
                    series
                });
                let row = Row {
                    suite: NAME,
                    case: case.name,
                    work: if self.work.is_some() { "2 ms" } else { "none" },
                    unit,
                    rounds,
                    ..Row::default()
                };
                Series::rows(&series.collect::<Vec<_>>(), &row)
            })
        });
        Ok(tables.collect())
    }

    /// Each way once, though several cases show it.
    fn ways(&self) -> Vec<How> {
        let mut ways = Vec::new();
        for (_, how) in self.cases.iter().flat_map(|case| &case.subjects) {
            if !ways.contains(how) {
                ways.push(*how);
            }
        }
        ways
    }
}

impl How {
    fn here(mode: Mode, at_once: usize) -> Self {
        Self {
            place: Place::Here,
            mode,
            at_once,
        }
    }

    fn jvm(mode: Mode, at_once: usize) -> Self {
        Self {
            place: Place::Jvm,
            ..Self::here(mode, at_once)
        }
    }
}

impl Mode {
    const ALL: [Self; 5] = [
        Self::Loop,
        Self::ByHand,
        Self::Key,
        Self::Partition,
        Self::Unordered,
    ];

    /// What a worker is told.
    fn name(self) -> &'static str {
        match self {
            Self::Loop => "LOOP",
            Self::ByHand => "BY_HAND",
            Self::Key => "KEY",
            Self::Partition => "PARTITION",
            Self::Unordered => "UNORDERED",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether each key is to be in order.
    fn is_ordered(self) -> bool {
        !matches!(self, Self::ByHand | Self::Unordered)
    }
}
