use std::cell::Cell;
use std::time::Duration;

use tokio::task::{Id, try_id};
use tokio::time::Instant;

use crate::clock::after;

thread_local! {
    /// The deadlines around what is polled on this thread now; all empty when there is none.
    static CURRENT: Current = const {
        Current {
            counting: Cell::new(None),
            idle: Cell::new(None),
            began: Cell::new(None),
            task: Cell::new(None),
        }
    };
}

/// A [`Scope`] in parts: most polls touch one or two of them.
struct Current {
    counting: Cell<Option<Instant>>,
    idle: Cell<Option<Duration>>,
    began: Cell<Option<Instant>>,
    task: Cell<Option<Id>>,
}

impl Current {
    #[inline]
    fn get(&self) -> Option<Scope> {
        let is_empty = self.idle.get().is_none() && self.counting.get().is_none();
        (!is_empty).then(|| Scope {
            counting: self.counting.get(),
            idle: self.idle.get(),
            began: self.began.get(),
            task: self.task.get(),
        })
    }

    #[inline]
    fn set(&self, scope: Scope) {
        self.counting.set(scope.counting);
        self.idle.set(scope.idle);
        self.began.set(scope.began);
        self.task.set(scope.task);
    }
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
    CURRENT.with(|current| {
        let mut scope = current.get()?;
        if scope.task != try_id() {
            return None;
        }
        scope.begin(now);
        current.began.set(scope.began);
        scope.end()
    })
}

/// Sets a deadline of `given` on this thread until the guard is dropped. It ends at `end`; one without
/// an end gets it as soon as somebody asks.
#[inline]
pub(crate) fn enter(given: Duration, end: &mut Option<Instant>) -> Guard<'_> {
    let outer = CURRENT.with(|current| {
        let task = try_id();
        let outer = current.get();
        let inside = outer.filter(|outer| outer.task == task);
        current.set(match inside {
            Some(outer) => outer.within(given, *end),
            None => Scope::of(given, *end, task),
        });
        outer
    });
    Guard { outer, given, end }
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
        CURRENT.with(|current| {
            if let Some(began) = current.began.take() {
                self.end.get_or_insert_with(|| after(began, self.given));
                // The outer ones were asked as well.
                if let Some(outer) = &mut self.outer
                    && outer.task == current.task.get()
                {
                    outer.begin(|| began);
                }
            }
            match self.outer {
                Some(outer) => current.set(outer),
                None => {
                    current.counting.set(None);
                    current.idle.set(None);
                }
            }
        });
    }
}
