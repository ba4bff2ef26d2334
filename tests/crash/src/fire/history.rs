use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bowline_test_history::{Answer, Step};

use super::Failpoint;

/// The line of a producer that was fenced.
const FENCED: &[u8] = b"fenced\n";

/// What has happened to one outbox so far. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    steps: Vec<Step>,
    struck: BTreeSet<Failpoint>,
    problems: Vec<String>,
    fenced: usize,
    /// Where a process leaves a line for each trouble, for those who come after it.
    troubles: Option<File>,
}

/// Those of all seeds that run, for what happens to all of them.
pub type Histories = Arc<Mutex<Vec<History>>>;

impl History {
    /// One whose troubles are also lines of `file`.
    pub(super) fn to(file: File) -> Self {
        let history = Self::default();
        history.note(|noted| noted.troubles = Some(file));
        history
    }

    pub(super) fn appended(&self, life: u32, name: &str, answer: Answer) {
        let name = name.to_owned();
        self.note(|noted| noted.steps.push(Step::Appended { life, name, answer }));
    }

    /// The same, by a life that is told of it if it still waits.
    pub(super) fn appended_for(&self, life: u32, name: &str, waits: &AtomicBool) {
        let name = name.to_owned();
        self.note(|noted| {
            let answer = match waits.load(Ordering::SeqCst) {
                true => Answer::Told,
                false => Answer::Unseen,
            };
            noted.steps.push(Step::Appended { life, name, answer });
        });
    }

    /// A life waits no more for what it is told.
    pub(super) fn deaf(&self, life: u32, waits: &AtomicBool) {
        self.note(|noted| {
            waits.store(false, Ordering::SeqCst);
            noted.steps.push(Step::Deaf(life));
        });
    }

    /// Something befell a life, or everybody.
    pub fn trouble(&self, life: Option<u32>) {
        self.note(|noted| {
            noted.steps.push(Step::Trouble(life));
            if let Some(file) = &mut noted.troubles {
                file.write_all(b"trouble\n").expect("a line");
            }
        });
    }

    /// A producer has found that another one has its work.
    pub(super) fn fenced(&self) {
        self.note(|noted| {
            noted.fenced += 1;
            if let Some(file) = &mut noted.troubles {
                file.write_all(FENCED).expect("a line");
            }
        });
    }

    /// What a process has left in its file.
    pub(super) fn read(&self, troubles: &str) {
        for line in troubles.split_inclusive('\n') {
            if line.as_bytes() == FENCED {
                self.fenced();
            } else {
                self.trouble(None);
            }
        }
    }

    /// How often a producer has found that another one has its work.
    pub(super) fn fences(&self) -> usize {
        self.note(|noted| noted.fenced)
    }

    pub(super) fn struck(&self, point: Failpoint) {
        self.note(|noted| noted.struck.extend([point]));
    }

    pub(super) fn problem(&self, problem: String) {
        self.note(|noted| noted.problems.push(problem));
    }

    /// What happened, in order.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.note(|noted| noted.steps.clone())
    }

    pub(super) fn problems(&self) -> Vec<String> {
        self.note(|noted| noted.problems.clone())
    }

    /// Where a relay was struck.
    #[must_use]
    pub fn points(&self) -> BTreeSet<Failpoint> {
        self.note(|noted| noted.struck.clone())
    }

    fn note<T>(&self, note: impl FnOnce(&mut Noted) -> T) -> T {
        note(&mut self.0.lock().expect("nobody panics with it"))
    }
}
