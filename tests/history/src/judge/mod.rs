mod ledger;
mod scan;
mod tenure;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use bowline::broker::TopicPartition;
use bowline::consumer::Order;

use self::ledger::Ledger;
use self::tenure::{LastCommit, Tenure};
use crate::{Event, What};

/// What was promised.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a plain value of the tests")]
pub struct Rules {
    /// What keeps its order.
    pub order: Order,
    /// Whether a session lasts while its life has time and its broker is up. Not so where time is
    /// real: a busy machine keeps anybody waiting.
    pub sessions_last: bool,
    /// Whether a commit is answered before anybody may give it up.
    pub brokers_answer: bool,
    /// Whether an assignment has a greater epoch than those of its partition before it, whoever had
    /// them. Where not, nobody knows which of two that overlap came first, until one of them commits.
    pub epochs_grow: bool,
}

/// What was found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// What was not as promised, in words.
    pub problems: Vec<String>,
    /// What is still to be done, or to be committed.
    pub unfinished: Vec<String>,
    /// How many records were handled to their end, repetitions not counted.
    pub done: usize,
    /// How many times a record was begun that was done before.
    pub repeated: usize,
    /// How many assignments were lost.
    pub lost: usize,
    /// How many were given back.
    pub released: usize,
    /// How many commits were refused because their assignment had ended.
    pub fenced: usize,
}

/// Reads a history from its beginning to its end.
///
/// Finished is it when every acknowledged record was done, and the group has committed the end of each
/// partition. As promised it is when
/// - a record is begun once all earlier ones of its key in its partition are done, by whomever, and
///   within an assignment one after the other;
/// - nobody begins with a record outside of his assignment, before its start, or a second time;
/// - what was done is repeated only when the assignment in which it was done has not ended calmly;
/// - commits of a group never go back, never pass a record that nobody has done, and are not made
///   once somebody else was told that the partition is his. Who was stopped in between is told late:
///   when he hears of it, the partition may be somebody else's already;
/// - a partition has one owner, unless the one before had no time or no broker.
#[must_use]
pub fn judge(events: &[Event], rules: Rules) -> Verdict {
    let mut judge = Judge::new(events, rules);
    for (at, event) in events.iter().enumerate() {
        judge.at = at;
        judge.read(event);
    }
    judge.end();
    judge.verdict
}

struct Judge<'a> {
    events: &'a [Event],
    rules: Rules,
    at: usize,
    ledgers: BTreeMap<TopicPartition, Ledger>,
    tenures: Vec<Tenure>,
    calls: HashMap<(u32, u64), Vec<Call>>,
    is_down: bool,
    hasty: BTreeSet<u32>,
    /// Lives whose last commit failed; the next one has to wait.
    failing: BTreeSet<u32>,
    verdict: Verdict,
}

/// A commit on its way, for one of its assignments.
struct Call {
    tenure: usize,
    next: u64,
    begun: usize,
    /// How far the group had come when it was begun.
    committed: u64,
}

/// When an assignment was made, beside another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Before,
    After,
    Unknown,
}

impl<'a> Judge<'a> {
    fn new(events: &'a [Event], rules: Rules) -> Self {
        let mut ledgers: BTreeMap<TopicPartition, Ledger> = BTreeMap::new();
        for event in events {
            let Some(partition) = event.partition() else {
                continue;
            };
            let ledger = ledgers.entry(partition.clone()).or_default();
            match &event.what {
                What::Acknowledged(at) => {
                    ledger.acknowledged.insert(at.offset);
                    ledger.know(at.offset, None);
                }
                What::Began(_, offset, key) => ledger.know(*offset, rules.ordered(key)),
                _ => {}
            }
        }
        Self {
            events,
            rules,
            at: 0,
            ledgers,
            tenures: Vec::new(),
            calls: HashMap::new(),
            is_down: false,
            hasty: BTreeSet::new(),
            failing: BTreeSet::new(),
            verdict: Verdict::default(),
        }
    }

    /// Notes what is not as promised, with what went before in the same partition.
    fn problem(&mut self, problem: &str) {
        const SHOWN: usize = 50;
        let now = &self.events[self.at.min(self.events.len().saturating_sub(1))];
        let related = |event: &&Event| match (now.partition(), event.partition()) {
            _ if matches!(event.what, What::Acknowledged(_)) => false,
            (Some(one), Some(other)) => one == other,
            (_, None) => true,
            (None, Some(_)) => event.life == now.life,
        };
        let before = self.events[..self.at].iter().rev().filter(related);
        let mut before: Vec<String> = before.take(SHOWN).map(Event::to_string).collect();
        before.reverse();
        let before = before.join("\n    ");
        let text = format!("{problem}\n    {before}\n => {now}");
        self.verdict.problems.push(text);
    }

    fn end(&mut self) {
        self.at = self.events.len();
        let mut unfinished = Vec::new();
        for (partition, ledger) in &self.ledgers {
            let lost: Vec<_> = ledger.acknowledged.difference(&ledger.done).collect();
            if !lost.is_empty() {
                unfinished.push(format!("{partition}: {lost:?} are not done"));
            }
            let (committed, end) = (ledger.committed, ledger.end());
            if committed < end {
                unfinished.push(format!("{partition}: committed {committed} of {end}"));
            }
            self.verdict.done += ledger.done.len();
        }
        self.verdict.unfinished = unfinished;
    }
}

impl Rules {
    /// What a record of `key` keeps its order with, if with any.
    fn ordered<'k>(&self, key: &'k str) -> Option<&'k str> {
        match self.order {
            Order::Partition => Some("*"),
            Order::Key => (key != "-").then_some(key),
            Order::None => None,
        }
    }

    /// When `new` was made, beside another assignment of its partition that was told before.
    fn made(&self, new: &Tenure, other: &Tenure) -> Made {
        let is_over = other.end.is_some() || other.succeeded.is_some();
        if self.epochs_grow {
            // The same one may be told again.
            if new.assignment.epoch < other.assignment.epoch {
                Made::Before
            } else {
                Made::After
            }
        } else if is_over || new.life == other.life {
            Made::After
        } else {
            Made::Unknown
        }
    }
}

impl Verdict {
    /// That of a run which did not come to its end.
    pub fn panicked(how: impl fmt::Debug) -> Self {
        Self {
            problems: vec![format!("it panicked: {how:?}")],
            ..Self::default()
        }
    }

    /// Whether everything was as promised, and is finished.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.problems.is_empty() && self.unfinished.is_empty()
    }

    /// Adds what was found elsewhere.
    pub fn add(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.unfinished.extend(other.unfinished);
        self.done += other.done;
        self.repeated += other.repeated;
        self.lost += other.lost;
        self.released += other.released;
        self.fenced += other.fenced;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} done, {} repeated, {} assignments lost, {} released, {} commits fenced",
            self.done, self.repeated, self.lost, self.released, self.fenced
        )?;
        const SHOWN: usize = 4;
        let problems = || self.unfinished.iter().chain(&self.problems);
        for problem in problems().take(SHOWN) {
            write!(f, "\n{problem}")?;
        }
        match problems().count().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more"),
        }
    }
}
