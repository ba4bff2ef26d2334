//! A fault at one chosen step: run the work once per step and see that nothing is lost at any.
//!
//! [`Faults::wrap`] puts a store, a publisher or a subscriber behind the fault. Each of its calls is two
//! steps: one before the call has any effect, and one after it had all of it but nobody has heard so.
//!
//! | | before | after |
//! |---|---|---|
//! | [`Fault::Fail`] | an error, nothing was done | an error, though it was done |
//! | [`Fault::Drop`] | no answer, nothing was done | no answer, though it was done |
//! | [`Fault::Delay`] | it is done later | it is done, the answer comes later |
//! | [`Fault::Hang`] | nothing is done, for ever | it is done, and nobody ever hears |
//!
//! Some calls of a subscriber know less: a poll is one step, since what it hands out must not be lost; a
//! commit has begun when it is called, so a delay holds up its answer only; a release that fails has given
//! the partitions up all the same, as its contract says.
//!
//! ```
//! use std::num::NonZeroU32;
//!
//! use bowline::broker::{Memory, Publisher, Record, SendStatus, Topics};
//! use bowline::testkit::faults::{Fault, Faults};
//!
//! /// The service under test: publishes until it is told that the broker has it.
//! async fn announce(publisher: &impl Publisher) -> usize {
//!     for attempt in 1.. {
//!         let results = publisher.publish(vec![Record::new("tasks", "created")]).await;
//!         if results.iter().all(Result::is_ok) {
//!             return attempt;
//!         }
//!     }
//!     unreachable!()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), bowline::Error> {
//! let counted = Faults::none();
//! let broker = Memory::new();
//! broker.create("tasks", NonZeroU32::MIN).await?;
//! announce(&counted.wrap(broker.clone())).await;
//! assert_eq!(counted.steps(), 2);
//!
//! for step in 1..=counted.steps() {
//!     for fault in [Fault::Fail, Fault::Drop] {
//!         let publisher = Faults::at(step, fault).wrap(broker.clone());
//!         assert_eq!(announce(&publisher).await, 2, "{fault:?} at step {step}");
//!     }
//! }
//!
//! // A record that was never sent, of which nobody knows.
//! let publisher = Faults::at(1, Fault::Drop).wrap(broker);
//! let results = publisher.publish(vec![Record::new("tasks", "created")]).await;
//! let error = results[0].as_ref().expect_err("it is not there");
//! assert_eq!(error.status(), SendStatus::Unknown);
//! # Ok(())
//! # }
//! ```

mod outbox;
mod publisher;
mod subscriber;
mod transactional;

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::error::{Error, Kind};

/// What happens at the chosen step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the four ways to fail")]
pub enum Fault {
    /// The call fails with a transient error; the work goes on.
    Fail,
    /// Nobody hears what became of the call: it fails with [`Kind::Timeout`], and a record that is
    /// published is [`Unknown`](crate::broker::SendStatus::Unknown), though it was never sent when this
    /// is the step before.
    Drop,
    /// The call goes on after as long, by tokio's clock.
    Delay(Duration),
    /// The call never returns: drop the work then, as a crash would.
    Hang,
}

/// Counts steps, and fails at one of them. Clones count together.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Plan>);

#[derive(Debug)]
struct Plan {
    steps: AtomicU64,
    /// `None`: at no step.
    at: Option<(u64, Fault)>,
    struck: watch::Sender<bool>,
}

/// A store, a publisher or a subscriber that fails at the chosen step.
#[derive(Debug, Clone)]
pub struct Faulty<T> {
    inner: T,
    faults: Faults,
    /// A subscriber has joined, whether it was told so or not.
    joined: bool,
}

impl Faults {
    /// Only counts the steps.
    #[must_use]
    pub fn none() -> Self {
        Self::new(None)
    }

    /// Does `fault` at `step`, counted from 1, and only once.
    #[must_use]
    pub fn at(step: u64, fault: Fault) -> Self {
        Self::new(Some((step, fault)))
    }

    fn new(at: Option<(u64, Fault)>) -> Self {
        Self(Arc::new(Plan {
            steps: AtomicU64::new(0),
            at,
            struck: watch::Sender::new(false),
        }))
    }

    /// `inner` behind the fault.
    #[must_use]
    pub fn wrap<T>(&self, inner: T) -> Faulty<T> {
        Faulty {
            inner,
            faults: self.clone(),
            joined: false,
        }
    }

    /// How many steps there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::SeqCst)
    }

    /// Returns once the fault has happened; never, if it does not.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn struck(&self) {
        let mut struck = self.0.struck.subscribe();
        if struck.wait_for(|struck| *struck).await.is_err() {
            // Not possible while `self` holds the sender.
            pending::<()>().await;
        }
    }

    /// Counts a step, and says what happens at it.
    fn next(&self) -> Option<Fault> {
        let step = self.0.steps.fetch_add(1, Ordering::SeqCst) + 1;
        let (_, fault) = self.0.at.filter(|(at, _)| *at == step)?;
        self.0.struck.send_replace(true);
        Some(fault)
    }

    async fn step(&self, operation: &'static str) -> Result<(), Error> {
        suffer(self.next(), operation).await
    }
}

/// What becomes of a call at which `fault` happens.
async fn suffer(fault: Option<Fault>, operation: &'static str) -> Result<(), Error> {
    match fault {
        None => Ok(()),
        Some(Fault::Fail) => Err(Error::new(Kind::Unavailable, "faults", operation)),
        Some(Fault::Drop) => Err(Error::new(Kind::Timeout, "faults", operation)),
        Some(Fault::Delay(time)) => {
            sleep(time).await;
            Ok(())
        }
        Some(Fault::Hang) => pending().await,
    }
}

impl<T> Faulty<T> {
    async fn around<R>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        self.faults.step(operation).await?;
        let result = call.await?;
        self.faults.step(operation).await?;
        Ok(result)
    }
}
