use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::phase::Ticket;
use super::state::{Ended, Machine, OpenFor};
use super::{Config, Reason, State, Transition};
use crate::classify::Outcome;

/// What all clones, layers and calls of a breaker share.
///
/// It lives for ever and is handed out by `&'static`: a call that passes then touches no counter of
/// references, which several threads would fight for, and costs two loads of a line that nobody
/// writes. When the last handle of a breaker is dropped its place is used for the next one; calls
/// that are still on their way are of an older generation, and count nowhere.
#[derive(Debug)]
pub(super) struct Shared {
    word: Word,
    machine: Mutex<Machine>,
}

/// What the fast path needs to know, kept by the slow path under the lock: the generation shifted
/// left, and three flags. It has its cache lines for itself.
#[derive(Debug)]
#[repr(align(128))]
struct Word(AtomicU64);

/// A call may pass without the lock.
const PASSES: u64 = 1;
/// One more success would change nothing: it need not be recorded.
const SATURATED: u64 = 2;
/// Calls are timed.
const TIMED: u64 = 4;
const FLAGS: u32 = 3;

/// Places whose breaker is gone.
static FREE: Mutex<Vec<&'static Shared>> = Mutex::new(Vec::new());

impl Shared {
    /// A place with a closed breaker in it.
    pub(super) fn claim(
        name: Arc<str>,
        config: Config,
        open_for: Option<OpenFor>,
    ) -> &'static Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let machine = |generation| Machine::new(name, config, open_for, generation);
        match free {
            Some(shared) => {
                shared.with(|vacant| *vacant = machine(vacant.generation() + 1));
                shared
            }
            None => Box::leak(Box::new(Self::new(machine(0)))),
        }
    }

    fn new(machine: Machine) -> Self {
        Self {
            word: Word(AtomicU64::new(word(&machine))),
            machine: Mutex::new(machine),
        }
    }

    /// Gives the place back: no call that is on its way finds its generation any more.
    pub(super) fn vacate(&'static self) {
        self.with(|machine| *machine = Machine::vacant(machine.generation() + 1));
        FREE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self);
    }

    /// Lets a call through without the lock, if that is all there is to do.
    #[inline]
    pub(super) fn pass(&self) -> Option<Ticket> {
        let word = self.word.0.load(Ordering::Acquire);
        if word & PASSES == 0 {
            return None;
        }
        let ticket = Ticket::passing(word >> FLAGS);
        if word & TIMED == 0 {
            return Some(ticket);
        }
        Some(ticket.timed(Instant::now()))
    }

    /// Takes in how a call ended.
    #[inline]
    pub(super) fn record(&self, ticket: Ticket, ended: Ended) {
        if ended == Ended::Answered(Outcome::Success) {
            let word = self.word.0.load(Ordering::Acquire);
            if word & SATURATED != 0 && word >> FLAGS == ticket.generation {
                return;
            }
        }
        self.learn(ticket, ended);
    }

    fn learn(&self, ticket: Ticket, ended: Ended) {
        // It holds no place that could be given back.
        if ended == Ended::Answered(Outcome::Ignored) && !ticket.is_probe() {
            return;
        }
        let now = Instant::now();
        self.change(|machine| machine.record(ticket, ended, now));
    }

    /// Changes the machine, and tells of a change of state.
    pub(super) fn change(&self, change: impl FnOnce(&mut Machine) -> Option<Transition>) {
        // Most outcomes change no state: only then the name is worth a count of references.
        let changed = self.with(|machine| {
            let transition = change(machine)?;
            Some((machine.name(), transition))
        });
        if let Some((name, transition)) = changed {
            self.tell(&name, transition);
        }
    }

    /// Outside the lock: whoever listens may call the breaker.
    pub(super) fn tell(&self, name: &str, Transition { from, to, reason }: Transition) {
        tracing::info!(
            name: "bowline.breaker.transition",
            breaker = name,
            from = from.as_str(),
            to = to.as_str(),
            reason = reason.map(Reason::as_str),
        );
        if to == State::Open
            && let Some((open_for, opening, generation)) = self.with(|machine| machine.opening())
        {
            let wait = open_for(opening);
            self.with(|machine| machine.stay_open(generation, wait));
        }
    }

    /// Uses the machine under the lock. It is whole after every change, so a panic elsewhere leaves it
    /// usable.
    pub(super) fn with<T>(&self, using: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let used = using(&mut machine);
        let word = word(&machine);
        if self.word.0.load(Ordering::Relaxed) != word {
            self.word.0.store(word, Ordering::Release);
        }
        used
    }
}

fn word(machine: &Machine) -> u64 {
    let flag = |on: bool, flag: u64| if on { flag } else { 0 };
    machine.generation() << FLAGS
        | flag(machine.passes_all(), PASSES)
        | flag(machine.is_saturated(), SATURATED)
        | flag(machine.is_timed(), TIMED)
}
