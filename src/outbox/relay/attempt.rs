//! A window on its way to the broker.

use std::any::Any;

use tokio::time::sleep;

use super::delivery::{Delivery, Session};
use super::held::Held;
use super::stats::Stats;
use super::tenure::Tenure;
use super::verdict::{Round, Verdicts};
use crate::backoff::Delays;
use crate::broker::{Appended, PublishError, SendStatus};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, Kind, caught, rejected};
use crate::outbox::{Store, Window};
use crate::shutdown::Token;

type Answers = Vec<Result<Appended, PublishError>>;

/// How far a window has come.
#[derive(Debug)]
struct Attempt {
    verdicts: Verdicts,
    delays: Delays,
    round: Round,
    /// Whether its rows are published one by one, so that it shows which of them is ill.
    single: bool,
    /// How often the publisher has panicked over the row that is published now.
    panics: u32,
}

/// What to do with what there is no answer for yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Done,
    Again,
    Wait,
    /// The broker did not take it.
    Failed,
}

impl Attempt {
    fn new(window: &Window, verdicts: Verdicts, delays: Delays, single: bool) -> Self {
        Self {
            verdicts,
            delays,
            round: Round::first(window),
            single,
            panics: 0,
        }
    }

    fn limit(&self) -> usize {
        if self.single { 1 } else { usize::MAX }
    }

    /// What to do after the publisher's answers to a batch.
    fn answered(
        &mut self,
        window: &Window,
        results: Answers,
        held: &mut Held,
        stats: &Stats,
    ) -> Next {
        self.panics = 0;
        if !results.is_empty() && results.iter().all(is_refused) {
            // The broker was not asked: it is away as a whole, and no topic is to blame.
            tracing::debug!(rows = results.len(), "a layer before the publisher refuses");
            self.round = Round::first(window);
            return if window.next.is_some() {
                Next::Wait
            } else {
                Next::Done
            };
        }
        if self.verdicts.counts(&results) {
            let rows = self.verdicts.open().zip(&results);
            let taken = rows.filter(|(_, result)| result.is_ok());
            let written = taken.map(|(row, _)| window.entries[row].created_at);
            stats.answered(written, SystemClock.now());
        }
        let failed = results.iter().filter(|result| result.is_err());
        stats.meters().failed(failed.count());
        if self.verdicts.judge(window, results, self.round, held) {
            Next::Again
        } else {
            Next::Failed
        }
    }

    /// What to do after the publisher has panicked over a batch. Of several rows nobody knows which it
    /// was.
    fn panicked(&mut self, window: &Window, panic: &(dyn Any + Send), limit: u32) -> Next {
        let text = panic_text(panic);
        let Some(row) = self.verdicts.first_open() else {
            return Next::Done;
        };
        let id = window.entries[row].id;
        tracing::warn!(name: "bowline.outbox.publish", %id, panic = text, "the publisher panicked");
        if !self.single {
            self.single = true;
            return Next::Again;
        }
        self.panics += 1;
        if self.panics < limit {
            return Next::Wait;
        }
        let reason = format!("its publisher panicked {} times: {text}", self.panics);
        self.verdicts.poison(window, row, reason);
        self.panics = 0;
        Next::Again
    }
}

impl<S: Store> Tenure<'_, S> {
    /// Publishes the rows of `window` until there is an answer for each, or a failure finds the outbox
    /// halted or `token` stopped. Of the log the next window is read meanwhile.
    pub(super) async fn publish<P: Delivery>(
        &mut self,
        window: &Window,
        session: &mut Session<'_, P>,
        token: &Token,
    ) -> Result<Verdicts, Error> {
        let mut verdicts = Verdicts::new(window, self.config.on_poison, P::ATOMIC);
        self.condemn(window, &mut verdicts);
        let delays = self.config.backoff.delays();
        let mut attempt = Attempt::new(window, verdicts, delays, self.is_wary());
        loop {
            match self.try_once(&mut attempt, window, session).await? {
                Next::Done => break,
                Next::Again => continue,
                Next::Wait | Next::Failed => {}
            }
            let wait = attempt.delays.next().unwrap_or(self.config.poll);
            let pause = async {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = token.stopped() => {}
                }
            };
            self.renewing(pause).await?;
            if token.is_stopped() || self.is_halted().await? {
                break;
            }
        }
        Ok(attempt.verdicts)
    }

    /// Publishes once what there is no answer for.
    async fn try_once<P: Delivery>(
        &mut self,
        attempt: &mut Attempt,
        window: &Window,
        session: &mut Session<'_, P>,
    ) -> Result<Next, Error> {
        // A transaction has to move the position also when it has no rows.
        let moves = P::ATOMIC && window.next.is_some();
        let batch = attempt.verdicts.batch(window, &self.held, attempt.limit());
        if batch.is_empty() && !moves {
            return Ok(Next::Done);
        }
        let wary = self.is_wary();
        if wary {
            let row = attempt.verdicts.first_open();
            self.trying(row.map(|row| window.entries[row].id)).await?;
        }
        // What comes next is read meanwhile, or to see whom a failure would keep waiting.
        let last = attempt.round >= Round::LAST;
        if last || self.is_full(window) {
            self.read_ahead(window);
        }
        let publishing = session.publish(batch, window, attempt.verdicts.known());
        let answers = self.renewing(caught(publishing)).await?;
        let next = match answers {
            Ok(results) => attempt.answered(window, results?, &mut self.held, self.stats),
            // What became of the transaction is not known.
            Err(panic) if P::ATOMIC => return Err(panicked(&*panic)),
            Err(panic) => attempt.panicked(window, &*panic, self.config.crash_limit.get()),
        };
        if attempt.verdicts.is_complete() || (attempt.verdicts.halts() && !moves) {
            return Ok(Next::Done);
        }
        if wary {
            self.trying(None).await?;
        }
        Ok(match next {
            Next::Failed => {
                if last {
                    self.wait_until(|meanwhile| !meanwhile.is_reading()).await?;
                }
                match self.after_a_failure(attempt, window) {
                    Next::Done if moves => Next::Again,
                    next => next,
                }
            }
            next => next,
        })
    }

    fn after_a_failure(&mut self, attempt: &mut Attempt, window: &Window) -> Next {
        let (verdicts, round) = (&mut attempt.verdicts, attempt.round);
        let ahead = self.meanwhile.ahead();
        // What waits aside is not worth waiting for.
        if window.next.is_none() || verdicts.keeps_others_waiting(window, round, ahead, &self.held)
        {
            verdicts.leave_topics(window, &mut self.held);
            return Next::Done;
        }
        attempt.round = round.next();
        Next::Wait
    }

    /// Gives up a row with which too many relays have ended in hand.
    fn condemn(&self, window: &Window, verdicts: &mut Verdicts) {
        let limit = self.config.crash_limit.get();
        let Some((suspect, count)) = self.lease().crashes.suspect else {
            return;
        };
        let row = window.entries.iter().position(|entry| entry.id == suspect);
        if let (true, Some(row)) = (count >= limit, row) {
            let reason = format!("{count} relays ended while they published it");
            verdicts.poison(window, row, reason);
        }
    }
}

/// Whether a layer before the publisher has kept the record back, e.g. a breaker that is open.
fn is_refused(result: &Result<Appended, PublishError>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.status() == SendStatus::NotSent && rejected(error).is_some())
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let error = Error::new(Kind::Unavailable, "relay", "publish");
    error.with_detail(format!("the publisher panicked: {}", panic_text(panic)))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
