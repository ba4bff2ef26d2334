//! The runner: rounds in which all subjects of a case take turns.

use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::bare::{self, Bare, Work};
use crate::report::{Result, Row, Series};
use crate::subject::{Requests, Run, Spent, Subject, within_runtime};

/// What is measured of all subjects in the same way.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Every so many calls the service behind the subjects fails.
    pub(crate) fails_every: Option<u64>,
    /// What the subjects do with the calls.
    pub(crate) expected: Expected,
    /// With how many threads that share the subject.
    pub(crate) threads: &'static [usize],
    /// The subjects, new, around this call.
    pub(crate) subjects: fn(Bare) -> Result<Vec<Subject>>,
}

/// What becomes of the calls of a case; a subject that does something else is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Passed,
    Refused,
}

/// Alone, and two that share it.
pub(crate) const SHARED: &[usize] = &[1, 2];
/// Alone.
pub(crate) const ALONE: &[usize] = &[1];

/// How long a subject runs in a round.
const ROUND: Duration = Duration::from_millis(60);
/// As long as a call that does a little, so that calls do not meet all the time.
const WORK: Duration = Duration::from_nanos(700);
/// The clock is read after so much time, so that its price is nothing.
const BATCH: Duration = Duration::from_micros(200);

/// Measures a case in all its variants.
///
/// # Errors
///
/// A subject cannot be built, or does not do what the case expects.
pub(crate) fn case(suite: &'static str, case: &Case, rounds: usize) -> Result<Vec<Vec<Row>>> {
    let works = match case.expected {
        Expected::Passed => vec![Work::NONE, Work::lasting(WORK)],
        // What is refused does no work.
        Expected::Refused => vec![Work::NONE],
    };
    let mut tables = Vec::new();
    for &threads in case.threads {
        for &work in &works {
            let subjects = (case.subjects)(Bare::new(work))?;
            let series = variant(case, &subjects, threads, rounds)?;
            let row = Row {
                suite,
                case: case.name,
                subject: "",
                threads,
                work: if work == Work::NONE { "none" } else { "0.7 us" },
                unit: "ns",
                rounds,
                ..Row::default()
            };
            tables.push(Series::rows(&series, &row));
        }
    }
    Ok(tables)
}

fn variant(
    case: &Case,
    subjects: &[Subject],
    threads: usize,
    rounds: usize,
) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = subjects.iter().map(|s| Series::new(s.name)).collect();
    check(case, subjects)?;
    for _ in 0..rounds {
        for (subject, series) in subjects.iter().zip(&mut series) {
            let spent = round(subject, case.fails_every, threads)?;
            let calls = spent.calls as f64;
            series.values.push(spent.time.as_nanos() as f64 / calls);
            series.allocs.push(spent.allocs as f64 / calls);
        }
    }
    check(case, subjects)?;
    Ok(series)
}

/// That each subject does what is measured, and has not come to do something else meanwhile.
fn check(case: &Case, subjects: &[Subject]) -> Result<()> {
    const CALLS: u64 = 1_000;
    for subject in subjects {
        let requests = &mut Requests::new(case.fails_every);
        let spent = within_runtime(|| subject.for_thread().run(requests, CALLS));
        let errors = spent.errors;
        let failures = case.fails_every.map_or(0, |every| CALLS / every);
        let refused = case.expected == Expected::Refused && subject.name != bare::NAME;
        let expected = if refused { CALLS } else { failures };
        if errors != expected {
            let (case, subject) = (case.name, subject.name);
            return Err(format!(
                "{case}: {errors} of {CALLS} calls of {subject} ended with an error, not {expected}"
            )
            .into());
        }
    }
    Ok(())
}

/// What the threads together have done in a round.
fn round(subject: &Subject, fails_every: Option<u64>, threads: usize) -> Result<Spent> {
    let together = &Barrier::new(threads);
    let spent = thread::scope(|scope| {
        let begin = |_| {
            let mut run = subject.for_thread();
            let measured = move || measured(&mut *run, fails_every, together);
            scope.spawn(move || within_runtime(measured))
        };
        let running: Vec<_> = (0..threads).map(begin).collect();
        let ended: Vec<_> = running.into_iter().map(ScopedJoinHandle::join).collect();
        ended.into_iter().collect::<thread::Result<Vec<Spent>>>()
    });
    let mut all = Spent::default();
    for spent in spent.map_err(|_panic| format!("{} panicked", subject.name))? {
        all += spent;
    }
    Ok(all)
}

/// Makes batches of calls until the round is over.
fn measured(run: &mut dyn Run, fails_every: Option<u64>, together: &Barrier) -> Spent {
    let requests = &mut Requests::new(fails_every);
    let batch = batch(run, requests);
    together.wait();
    let mut spent = Spent::default();
    let began = Instant::now();
    while began.elapsed() < ROUND {
        spent += run.run(requests, batch);
    }
    spent
}

/// How many calls make a batch. Finding it out warms everything up.
fn batch(run: &mut dyn Run, requests: &mut Requests) -> u64 {
    let mut calls = 128;
    while run.run(requests, calls).time < BATCH {
        calls *= 2;
    }
    calls
}
