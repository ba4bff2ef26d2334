//! Ways to reach a person who is not looking at the page, each behind a pipeline of its own.
//!
//! Each channel is a consumer group on the topic of notifications, so that one that is down holds up
//! nobody else. What it cannot send waits in the topic, in order; what nobody could ever send becomes
//! a dead letter.

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::breaker::Breaker;
use bowline::broker::Delivery;
use bowline::classify::{AnyError, Classify as _, Outcome};
use bowline::config::ConfigError;
use bowline::error::{BoxError, Error, cause};
use bowline::message::Message;
use bowline::pipeline::Pipeline;
use bowline::retry::Retry;
use todo_contracts::events::NotificationSent;

use crate::store::Store;

mod mail;
mod webhook;

pub(crate) use mail::Mail;
pub(crate) use webhook::Webhook;

/// The time for one notification, all attempts included; a person who waits longer looks at the page.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// The time for one attempt: mail servers are slow on purpose.
const ATTEMPT: Duration = Duration::from_secs(4);
/// How many attempts before the notification waits for the channel in its topic.
const ATTEMPTS: u32 = 3;
/// So many failures in a row mean that the channel is down: it is asked too rarely for a rate.
const FAILURES: u32 = 5;
/// Servers of others: not more at once than a person's mail program would.
const PLACES: u32 = 4;
/// As many notifications are begun at once, so that the time for none passes in a queue.
pub(crate) const AT_ONCE: NonZeroUsize = NonZeroUsize::new(PLACES as usize).unwrap();
/// How long a channel that is down is left alone, at first and at most.
const OPEN_FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Sends notifications to people.
pub(crate) trait Transport: Clone + Send + Sync + 'static {
    /// A notification that is ready to be sent.
    type Letter: Send + Sync;

    /// Makes `notification`, which came in `message`, ready to be sent. What goes wrong here says nothing
    /// about the channel.
    ///
    /// # Errors
    ///
    /// A transient [`Error`] when it may work later, a permanent one when it never will.
    fn prepare(
        &self,
        notification: &NotificationSent,
        message: &Message,
    ) -> impl Future<Output = Result<Self::Letter, Error>> + Send;

    /// Sends a letter. It is asked again after a crash or a failure, so what is sent twice must say that
    /// it is the same.
    ///
    /// # Errors
    ///
    /// As for [`prepare`](Self::prepare).
    fn send(&self, letter: &Self::Letter) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One way to reach people. Clones share the pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Channel<S, T> {
    store: S,
    transport: T,
    pipeline: Pipeline,
}

/// The pipeline of the channel `name`.
///
/// # Errors
///
/// None: the values are ours.
pub(crate) fn pipeline(name: &str) -> Result<Pipeline, ConfigError> {
    let (first, most) = OPEN_FOR;
    let breaker = Breaker::builder(name)
        .without_failure_rate()
        .consecutive_failures(FAILURES)
        .open_for(Backoff::exponential(first).cap(most));
    Pipeline::builder(name)
        .deadline(DEADLINE)
        .retry(Retry::builder().attempts(ATTEMPTS).build()?)
        .breaker(breaker.build()?)
        .bulkhead_limit(PLACES)
        .attempt_timeout(ATTEMPT)
        .build()
}

impl<S: Store, T: Transport> Channel<S, T> {
    pub(crate) fn new(store: S, transport: T, pipeline: Pipeline) -> Self {
        Self {
            store,
            transport,
            pipeline,
        }
    }

    /// Handles one notification: sends it unless it was sent before.
    pub(crate) async fn deliver(
        self,
        notification: NotificationSent,
        delivery: Delivery,
    ) -> Result<(), BoxError> {
        let message = delivery.try_message()?;
        let (name, id) = (self.pipeline.name(), notification.notification);
        if self.store.was_delivered(name, id).await? {
            return Ok(());
        }
        let letter = self.transport.prepare(&notification, message).await?;
        let send = |_attempt| async { Ok::<_, BoxError>(self.transport.send(&letter).await?) };
        self.pipeline.run_with(&judge, send).await?;
        self.store.note_delivered(name, id).await?;
        Ok(())
    }
}

/// What cannot be sent to one person says nothing about the channel.
fn judge(result: Result<&(), &BoxError>) -> Outcome {
    match result {
        Err(error) if cause::<Error>(&**error).is_some_and(|error| !error.is_transient()) => {
            Outcome::Ignored
        }
        result => AnyError.classify(result),
    }
}
