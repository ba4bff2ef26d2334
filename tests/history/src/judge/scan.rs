use bowline::broker::Assignment;

use super::tenure::End;
use super::{Call, Judge, LastCommit, Made, Tenure};
use crate::{Event, What};

/// What each event means.
impl Judge<'_> {
    pub(super) fn read(&mut self, event: &Event) {
        let life = event.life;
        match &event.what {
            What::Acknowledged(_) => {}
            What::Hasty => drop(self.hasty.insert(life)),
            What::Stopping => self.each_of(life, |tenure| tenure.asked = true),
            What::Revoking(one) => {
                if let Some(tenure) = self.of(life, one) {
                    self.tenures[tenure].asked = true;
                }
            }
            What::Frozen | What::Killed => self.excuse(|tenure| tenure.life == life),
            What::Down => {
                self.is_down = true;
                self.excuse(|_| true);
            }
            What::Up => self.is_down = false,
            What::Assigned(one, next) => self.assigned(life, one, *next),
            What::Lost(one) => self.lost(life, one),
            What::Releasing(one) => {
                if let Some(tenure) = self.of(life, one) {
                    self.verdict.released += 1;
                    let is_failing = self.failing.contains(&life);
                    self.tenures[tenure].give_back(is_failing);
                }
            }
            What::Closing => {
                let is_failing = self.failing.contains(&life);
                self.each_of(life, |tenure| tenure.give_back(is_failing));
            }
            What::Committing(call, one, next) => self.committing(life, *call, one, *next),
            What::Committed(call) => self.committed(life, *call),
            What::Fenced(call) => {
                self.verdict.fenced += 1;
                self.failed_commit(life, *call);
            }
            What::Unknown(call) => {
                self.failing.insert(life);
                self.failed_commit(life, *call);
            }
            What::Began(one, offset, key) => self.began(life, one, *offset, key),
            What::Done(one, offset) => {
                let is_hasty = self.hasty.contains(&life);
                let tenure = self.of(life, one);
                let key = tenure.and_then(|tenure| self.tenures[tenure].done(*offset, is_hasty));
                if let Some(ledger) = self.ledgers.get_mut(&one.partition) {
                    ledger.done(*offset, key.as_deref());
                }
            }
            What::Failed(one, offset) => {
                if let Some(tenure) = self.of(life, one) {
                    self.tenures[tenure].running.remove(offset);
                }
            }
        }
    }

    /// The last tenure of `life` with this assignment.
    fn of(&self, life: u32, one: &Assignment) -> Option<usize> {
        let tenures = &self.ledgers.get(&one.partition)?.tenures;
        let mut latest = tenures.iter().rev().copied();
        latest.find(|tenure| {
            let tenure = &self.tenures[*tenure];
            tenure.life == life && tenure.assignment == *one
        })
    }

    fn each_of(&mut self, life: u32, change: impl FnMut(&mut Tenure)) {
        let tenures = self.tenures.iter_mut();
        tenures
            .filter(|tenure| tenure.life == life)
            .for_each(change);
    }

    fn excuse(&mut self, which: impl Fn(&Tenure) -> bool) {
        for tenure in &mut self.tenures {
            if tenure.end.is_none() && which(tenure) {
                tenure.excused = true;
            }
        }
    }

    fn assigned(&mut self, life: u32, one: &Assignment, next: Option<u64>) {
        let (next, at) = (next.unwrap_or(0), self.at);
        let ledger = self.ledgers.entry(one.partition.clone()).or_default();
        let (committed, undone) = (ledger.committed, ledger.undone_before(next));
        ledger.committed = committed.max(next);
        let before = ledger.tenures.clone();
        ledger.tenures.push(self.tenures.len());
        if let Some(undone) = undone {
            self.problem(&format!(
                "the group has passed {undone}, which nobody has done"
            ));
        }
        let mut tenure = Tenure::new(life, one.clone(), next, at);
        tenure.excused = self.is_down;
        let made = before.iter().map(|other| {
            let other = &self.tenures[*other];
            self.rules.made(&tenure, other)
        });
        let made: Vec<Made> = made.collect();
        if made.contains(&Made::Before) {
            tenure.succeeded = Some(at);
        } else if next < committed && !made.contains(&Made::Unknown) {
            self.problem(&format!("the group went back from {committed} to {next}"));
        }
        let after = before.into_iter().zip(made);
        for (index, _) in after.filter(|(_, made)| *made == Made::After) {
            let earlier = &mut self.tenures[index];
            let is_owner = earlier.end.is_none() && earlier.succeeded.is_none();
            let is_fair = earlier.excused || (!self.rules.sessions_last && earlier.life != life);
            earlier.succeeded.get_or_insert(at);
            if is_owner && !is_fair {
                let owner = earlier.life;
                self.problem(&format!("life {owner} owns it already"));
            }
        }
        self.tenures.push(tenure);
    }

    fn lost(&mut self, life: u32, one: &Assignment) {
        self.verdict.lost += 1;
        let Some(index) = self.of(life, one) else {
            return self.problem("what it never had is lost");
        };
        let tenure = &mut self.tenures[index];
        tenure.end.get_or_insert(End::Lost);
        if self.rules.sessions_last && !tenure.excused {
            self.problem("lost without a reason");
        }
    }

    fn committing(&mut self, life: u32, call: u64, one: &Assignment, next: u64) {
        let Some(index) = self.of(life, one) else {
            return self.problem("a commit for what it never had");
        };
        self.tenures[index].commit = LastCommit::Open(call);
        let Some(ledger) = self.ledgers.get(&one.partition) else {
            return;
        };
        let begun = Call {
            tenure: index,
            next,
            begun: self.at,
            committed: ledger.committed,
        };
        let undone = ledger.undone_before(next);
        self.calls.entry((life, call)).or_default().push(begun);
        if let Some(undone) = undone {
            self.problem(&format!("a commit passes {undone}, which nobody has done"));
        }
    }

    fn committed(&mut self, life: u32, call: u64) {
        self.failing.remove(&life);
        for call_of in self.calls.remove(&(life, call)).unwrap_or_default() {
            let Call {
                tenure: owner,
                next,
                begun,
                committed,
            } = call_of;
            let tenure = &mut self.tenures[owner];
            if tenure.commit == LastCommit::Open(call) {
                tenure.commit = LastCommit::Made;
            }
            let partition = tenure.assignment.partition.clone();
            let is_late = tenure.succeeded.is_some_and(|at| at < begun);
            if is_late {
                self.problem(&format!("a commit of {partition} from a lost assignment"));
            }
            if next < committed {
                self.problem(&format!("{partition} went back from {committed} to {next}"));
            }
            let Some(ledger) = self.ledgers.get_mut(&partition) else {
                continue;
            };
            ledger.committed = ledger.committed.max(next);
            // Whoever commits has it still, so nobody who had been told of it has it any more.
            for other in ledger.tenures.iter().filter(|other| **other != owner) {
                let other = &mut self.tenures[*other];
                if other.told < begun {
                    other.succeeded.get_or_insert(self.at);
                }
            }
        }
    }

    fn failed_commit(&mut self, life: u32, call: u64) {
        for one in self.calls.remove(&(life, call)).unwrap_or_default() {
            let tenure = &mut self.tenures[one.tenure];
            if tenure.commit == LastCommit::Open(call) {
                tenure.commit = LastCommit::Failed;
            }
        }
    }

    fn began(&mut self, life: u32, one: &Assignment, offset: u64, key: &str) {
        let Some(index) = self.of(life, one) else {
            return self.problem("begun without an assignment");
        };
        let ordered = self.rules.ordered(key);
        let mut problems = self.within(index, offset, ordered);
        let Some(ledger) = self.ledgers.get(&one.partition) else {
            return;
        };
        if let Some(undone) = ordered.and_then(|key| ledger.undone_of(key, offset)) {
            problems.push(format!("begun before {undone}, which nobody has done"));
        }
        if ledger.done.contains(&offset) {
            self.verdict.repeated += 1;
            // One that does not know yet that he has lost it repeats what he likes.
            let is_late = self.tenures[index].succeeded.is_some();
            let answers = self.rules.brokers_answer;
            let calm = ledger.tenures.iter().find(|tenure| {
                let tenure = &self.tenures[**tenure];
                tenure.has_settled(offset, answers, self.hasty.contains(&tenure.life))
            });
            if let Some(calm) = calm.filter(|_| !is_late) {
                let life = self.tenures[*calm].life;
                problems.push(format!("repeated though life {life} gave it back calmly"));
            }
        }
        for problem in problems {
            self.problem(&problem);
        }
    }

    /// What is wrong with a record that begins, within its assignment.
    fn within(&mut self, index: usize, offset: u64, ordered: Option<&str>) -> Vec<String> {
        let mut problems = Vec::new();
        let tenure = &mut self.tenures[index];
        if let Some(end) = tenure.end {
            problems.push(format!("begun after the assignment ended: {end:?}"));
        }
        if offset < tenure.from {
            problems.push(format!("begun before the start at {}", tenure.from));
        }
        if tenure.done.contains(&offset) {
            problems.push("done already".to_owned());
        }
        if tenure.running.contains_key(&offset) {
            problems.push("running already".to_owned());
        }
        if let Some(key) = ordered {
            if let Some(other) = tenure.running.iter().find(|(_, other)| *other == key) {
                problems.push(format!("begun while {} of its key runs", other.0));
            }
            let last = tenure.last.entry(key.to_owned()).or_insert(offset);
            if *last > offset {
                problems.push(format!("begun after {last} of its key"));
            }
            *last = offset;
        }
        let key = ordered.unwrap_or("-").to_owned();
        tenure.running.insert(offset, key);
        problems
    }
}
