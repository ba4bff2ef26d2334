use std::cell::Cell;
use std::time::Duration;

use tokio::task::{Id, try_id};
use tokio::time::Instant;

use crate::clock::after;

// The deadlines around what is polled on this thread now: a [`Scope`] in parts, all empty when there is
// none. Most polls touch two or three of them, and each is one word or two at a fixed place.
thread_local! {
    static COUNTING: Cell<Option<Instant>> = const { Cell::new(None) };
    static IDLE: Cell<Option<Duration>> = const { Cell::new(None) };
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static TASK: Cell<Option<Id>> = const { Cell::new(None) };
}

/// What the deadlines around a poll come to.
#[derive(Debug, Clone, Copy)]
struct Scope {
    /// The earliest of those that have begun to count.
    counting: Option<Instant>,
    /// The shortest of those that have not.
    idle: Option<Duration>,
    /// When those began after all, because somebody asked.
    began: Option<Instant>,
    /// The task that is polled: another one that it polls, as a `LocalSet` does, is not inside.
    task: Option<Id>,
}

impl Scope {
    /// What is around this poll.
    #[inline]
    fn get() -> Option<Self> {
        let (counting, idle) = (COUNTING.get(), IDLE.get());
        let is_empty = counting.is_none() && idle.is_none();
        (!is_empty).then(|| Self {
            counting,
            idle,
            began: BEGAN.get(),
            task: TASK.get(),
        })
    }

    fn set(self) {
        COUNTING.set(self.counting);
        IDLE.set(self.idle);
        BEGAN.set(self.began);
        TASK.set(self.task);
    }

    /// Of one deadline alone.
    const fn of(given: Duration, end: Option<Instant>, task: Option<Id>) -> Self {
        Self {
            counting: end,
            idle: match end {
                Some(_) => None,
                None => Some(given),
            },
            began: None,
            task,
        }
    }

    /// With a further deadline inside.
    fn within(self, given: Duration, end: Option<Instant>) -> Self {
        let own = Self::of(given, end, self.task);
        let (counting, idle) = match self.began {
            Some(_) => (self.end(), None),
            None => (self.counting, self.idle),
        };
        Self {
            counting: earlier(counting, own.counting),
            idle: earlier(idle, own.idle),
            ..own
        }
    }

    /// The earliest deadline; those that were idle count from `began`.
    fn end(&self) -> Option<Instant> {
        match (self.idle, self.began) {
            (Some(idle), Some(began)) => earlier(self.counting, Some(after(began, idle))),
            _ => self.counting,
        }
    }

    /// Lets the idle ones count from `now`, unless they count already.
    fn begin(&mut self, now: impl FnOnce() -> Instant) {
        if self.idle.is_some() && self.began.is_none() {
            self.began = Some(now());
        }
    }
}

/// The earlier of two that may be missing.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The earliest deadline around this poll. The clock is asked only if a deadline begins with it.
pub(super) fn current(now: impl FnOnce() -> Instant) -> Option<Instant> {
    let mut scope = Scope::get()?;
    if scope.task != try_id() {
        return None;
    }
    scope.begin(now);
    BEGAN.set(scope.began);
    scope.end()
}

/// Sets a deadline of `given` on this thread until the guard is dropped. It ends at `end`; one without
/// an end gets it as soon as somebody asks.
#[inline]
pub(crate) fn enter(given: Duration, end: &mut Option<Instant>) -> Guard<'_> {
    let outer = Scope::get();
    match outer {
        Some(outer) => inside(outer, given, *end),
        None => {
            TASK.set(try_id());
            match *end {
                Some(at) => COUNTING.set(Some(at)),
                None => IDLE.set(Some(given)),
            }
        }
    }
    Guard { outer, given, end }
}

#[inline(never)]
fn inside(outer: Scope, given: Duration, end: Option<Instant>) {
    let task = try_id();
    let scope = match outer.task == task {
        true => outer.within(given, end),
        false => Scope::of(given, end, task),
    };
    scope.set();
}

/// Puts back, when it is dropped, what was there before, also by a panic.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    outer: Option<Scope>,
    given: Duration,
    end: &'a mut Option<Instant>,
}

impl Guard<'_> {
    /// Begins to count, if it does not count already.
    #[inline]
    pub(crate) fn begin(&self) {
        if self.end.is_none() {
            current(Instant::now);
        }
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(began) = BEGAN.take() {
            self.end.get_or_insert_with(|| after(began, self.given));
            // The outer ones were asked as well.
            if let Some(outer) = &mut self.outer
                && outer.task == TASK.get()
            {
                outer.begin(|| began);
            }
        }
        match self.outer {
            Some(outer) => outer.set(),
            None => {
                COUNTING.set(None);
                IDLE.set(None);
            }
        }
    }
}
