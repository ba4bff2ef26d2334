use std::fmt;
use std::future::{Future, poll_fn};
use std::mem::take;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Report;
use super::stats::Stats;
use crate::clock::after;
use crate::error::Error;
use crate::outbox::{Lease, Settled, Store, Window};

/// What a relay does beside what it waits for: it reads the next window of the log, and settles what was
/// published as a whole.
///
/// Windows that are published within [`EVERY`], or while one is settled, are settled as one. All that is
/// published and not settled would be published again after a crash, so [`unsettled`](Self::unsettled) has a
/// limit.
pub(super) struct Meanwhile<'a, S> {
    store: &'a S,
    stats: &'a Stats,
    lease: Lease,
    reading: Option<Beside<'a, Option<Window>>>,
    /// The window after the last one, once it is read.
    ahead: Option<Window>,
    /// How many rows are being settled, and by what.
    settling: Option<(usize, Beside<'a, Settling>)>,
    /// What was published since the store was asked last to settle something, as one window.
    owed: Window,
    /// How many windows it was.
    windows: u64,
    /// When to ask it; `None` when it owes nothing.
    due: Option<Instant>,
    /// How many rows are settled at once.
    many: usize,
}

/// How long little that was published may wait to be settled, while more comes: each time is a commit.
const EVERY: Duration = Duration::from_millis(10);

/// What was to be settled, how many windows that was, and whether it is.
type Settling = (Window, u64, Result<(), Error>);

/// In a box, once per window, as it outlasts the call that begins it.
type Beside<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<'a, S: Store> Meanwhile<'a, S> {
    pub(super) fn new(store: &'a S, stats: &'a Stats, lease: Lease, window: NonZeroUsize) -> Self {
        Self {
            many: window.get().div_ceil(2),
            due: None,
            store,
            stats,
            lease,
            reading: None,
            ahead: None,
            settling: None,
            owed: Window::default(),
            windows: 0,
        }
    }

    /// Begins to read what `window` gives; `None` when it could not be read, which it will be again when
    /// its turn has come.
    pub(super) fn read(&mut self, window: impl Future<Output = Option<Window>> + Send + 'a) {
        self.reading = Some(Box::pin(window));
    }

    /// Whether the next window is read or being read.
    pub(super) fn has_ahead(&self) -> bool {
        self.ahead.is_some() || self.reading.is_some()
    }

    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// The next window, if it is read.
    pub(super) fn ahead(&self) -> Option<&Window> {
        self.ahead.as_ref()
    }

    /// The next window, if it is read: it is nobody's then.
    pub(super) fn take_ahead(&mut self) -> Option<Window> {
        self.ahead.take()
    }

    /// Another window is the next one.
    pub(super) fn forget_ahead(&mut self) {
        (self.reading, self.ahead) = (None, None);
    }

    /// Settles `window` of the log when its turn comes; all of it was published.
    pub(super) fn settle(&mut self, mut window: Window) {
        self.owed.entries.append(&mut window.entries);
        self.owed.next = window.next;
        self.windows += 1;
        self.due.get_or_insert_with(|| after(Instant::now(), EVERY));
        if self.owed.entries.len() >= self.many {
            self.begin_to_settle();
        }
    }

    /// Settles what was published without a wait.
    pub(super) fn settle_now(&mut self) {
        self.due = self.due.map(|_| Instant::now());
    }

    /// How many rows are published and not settled.
    pub(super) fn unsettled(&self) -> usize {
        let settling = self.settling.as_ref();
        self.owed.entries.len() + settling.map_or(0, |(rows, _)| *rows)
    }

    /// Goes on with it until `done`, or something fails; for ever, when there is nothing to do.
    pub(super) async fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Error> {
        while !done(self) {
            let due = self.due.filter(|_| self.settling.is_none());
            tokio::select! {
                biased;
                settled = ended(self.settling.as_mut().map(|(_, work)| work)) => {
                    self.settling = None;
                    self.settled(settled)?;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.begin_to_settle();
                }
                window = ended(self.reading.as_mut()) => {
                    self.reading = None;
                    self.ahead = window;
                }
            }
        }
        Ok(())
    }

    fn begin_to_settle(&mut self) {
        if self.settling.is_some() || self.owed.entries.is_empty() {
            return;
        }
        self.due = None;
        let (store, lease, window) = (self.store, self.lease.clone(), take(&mut self.owed));
        let (windows, rows) = (take(&mut self.windows), window.entries.len());
        let settling = async move {
            let settled = vec![Settled::Published; rows];
            let done = store.settle(&lease, &window, &settled).await;
            (window, windows, done)
        };
        self.settling = Some((rows, Box::pin(settling)));
    }

    /// What could not be settled is owed again, with what was published since.
    fn settled(&mut self, (mut window, windows, done): Settling) -> Result<(), Error> {
        if done.is_err() {
            window.entries.append(&mut self.owed.entries);
            window.next = self.owed.next.take().or(window.next);
            self.owed = window;
            self.windows += windows;
            self.due.get_or_insert_with(|| after(Instant::now(), EVERY));
            return done;
        }
        let report = Report {
            published: window.entries.len(),
            ..Report::default()
        };
        self.stats.settled(report, windows);
        Ok(())
    }
}

/// What `work` comes to; never, if there is none.
async fn ended<T>(mut work: Option<&mut Beside<'_, T>>) -> T {
    poll_fn(|cx| match &mut work {
        Some(work) => work.as_mut().poll(cx),
        None => Poll::Pending,
    })
    .await
}

impl<S> fmt::Debug for Meanwhile<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meanwhile").finish_non_exhaustive()
    }
}
