use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::after;

thread_local! {
    /// The deadlines around what is polled on this thread now; all empty when there is none.
    static CURRENT: Current = const {
        Current {
            counting: Cell::new(None),
            idle: Cell::new(None),
            began: Cell::new(None),
        }
    };
}

/// A [`Scope`] in parts: most polls touch one or two of them.
struct Current {
    counting: Cell<Option<Limit>>,
    idle: Cell<Option<Duration>>,
    began: Cell<Option<Instant>>,
}

impl Current {
    #[inline]
    fn get(&self) -> Option<Scope> {
        let is_empty = self.idle.get().is_none() && self.counting.get().is_none();
        (!is_empty).then(|| Scope {
            counting: self.counting.get(),
            idle: self.idle.get(),
            began: self.began.get(),
        })
    }

    fn set(&self, scope: Scope) {
        self.counting.set(scope.counting);
        self.idle.set(scope.idle);
        self.began.set(scope.began);
    }
}

/// What the deadlines around a poll come to.
#[derive(Debug, Clone, Copy)]
struct Scope {
    /// The earliest of those that have begun to count.
    counting: Option<Limit>,
    /// The shortest of those that have not.
    idle: Option<Duration>,
    /// When those began after all, because somebody asked.
    began: Option<Instant>,
}

/// An end, and the time that was given until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) at: Instant,
    pub(crate) given: Duration,
}

impl Limit {
    fn from(began: Instant, given: Duration) -> Self {
        let at = after(began, given);
        Self { at, given }
    }

    /// Itself when both are at the same instant.
    fn earlier(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.at < self.at => other,
            _ => self,
        }
    }
}

impl Scope {
    /// With a further deadline inside.
    fn within(outer: Self, given: Duration, end: Option<Instant>) -> Self {
        let (counting, idle) = match outer.began {
            Some(_) => (outer.limit(), None),
            None => (outer.counting, outer.idle),
        };
        let (counting, idle) = match end {
            Some(at) => {
                let own = Limit { at, given };
                (Some(counting.map_or(own, |c| c.earlier(Some(own)))), idle)
            }
            None => (counting, Some(idle.map_or(given, |idle| idle.min(given)))),
        };
        Self {
            counting,
            idle,
            began: None,
        }
    }

    /// The earliest deadline; those that were idle count from `began`.
    fn limit(&self) -> Option<Limit> {
        match (self.idle, self.began) {
            (Some(idle), Some(began)) => {
                let begun = Limit::from(began, idle);
                Some(
                    self.counting
                        .map_or(begun, |counting| counting.earlier(Some(begun))),
                )
            }
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

/// The earliest deadline around this poll. The clock is asked only if a deadline begins with it.
pub(super) fn current(now: impl FnOnce() -> Instant) -> Option<Limit> {
    CURRENT.with(|current| {
        let mut scope = current.get()?;
        scope.begin(now);
        current.began.set(scope.began);
        scope.limit()
    })
}

/// The earlier of `given` from now on and the current deadline; at the same instant the former.
pub(crate) fn earliest(given: Duration) -> Limit {
    let now = Instant::now();
    Limit::from(now, given).earlier(current(|| now))
}

/// Sets a deadline of `given` on this thread until the guard is dropped. It ends at `end`; one without
/// an end gets it as soon as somebody asks.
#[inline]
pub(crate) fn enter(given: Duration, end: &mut Option<Instant>) -> Guard<'_> {
    let outer = CURRENT.with(|current| {
        let outer = current.get();
        match (outer, *end) {
            (Some(outer), end) => current.set(Scope::within(outer, given, end)),
            (None, Some(at)) => current.counting.set(Some(Limit { at, given })),
            (None, None) => current.idle.set(Some(given)),
        }
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
                if let Some(outer) = &mut self.outer {
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
