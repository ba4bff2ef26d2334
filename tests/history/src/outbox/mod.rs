//! What the relays of one outbox published, and whether it was what bowline promises.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::Verdict;

/// A row that was committed, and that no operator has discarded.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "a plain value of the tests")]
pub struct Row {
    /// Its place in the order of the outbox.
    pub id: i64,
    /// Where it goes.
    pub topic: String,
    /// What it keeps its order with, if with anything.
    pub key: Option<String>,
    /// Which one it is.
    pub name: String,
}

/// One thing that happened, in the order in which it did.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum Step {
    /// The broker has taken a row.
    Appended {
        /// The life that sent it: one relay from its beginning to its end.
        life: u32,
        /// Which row.
        name: String,
        /// What that life hears of it.
        answer: Answer,
    },
    /// A life does not wait for its answers any more: what it was told last it has not heard.
    Deaf(u32),
    /// A life, or everybody at once, has died, stood still, or did not hear from its database.
    Trouble(Option<u32>),
}

/// What is heard of a record that the broker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum Answer {
    /// That it is there.
    Told,
    /// Nothing, or that it failed.
    Lost,
    /// This history does not say.
    Unseen,
}

/// Reads what has been published when nothing waits any more.
///
/// As promised it is when
/// - every row is there, and nothing else: no row that was rolled back, and none that was discarded;
/// - of each topic and key the rows come first in the order of their ids. That holds with zombies too: each
///   life sends the rows of a key in order, from one that was not settled on, so of all that they send the
///   first of each row comes before the first of the next;
/// - no life repeats what it was told is there, unless it had trouble in between;
/// - there are no more copies than a window for each trouble, and one for each answer that was lost. A life
///   has one window in hand: dead, it leaves that to the next one; a zombie sends the rest of it
///   once more, and then finds that its lease has ended.
#[must_use]
pub fn judge_published(rows: &[Row], steps: &[Step], window: usize) -> Verdict {
    let mut judge = Judge::new(rows);
    for step in steps {
        judge.read(step);
    }
    judge.end(window)
}

struct Judge<'a> {
    rows: HashMap<&'a str, &'a Row>,
    /// By topic and key, the id of the newest that came.
    newest: HashMap<(&'a str, &'a str), i64>,
    /// Which were told to which life.
    told: BTreeMap<u32, HashSet<&'a str>>,
    seen: HashSet<&'a str>,
    copies: usize,
    troubles: usize,
    lost: usize,
    problems: Vec<String>,
}

impl<'a> Judge<'a> {
    fn new(rows: &'a [Row]) -> Self {
        Self {
            rows: rows.iter().map(|row| (&*row.name, row)).collect(),
            newest: HashMap::new(),
            told: BTreeMap::new(),
            seen: HashSet::new(),
            copies: 0,
            troubles: 0,
            lost: 0,
            problems: Vec::new(),
        }
    }

    fn read(&mut self, step: &Step) {
        match step {
            Step::Deaf(life) => drop(self.told.remove(life)),
            Step::Trouble(who) => {
                self.troubles += 1;
                match who {
                    Some(life) => drop(self.told.remove(life)),
                    None => self.told.clear(),
                }
            }
            Step::Appended { life, name, answer } => {
                self.lost += usize::from(*answer == Answer::Lost);
                let Some(row) = self.rows.get(name.as_str()).copied() else {
                    let problem = format!("{name} was not committed, and life {life} published it");
                    return self.problems.push(problem);
                };
                self.appended(*life, row, *answer);
            }
        }
    }

    fn appended(&mut self, life: u32, row: &'a Row, answer: Answer) {
        let told = self.told.entry(life).or_default();
        if told.contains(&*row.name) {
            let problem = format!("{} was repeated by life {life}, which knew of it", row.name);
            self.problems.push(problem);
        }
        if answer == Answer::Told {
            told.insert(&row.name);
        }
        if !self.seen.insert(&row.name) {
            self.copies += 1;
            return;
        }
        let Some(key) = &row.key else { return };
        let newest = self.newest.entry((&row.topic, key)).or_insert(row.id);
        if *newest > row.id {
            let problem = format!(
                "{} came first after row {newest} of its key {key} in {}, though it is row {}",
                row.name, row.topic, row.id
            );
            self.problems.push(problem);
        }
        *newest = row.id.max(*newest);
    }

    fn end(mut self, window: usize) -> Verdict {
        let (copies, bound) = (self.copies, self.troubles * window + self.lost);
        if copies > bound {
            self.problems.push(format!(
                "{copies} copies, where {} troubles and {} lost answers explain {bound}",
                self.troubles, self.lost
            ));
        }
        let names: BTreeSet<_> = self.rows.keys().copied().collect();
        let missing: Vec<_> = names
            .into_iter()
            .filter(|name| !self.seen.contains(name))
            .collect();
        let mut verdict = Verdict::default();
        if !missing.is_empty() {
            verdict
                .unfinished
                .push(format!("{missing:?} were not published"));
        }
        verdict.problems = self.problems;
        verdict.done = self.seen.len();
        verdict.repeated = copies;
        verdict
    }
}
