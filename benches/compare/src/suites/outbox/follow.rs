//! How long after its commit an event is at the broker, one in each transaction at a steady pace, and
//! what the relay uses of a core meanwhile, and while nothing happens.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};

use super::sink::now;
use super::worker::{Outbox, Question, Worker};
use super::{Servers, Subject, backbone, cursor, delete, ours, oxide, row};
use crate::Plan;
use crate::report::{Result, Row, Series};

pub(super) const NAME: &str = "commit to acknowledgement";

const EVENTS: u32 = 2_000;
const PACE: Duration = Duration::from_millis(2);
const IDLE_SECONDS: u32 = 5;
/// While the events are written.
const BUSY_SECONDS: u32 = 3;

const UNITS: [(&str, fn(&Followed) -> f64); 5] = [
    ("ms, p50", |followed| followed.quantile(50)),
    ("ms, p99", |followed| followed.quantile(99)),
    ("ms, max", |followed| followed.quantile(100)),
    ("% of a core, 500/s", |followed| 100.0 * followed.busy),
    ("% of a core, idle", |followed| 100.0 * followed.idle),
];

/// What became of the events of a run.
struct Followed {
    /// In microseconds, sorted.
    latencies: Vec<u64>,
    busy: f64,
    idle: f64,
}

/// # Errors
///
/// A subject does not work.
pub(super) fn measure(servers: &Servers, plan: &Plan) -> Result<Vec<Vec<Row>>> {
    let runtime = Runtime::new()?;
    // One that publishes nowhere but in its own process is not asked.
    let subjects = [
        Subject::Delete,
        Subject::Ours,
        Subject::Oxide,
        Subject::Debezium,
    ];
    let takes_part = |subject: &Subject| plan.jvm || *subject != Subject::Debezium;
    let subjects = subjects.into_iter().filter(takes_part);
    let mut runs: Vec<_> = subjects.map(|subject| (subject, Vec::new())).collect();
    for _ in 0..plan.rounds {
        for (subject, followed) in &mut runs {
            let mut worker = Worker::start(*subject, servers)?;
            let run = runtime.block_on(follow(*subject, &mut worker));
            let named = |problem| format!("{NAME}: {}: {problem}", subject.name());
            followed.push(run.map_err(named)?);
        }
    }
    let tables = UNITS.map(|(unit, part)| {
        let series = runs.iter().map(|(subject, followed)| {
            let mut series = Series::new(subject.name());
            series.values = followed.iter().map(part).collect();
            series
        });
        Series::rows(&series.collect::<Vec<_>>(), &row(NAME, unit, plan.rounds))
    });
    Ok(tables.into())
}

async fn follow(subject: Subject, worker: &mut Worker) -> Result<Followed> {
    match subject {
        Subject::Cursor => write_to::<cursor::Cursor>(worker).await,
        Subject::Delete => write_to::<delete::Delete>(worker).await,
        Subject::Ours => write_to::<ours::Ours>(worker).await,
        Subject::Oxide => write_to::<oxide::Oxide>(worker).await,
        Subject::Backbone => write_to::<backbone::Backbone>(worker).await,
        // Its table has the same columns.
        Subject::Debezium => write_to::<delete::Delete>(worker).await,
    }
}

async fn write_to<O: Outbox>(worker: &mut Worker) -> Result<Followed> {
    worker.ask::<()>(&Question::Follow { events: EVENTS })?;
    let idle = worker.ask(&Question::Share {
        seconds: IDLE_SECONDS,
    })?;
    let outbox = O::open(&worker.database).await?;
    let writer = tokio::spawn(async move {
        let mut commits = Vec::new();
        let began = Instant::now();
        for number in 0..EVENTS {
            sleep_until(began + PACE * number).await;
            outbox
                .write(number, number)
                .await
                .map_err(|error| error.to_string())?;
            commits.push(now());
        }
        Ok::<_, String>(commits)
    });
    let question = Question::Share {
        seconds: BUSY_SECONDS,
    };
    let busy = block_in_place(|| worker.ask(&question))?;
    let commits = writer.await??;
    let acks: Vec<u64> = block_in_place(|| worker.ask(&Question::Acks))?;
    let both = commits.iter().zip(&acks);
    let mut latencies: Vec<_> = both
        .map(|(commit, ack)| ack.saturating_sub(*commit))
        .collect();
    latencies.sort_unstable();
    Ok(Followed {
        latencies,
        busy,
        idle,
    })
}

impl Followed {
    fn quantile(&self, percent: usize) -> f64 {
        let rank = (self.latencies.len() * percent).div_ceil(100);
        let micros = self.latencies.get(rank.saturating_sub(1));
        micros.map_or(f64::NAN, |micros| *micros as f64 / 1e3)
    }
}
