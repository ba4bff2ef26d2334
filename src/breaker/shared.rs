use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::ended::{Ended, Refused};
use super::meters::{Held, Meters};
use super::mirror::{Mirror, Rejects, Word};
use super::opening::OpenFor;
use super::state::Machine;
use super::ticket::{Moment, Ticket, Ticks};
use super::{Config, Reason, State, Transition};
use crate::classify::Outcome;
use crate::place::Places;

/// What all clones, layers and calls of a breaker share.
///
/// A place that lives for ever: a call that passes costs two loads of a line that nobody writes. When
/// the last handle of a breaker is dropped its place is used for the next one; calls that are still on
/// their way are of an older generation, and count nowhere.
#[derive(Debug)]
pub(super) struct Shared {
    mirror: Mirror,
    meters: Held,
    machine: Mutex<Machine>,
}

static PLACES: Places<Shared> = Places::new();

impl Shared {
    /// A place with a closed breaker in it.
    pub(super) fn claim(
        name: Arc<str>,
        config: Config,
        open_for: Option<OpenFor>,
    ) -> &'static Self {
        let shared = PLACES.claim(Self::vacant);
        let meters = Arc::new(Meters::new(&name));
        shared.meters.put(&meters);
        shared.with(|machine| {
            let generation = machine.generation() + 1;
            *machine = Machine::new(name, config, open_for, generation, meters);
        });
        shared
    }

    fn vacant() -> Self {
        let meters = Arc::new(Meters::none());
        let machine = Machine::vacant(0, Arc::clone(&meters));
        Self {
            mirror: Mirror::new(&machine.face()),
            meters: Held::new(&meters),
            machine: Mutex::new(machine),
        }
    }

    /// Gives the place back: no call that is on its way finds its generation any more.
    pub(super) fn vacate(&'static self) {
        let meters = Arc::new(Meters::none());
        self.meters.put(&meters);
        self.with(|machine| {
            machine.leave();
            *machine = Machine::vacant(machine.generation() + 1, meters);
        });
        PLACES.give_back(self);
    }

    /// Lets a call through without the lock, if that is all there is to do.
    #[inline]
    pub(super) fn pass(&self) -> Option<Ticket> {
        let word = self.mirror.word();
        if !word.passes() {
            return None;
        }
        Some(if word.is_timed() {
            Ticket::timed(word.generation())
        } else {
            Ticket::passing(word.generation())
        })
    }

    /// Lets a call through, or says why not.
    pub(super) fn admit(&self, name: &str) -> Result<Ticket, Refused> {
        let now = Instant::now();
        let (admitted, transition) = self.with(|machine| machine.admit(now));
        if let Some(transition) = transition {
            self.tell(name, transition);
        }
        admitted
    }

    /// Rejects a call without the lock, if that is all there is to do; to be counted by the caller.
    pub(super) fn reject(&self) -> Option<Refused> {
        let Rejects {
            until,
            last_failure,
        } = self.mirror.rejects()?;
        let (state, retry_after) = match until {
            None => (State::ForcedOpen, None),
            Some(until) => {
                let left = until.since(Ticks::now());
                if left.is_zero() {
                    return None;
                }
                (State::Open, Some(left))
            }
        };
        self.meters.with(Meters::rejected);
        Some(Refused {
            state,
            retry_after,
            last_failure,
        })
    }

    /// Takes in how a call ended.
    #[inline]
    pub(super) fn record(&self, ticket: &Ticket, ended: Ended) {
        let word = self.mirror.word();
        let saturated =
            ended == Ended::Answered(Outcome::Success) && word.is_saturated(ticket.generation);
        if saturated && !ticket.is_timed() {
            self.meters.with(|meters| meters.ended(ended));
            return;
        }
        self.learn(*ticket, ended, word, saturated);
    }

    #[inline(never)]
    fn learn(&self, ticket: Ticket, ended: Ended, word: Word, saturated: bool) {
        // Where all calls pass it holds no place that could be given back.
        if ended == Ended::Answered(Outcome::Ignored)
            && word.passes()
            && word.generation() == ticket.generation
        {
            self.meters.with(|meters| meters.ended(ended));
            return;
        }
        // Most that is read is read before the lock is taken.
        let mut now = if word.is_clocked() {
            Moment::now()
        } else {
            Moment::lazy()
        };
        if saturated && !self.mirror.is_slow(ticket.took(now.get())) {
            self.meters.with(|meters| meters.ended(ended));
            return;
        }
        let changed = {
            let mut machine = self.lock();
            let transition = machine.record(ticket, ended, now);
            if transition.is_some() {
                self.mirror.show(&machine.face());
            } else {
                // An outcome that changes no state changes nothing else that is shown.
                self.mirror.show_saturated(machine.is_saturated());
            }
            transition.map(|transition| (machine.name(), transition))
        };
        if let Some((name, transition)) = changed {
            self.tell(&name, transition);
        }
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
            && let Some((open_for, opening, generation)) = self.look(|machine| machine.opening())
        {
            // A permit may be dropped while the thread unwinds: another panic would end the process. The
            // wait is that of the policy already.
            match catch_unwind(AssertUnwindSafe(|| open_for(opening))) {
                Ok(wait) => self.with(|machine| machine.stay_open(generation, wait)),
                Err(_panic) => tracing::error!(
                    name: "bowline.breaker.open_for_panicked",
                    breaker = name,
                    "open_for_fn panicked, the breaker stays open for as long as open_for says",
                ),
            }
        }
    }

    /// Uses the machine under the lock.
    pub(super) fn with<T>(&self, using: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.lock();
        let used = using(&mut machine);
        self.mirror.show(&machine.face());
        used
    }

    /// Looks at the machine, or changes of it what is not shown.
    pub(super) fn look<T>(&self, using: impl FnOnce(&mut Machine) -> T) -> T {
        using(&mut self.lock())
    }

    /// The machine is whole after every change, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
