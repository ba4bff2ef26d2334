//! What a run of a process took.

use crate::book::Answer;

/// For each record in nanoseconds, and at the peak in MB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    time: f64,
    cpu: f64,
    memory: f64,
}

/// What is shown of a run.
pub(crate) const UNITS: [(&str, fn(&Spent) -> f64); 3] = [
    ("ns", |spent| spent.time),
    ("ns, CPU", |spent| spent.cpu),
    ("MB, memory", |spent| spent.memory),
];

impl Spent {
    pub(crate) fn of(answer: &Answer) -> Self {
        let per_record = |seconds: f64| seconds * 1e9 / f64::from(answer.records);
        Self {
            time: per_record(answer.seconds),
            cpu: per_record(answer.cpu_seconds),
            memory: answer.peak_kib * 1_024.0 / 1e6,
        }
    }
}
