//! The runner: rounds in which all subjects of a case take turns.

use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::bare::{self, Bare, Work};
use crate::report::{Result, Row, Series, median};
use crate::subject::{Requests, Run, Spent, Subject, within_runtime};
use crate::together::Together;

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
/// How long it may run until it has run at the same time in all threads for long enough.
const LONGEST_ROUND: Duration = Duration::from_secs(2);
/// Batches that make a median.
const ENOUGH: usize = 20;
/// A batch is made of slices, after each of which the other threads see that it goes on.
const SLICES: u64 = 8;
/// So long that the price of the clock is nothing, so short that most batches are not disturbed.
const SLICE: Duration = Duration::from_micros(25);
/// As long as a call that does a little, so that calls do not meet all the time.
pub(crate) const WORK: Duration = Duration::from_nanos(700);

/// Measures a case in all its variants; the calls do nothing, and `work`.
///
/// # Errors
///
/// A subject cannot be built, or does not do what the case expects.
pub(crate) fn case(
    suite: &'static str,
    case: &Case,
    work: Work,
    rounds: usize,
) -> Result<Vec<Vec<Row>>> {
    let works = match case.expected {
        Expected::Passed => vec![Work::NONE, work],
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
            let call = round(subject, case.fails_every, threads)?;
            series.values.push(call.nanos);
            series.allocs.push(call.allocs);
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

/// What a call took in a round.
struct PerCall {
    /// Not a number when the threads never ran at the same time.
    nanos: f64,
    allocs: f64,
}

/// The mean of the threads.
fn round(subject: &Subject, fails_every: Option<u64>, threads: usize) -> Result<PerCall> {
    let together = &Together::new(threads);
    let ended = thread::scope(|scope| {
        let begin = |index| {
            let mut run = subject.for_thread();
            let requests = Requests::new(fails_every);
            let measured = move || measured(&mut *run, requests, together, index);
            scope.spawn(move || within_runtime(measured))
        };
        let running: Vec<_> = (0..threads).map(begin).collect();
        let ended: Vec<_> = running.into_iter().map(ScopedJoinHandle::join).collect();
        ended.into_iter().collect::<thread::Result<Vec<PerCall>>>()
    });
    let ended = ended.map_err(|_panic| format!("{} panicked", subject.name))?;
    let mean = |part: fn(&PerCall) -> f64| ended.iter().map(part).sum::<f64>() / threads as f64;
    Ok(PerCall {
        nanos: mean(|thread| thread.nanos),
        allocs: mean(|thread| thread.allocs),
    })
}

/// Makes batches of calls until the round is over. The batch in the middle counts: one in which the
/// machine gave the processor to somebody else says nothing about the subject. Neither does one during
/// which the others got on much less than this thread, as they did not run, or much more, as this one
/// did not.
fn measured(
    run: &mut dyn Run,
    mut requests: Requests,
    together: &Together,
    index: usize,
) -> PerCall {
    let slice = slice(run, &mut requests);
    together.begin();
    let mut nanos = Vec::new();
    let mut all = Spent::default();
    let mut finished = false;
    let began = Instant::now();
    // One that has panicked does not finish.
    while !together.all_finished() && began.elapsed() <= LONGEST_ROUND + ROUND {
        let before = together.steps_of_others(index);
        let mut batch = Spent::default();
        for _ in 0..SLICES {
            batch += run.run(&mut requests, slice);
            together.step(index);
        }
        if finished {
            continue;
        }
        all += batch;
        let after = together.steps_of_others(index);
        let shared = before.zip(after).map(|(before, after)| after - before);
        if shared.is_none_or(|steps| (SLICES / 4..=SLICES * 4).contains(&steps)) {
            nanos.push(batch.time.as_nanos() as f64 / batch.calls as f64);
        }
        let elapsed = began.elapsed();
        finished = elapsed >= ROUND && (nanos.len() >= ENOUGH || elapsed >= LONGEST_ROUND);
        if finished {
            together.finish();
        }
    }
    PerCall {
        nanos: median(&nanos),
        allocs: all.allocs as f64 / all.calls as f64,
    }
}

/// How many calls make a slice of a batch.
fn slice(run: &mut dyn Run, requests: &mut Requests) -> u64 {
    let mut calls = 1;
    while run.run(requests, calls).time < SLICE {
        calls *= 2;
    }
    calls
}
