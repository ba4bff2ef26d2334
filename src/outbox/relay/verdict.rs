use std::collections::HashSet;
use std::sync::Arc;

use super::held::Held;
use super::stuck::Stuck;
use super::{OnPoison, Report};
use crate::broker::{Appended, PublishError, Record, SendStatus};
use crate::error::{Chain, Kind};
use crate::outbox::entry::OrderingKey;
use crate::outbox::{Entry, Settled, Window};

/// How often a window has been tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Round(u32);

impl Round {
    const FIRST: Self = Self(0);
    /// A topic that has failed so often is left alone, if that lets others go on.
    pub(super) const LAST: Self = Self(3);

    /// What waits aside is not tried so often.
    pub(super) fn first(window: &Window) -> Self {
        if window.next.is_some() {
            Self::FIRST
        } else {
            Self::LAST
        }
    }

    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What becomes of each row of a window, as far as it is known.
#[derive(Debug)]
pub(super) struct Verdicts {
    settled: Vec<Option<Settled>>,
    /// The keys of which a row was set aside: what is behind it follows.
    stuck: Stuck,
    on_poison: OnPoison,
    /// Whether the outbox is to be halted.
    halts: bool,
    /// Whether rows are published all together or not at all.
    atomic: bool,
    /// Whether what was published is there to stay.
    stand: bool,
}

impl Verdicts {
    pub(super) fn new(window: &Window, on_poison: OnPoison, atomic: bool) -> Self {
        Self {
            on_poison,
            halts: false,
            settled: vec![None; window.entries.len()],
            stuck: Stuck::default(),
            atomic,
            stand: !atomic,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.stand && self.settled.iter().all(Option::is_some)
    }

    /// Whether what was published is there to stay.
    pub(super) fn stand(&self) -> bool {
        self.stand
    }

    /// Whether what `results` say was published is there to stay.
    pub(super) fn counts(&self, results: &[Result<Appended, PublishError>]) -> bool {
        !self.atomic || results.iter().all(Result::is_ok)
    }

    /// What becomes of each row, as far as it is known.
    pub(super) fn known(&self) -> &[Option<Settled>] {
        &self.settled
    }

    /// Whether the outbox is to be halted: what has no answer yet is not to be published any more.
    pub(super) fn halts(&self) -> bool {
        self.halts
    }

    /// The first row that has no answer yet.
    pub(super) fn first_open(&self) -> Option<usize> {
        self.open().next()
    }

    /// Parks row `index` because of `reason`, as the relay was told to.
    pub(super) fn poison(&mut self, window: &Window, index: usize, reason: String) {
        let entry = &window.entries[index];
        tracing::warn!(name: "bowline.outbox.publish", id = %entry.id, reason, "parked");
        let settled = self.on_poison.settled(reason);
        match settled {
            Settled::ParkedAlone(_) => self.settled[index] = Some(settled),
            settled => self.put(index, entry.ordering_key(), settled),
        }
        self.halts |= self.on_poison == OnPoison::Halt;
    }

    /// The records that are to be published, at most `limit`, after what cannot be was set aside.
    pub(super) fn batch(&mut self, window: &Window, held: &Held, limit: usize) -> Vec<Record> {
        let mut batch = Vec::with_capacity(window.entries.len().min(limit));
        for (index, entry) in window.entries.iter().enumerate() {
            if batch.len() == limit || (self.halts && !self.atomic) {
                break;
            }
            if self.settled[index].is_some() {
                continue;
            }
            let key = entry.ordering_key();
            if self.halts {
                // The position goes over all of the window, so that what is not published has to be aside.
                self.put(index, key, Settled::Aside);
            } else if let Some(reason) = &entry.unreadable {
                self.poison(window, index, reason.clone());
            } else if entry.behind || self.is_stuck(key.as_ref()) || held.holds(&entry.record.topic)
            {
                self.put(index, key, Settled::Aside);
            } else {
                batch.push(entry.record.clone());
            }
        }
        batch
    }

    /// Takes in the publisher's answers to the last batch; whether what is left may be published at once.
    pub(super) fn judge(
        &mut self,
        window: &Window,
        results: Vec<Result<Appended, PublishError>>,
        round: Round,
        held: &mut Held,
    ) -> bool {
        self.stand = self.counts(&results);
        // Of these a row was parked alone: what was held back behind it goes on.
        let mut freed = HashSet::new();
        let (mut again, count) = (true, results.len());
        let takes_others = results.iter().any(Result::is_ok);
        let open: Vec<_> = self.open().collect();
        for (index, result) in open.into_iter().zip(results) {
            let entry = &window.entries[index];
            let topic = &entry.record.topic;
            let key = entry.ordering_key();
            match result {
                Ok(_) => {
                    held.free(topic);
                    if self.stand {
                        self.settled[index] = Some(Settled::Published);
                    }
                }
                Err(_) if self.is_stuck(key.as_ref()) => self.put(index, key, Settled::Aside),
                // Another record has failed the transaction.
                Err(error) if self.atomic && is_of_another(&error) => {}
                Err(error) if is_final(&error) => {
                    self.poison(window, index, Chain(error.error()).to_string());
                    if !self.halts {
                        freed.extend(key);
                    }
                }
                Err(_) if key.as_ref().is_some_and(|key| freed.contains(key)) => {}
                Err(error) if is_of_topic(&error) || (takes_others && round >= Round::LAST) => {
                    tell(entry, &error, "its topic is left alone for a while");
                    held.hold(topic);
                    self.put(index, key, Settled::Aside);
                }
                Err(error) => {
                    tell(entry, &error, "will be tried again");
                    again = false;
                }
            }
        }
        if self.atomic {
            // Fewer may do, without those that have failed the transaction.
            return !self.stand && self.open().count() < count;
        }
        again && count > 0
    }

    /// Whether a window that has failed often enough keeps other topics waiting: those that come next,
    /// or those that the broker took last, which may come sooner or later.
    pub(super) fn keeps_others_waiting(
        &self,
        window: &Window,
        round: Round,
        ahead: Option<&Window>,
        held: &Held,
    ) -> bool {
        let is_other = |topic: &Arc<str>| {
            let mut open = self.open();
            open.all(|index| window.entries[index].record.topic != *topic)
        };
        let mut ahead = ahead.iter().flat_map(|ahead| &ahead.entries);
        round >= Round::LAST
            && (ahead.any(|entry| is_other(&entry.record.topic)) || held.well().any(is_other))
    }

    /// Leaves the topics alone for which there is no answer yet.
    pub(super) fn leave_topics(&mut self, window: &Window, held: &mut Held) {
        let open: Vec<_> = self.open().collect();
        for index in open {
            let entry = &window.entries[index];
            held.hold(&entry.record.topic);
            self.put(index, entry.ordering_key(), Settled::Aside);
        }
    }

    /// What to settle of a window of the log: what is not known waits aside.
    pub(super) fn of_the_log(self) -> (Vec<Settled>, Report) {
        let settled = self.settled.into_iter();
        let settled: Vec<_> = settled.map(|one| one.unwrap_or(Settled::Aside)).collect();
        let report = report(&settled);
        (settled, report)
    }

    /// What to settle of a window that waited aside: what still waits is left where it is.
    pub(super) fn of_what_changed(self, window: Window) -> (Window, Vec<Settled>, Report) {
        let rows = window.entries.into_iter().zip(self.settled);
        let changed = rows.filter_map(|(entry, settled)| match settled {
            None | Some(Settled::Aside) => None,
            Some(settled) => Some((entry, settled)),
        });
        let (entries, settled): (Vec<_>, Vec<_>) = changed.unzip();
        let report = report(&settled);
        (Window::new(entries, None), settled, report)
    }

    /// The rows that have no answer yet.
    pub(super) fn open(&self) -> impl Iterator<Item = usize> {
        let rows = self.settled.iter().enumerate();
        rows.filter_map(|(index, settled)| settled.is_none().then_some(index))
    }

    fn is_stuck(&self, key: Option<&OrderingKey>) -> bool {
        key.is_some_and(|key| self.stuck.contains(key))
    }

    fn put(&mut self, index: usize, key: Option<OrderingKey>, settled: Settled) {
        self.settled[index] = Some(settled);
        self.stuck.extend(key);
    }
}

fn report(settled: &[Settled]) -> Report {
    let mut report = Report::default();
    for settled in settled {
        match settled {
            Settled::Published => report.published += 1,
            Settled::Aside => report.aside += 1,
            Settled::Parked(_) | Settled::ParkedAlone(_) | Settled::Halted(_) => report.parked += 1,
        }
    }
    report
}

/// Whether the topic is the trouble: it is missing, or not for us.
fn is_of_topic(error: &PublishError) -> bool {
    error.status() == SendStatus::NotSent
        && matches!(error.error().kind(), Kind::NotFound | Kind::Unauthorized)
}

/// Whether the record failed because another one did.
fn is_of_another(error: &PublishError) -> bool {
    error.status() == SendStatus::NotSent && error.error().kind() == Kind::Contention
}

/// Whether the record itself is the trouble, so that the broker will never take it. A missing topic
/// or a missing right is not: once it is mended, everything goes on in order.
fn is_final(error: &PublishError) -> bool {
    error.status() == SendStatus::NotSent
        && matches!(
            error.error().kind(),
            Kind::Corrupt | Kind::Invalid | Kind::TooLarge
        )
}

fn tell(entry: &Entry, error: &PublishError, what: &'static str) {
    tracing::warn!(
        name: "bowline.outbox.publish",
        id = %entry.id,
        topic = %entry.record.topic,
        error = %Chain(error),
        "{what}"
    );
}
