use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::counts::Found;
use super::error::BACKEND;
use super::send::refused;
use crate::broker::admission::Admission;
use crate::broker::{Appended, PublishError, Record};
use crate::error::{Error, Kind};

/// A batch on its way: what was found of each record, and which keys are held back.
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    topics: HashMap<Arc<str>, Found>,
    admission: Admission,
    results: Vec<Option<Result<Appended, PublishError>>>,
}

impl Batch {
    pub(super) fn new(
        records: Vec<Record>,
        topics: HashMap<Arc<str>, Found>,
        max_record: usize,
    ) -> Self {
        Self {
            results: records.iter().map(|_| None).collect(),
            records,
            topics,
            admission: Admission::new(BACKEND, max_record),
        }
    }

    /// Whether record `index` may be sent, and to which partition; its result if it may not.
    pub(super) fn admit(&mut self, index: usize) -> Option<u32> {
        let record = &self.records[index];
        let partitions = match self.topics.get(&record.topic) {
            Some(Ok(count)) => Some(*count),
            Some(Err(error)) => {
                self.results[index] = Some(Err(refused(error)));
                return None;
            }
            None => None,
        };
        match self.admission.admit(record, partitions, &mut 0) {
            Ok(partition) => Some(partition),
            Err(error) => {
                self.results[index] = Some(Err(error));
                None
            }
        }
    }

    /// Record `index` has its result; a failure holds back the later ones of its key.
    pub(super) fn end(&mut self, index: usize, result: Result<Appended, PublishError>) {
        if result.is_err() {
            self.admission.failed(&self.records[index]);
        }
        self.results[index] = Some(result);
    }

    /// None of `left` is sent, for one reason.
    pub(super) fn refuse(&mut self, left: Vec<usize>, reason: &Arc<Error>) {
        for index in left {
            if self.admit(index).is_some() {
                self.end(index, Err(refused(reason)));
            }
        }
    }

    /// Parts the records of `left` that have a key of one in `ahead`, and must not pass it, from the
    /// others.
    pub(super) fn behind(&self, ahead: &[usize], left: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
        let place = |index: &usize| {
            let record = &self.records[*index];
            record.key.as_ref().map(|key| (&record.topic, key))
        };
        let keys: HashSet<_> = ahead.iter().filter_map(place).collect();
        left.into_iter()
            .partition(|index| place(index).is_some_and(|place| keys.contains(&place)))
    }

    /// Topics that were there when they were asked for, and are not any more.
    pub(super) fn missing(&self) -> impl Iterator<Item = &Arc<str>> {
        let results = self.records.iter().zip(&self.results);
        results.filter_map(|(record, result)| match result {
            Some(Err(failed)) if failed.error().kind() == Kind::NotFound => Some(&record.topic),
            _ => None,
        })
    }

    pub(super) fn into_results(self) -> Vec<Result<Appended, PublishError>> {
        self.results.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_does_not_pass_one_of_its_key_and_topic() {
        let record = |topic: &'static str, key: &'static str| Record::new(topic, "").with_key(key);
        let records = vec![
            record("tasks", "a"),
            record("tasks", "b"),
            record("tasks", "a"),
            record("other", "a"),
            Record::new("tasks", ""),
            record("tasks", "a"),
        ];
        let batch = Batch::new(records, HashMap::new(), 100);
        let (behind, left) = batch.behind(&[0], (1..6).collect());
        assert_eq!(behind, [2, 5]);
        assert_eq!(left, [1, 3, 4]);
    }
}
