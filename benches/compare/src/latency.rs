//! How long single calls take when many tasks make them.

use std::hint::black_box;
use std::iter::repeat_n;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout_at;

use crate::bare::{Bare, Work};
use crate::report::{Result, Row, Series};
use crate::subject::{Protected, Requests, make_calls};

/// What is measured call by call.
pub(crate) struct Latency {
    pub(crate) name: &'static str,
    pub(crate) subjects: fn(Bare) -> Result<Vec<Subject>>,
}

/// One library's way to protect a call, called by many tasks.
pub(crate) struct Subject {
    name: &'static str,
    /// All calls of a round, in nanoseconds.
    round: Box<dyn Fn(&Runtime) -> Vec<u64>>,
}

const TASKS: usize = 64;
const WORKERS: usize = 2;
const CALLS: usize = 2_000;
/// Hundreds of times as long as the slowest peer needs for a round.
const STUCK: Duration = Duration::from_secs(10);

/// Calls per million that take at most so long, and what that is called.
const QUANTILES: [(usize, &str); 4] = [
    (500_000, "ns, p50"),
    (990_000, "ns, p99"),
    (999_000, "ns, p99.9"),
    (1_000_000, "ns, max"),
];

impl Subject {
    pub(crate) fn new<S: Protected>(name: &'static str, service: S) -> Self {
        let round = move |runtime: &Runtime| runtime.block_on(tasks(&service));
        Self {
            name,
            round: Box::new(round),
        }
    }
}

/// Measures all subjects in turns; one table for each quantile.
///
/// # Errors
///
/// A subject cannot be built.
pub(crate) fn case(suite: &'static str, case: &Latency, rounds: usize) -> Result<Vec<Vec<Row>>> {
    let subjects = (case.subjects)(Bare::new(Work::NONE))?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_time()
        .build()?;
    let mut series = QUANTILES.map(|_| new(&subjects));
    for _ in 0..rounds {
        for (index, subject) in subjects.iter().enumerate() {
            let mut took = (subject.round)(&runtime);
            took.sort_unstable();
            for ((share, _), series) in QUANTILES.iter().zip(&mut series) {
                series[index].values.push(quantile(&took, *share));
            }
        }
    }
    let row = |unit| Row {
        suite,
        case: case.name,
        threads: WORKERS,
        work: "none",
        unit,
        rounds,
        ..Row::default()
    };
    let tables = QUANTILES.iter().zip(&series);
    Ok(tables
        .map(|((_, unit), series)| Series::rows(series, &row(unit)))
        .collect())
}

fn new(subjects: &[Subject]) -> Vec<Series> {
    subjects
        .iter()
        .map(|subject| Series::new(subject.name))
        .collect()
}

/// The time within which so many calls per million of `sorted` were done.
fn quantile(sorted: &[u64], per_million: usize) -> f64 {
    let rank = (sorted.len() * per_million).div_ceil(1_000_000);
    sorted
        .get(rank.saturating_sub(1))
        .map_or(f64::NAN, |took| *took as f64)
}

async fn tasks<S: Protected>(service: &S) -> Vec<u64> {
    let mut tasks: JoinSet<Vec<u64>> = (0..TASKS).map(|_| task(service.clone())).collect();
    let mut took = Vec::with_capacity(TASKS * CALLS);
    let end = Instant::now() + STUCK;
    while let Ok(Some(Ok(calls))) = timeout_at(end.into(), tasks.join_next()).await {
        took.extend(calls);
    }
    // A task that nobody wakes any more is a call that has taken all this time.
    took.extend(repeat_n(nanos(STUCK), tasks.len()));
    took
}

/// Lets another task have the worker after each call, as one that waits for its answer would.
async fn task<S: Protected>(mut service: S) -> Vec<u64> {
    let requests = &mut Requests::new(None);
    let mut took = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        black_box(make_calls(&mut service, requests, 1).await);
        took.push(nanos(began.elapsed()));
        yield_now().await;
    }
    took
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_first_value_that_enough_are_at_or_below() {
        let sorted: Vec<u64> = (1..=1_000).collect();
        let at = QUANTILES.map(|(share, _)| quantile(&sorted, share));
        assert_eq!(at, [500.0, 990.0, 999.0, 1_000.0]);
        assert_eq!(quantile(&[7], 500_000), 7.0);
        assert!(quantile(&[], 500_000).is_nan());
    }
}
