use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::meters::Meters;
use super::queue::{Joined, Waited};
use super::shared::Shared;
use super::{Bulkhead, Permit};
use crate::error::Rejected;

/// A call on its way to a place. It looks for one when it is first polled, and waits in the queue if
/// there is none.
#[pin_project]
#[derive(Debug)]
pub(super) struct Admission(#[pin] Option<Wait>);

#[pin_project]
#[derive(Debug)]
struct Wait {
    ticket: Ticket,
    #[pin]
    timer: Sleep,
}

/// A place in the queue, or the place that was granted to it, until somebody has taken it over.
/// Dropped before that it gives it to the next one.
#[derive(Debug)]
struct Ticket {
    /// A handle of its own: while somebody waits the bulkhead must be there, or its places are given
    /// back twice.
    bulkhead: Bulkhead,
    /// `None` once it stands for nothing any more.
    id: Option<u64>,
    began: Instant,
}

impl Admission {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    pub(super) fn poll(
        self: Pin<&mut Self>,
        bulkhead: &Bulkhead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit, Rejected>> {
        let mut this = self.project();
        let shared = bulkhead.shared();
        if this.0.is_none() {
            if let Some(permit) = shared.enter() {
                return Poll::Ready(Ok(permit));
            }
            match begin(bulkhead, shared, cx) {
                Ok(wait) => this.0.set(Some(wait)),
                Err(ended) => return Poll::Ready(ended),
            }
        }
        let Some(wait) = this.0.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let ended = wait.poll(cx);
        if ended.is_ready() {
            this.0.set(None);
        }
        ended
    }
}

/// Joins the queue.
fn begin(
    bulkhead: &Bulkhead,
    shared: &'static Shared,
    cx: &Context<'_>,
) -> Result<Wait, Result<Permit, Rejected>> {
    if !shared.may_wait() {
        return Err(Err(bulkhead.full()));
    }
    let now = Instant::now();
    match shared.join(cx.waker(), now) {
        Joined::Entered => Err(Ok(Permit::new(shared))),
        Joined::Full => Err(Err(bulkhead.full())),
        Joined::Waits(id, until) => Ok(Wait {
            ticket: Ticket::new(bulkhead.clone(), id, now),
            timer: sleep_until(until),
        }),
    }
}

impl Wait {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Permit, Rejected>> {
        let this = self.project();
        // A place that was granted in time is taken, however late this is polled.
        let mut waited = this.ticket.look(cx.waker());
        if waited == Waited::Still && this.timer.poll(cx).is_ready() {
            waited = this.ticket.time_out();
        }
        match waited {
            Waited::Still => Poll::Pending,
            Waited::Granted => Poll::Ready(Ok(Permit::new(this.ticket.bulkhead.shared()))),
            Waited::InVain => Poll::Ready(Err(too_late(
                this.ticket.bulkhead.name(),
                this.ticket.began,
            ))),
        }
    }
}

#[cold]
fn too_late(name: &Arc<str>, began: Instant) -> Rejected {
    let waited = Instant::now().saturating_duration_since(began);
    tracing::debug!(name: "bowline.bulkhead.queue_timeout", bulkhead = &**name, ?waited);
    Rejected::queue_timeout(Arc::clone(name), waited)
}

impl Ticket {
    fn new(bulkhead: Bulkhead, id: u64, began: Instant) -> Self {
        bulkhead.shared().meter(Meters::queued);
        Self {
            bulkhead,
            id: Some(id),
            began,
        }
    }

    fn look(&mut self, waker: &Waker) -> Waited {
        self.keep(|shared, id| shared.look(id, waker))
    }

    fn time_out(&mut self) -> Waited {
        self.keep(Shared::time_out)
    }

    /// Keeps the number as long as it stands for something.
    fn keep(&mut self, ask: impl FnOnce(&Shared, u64) -> Waited) -> Waited {
        let Some(id) = self.id else {
            return Waited::InVain;
        };
        let shared = self.bulkhead.shared();
        let waited = ask(shared, id);
        if waited != Waited::Still {
            self.id = None;
            let granted = waited == Waited::Granted;
            shared.meter(|meters| meters.waited(self.began, granted));
        }
        waited
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let shared = self.bulkhead.shared();
            shared.meter(Meters::given_up);
            shared.give_up(id);
        }
    }
}
