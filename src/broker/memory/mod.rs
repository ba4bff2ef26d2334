//! A broker in this process.

mod state;
mod subscriber;
mod transactional;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use self::state::State;
pub use self::subscriber::MemorySubscriber;
pub use self::transactional::MemoryTransactional;
use super::admission::{self, Admission};
use super::{Appended, Created, PublishError, Publisher, Record, Topics, membership};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;

const BACKEND: &str = "memory";

/// A broker in this process; clones share its topics and groups.
///
/// It keeps everything it is given and forgets it with its last clone. Timeouts are measured with
/// tokio's clock, so tests can pause them. A subscriber that is dropped leaves its group at once.
///
/// ```
/// use std::num::{NonZeroU32, NonZeroUsize};
///
/// use bowline::broker::{Commit, Memory, Polled, Publisher, Record, Start, Subscriber, Topics};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bowline::Error> {
/// let broker = Memory::new();
/// broker.create("tasks", NonZeroU32::MIN).await?;
///
/// let mut subscriber = broker.subscriber();
/// subscriber.subscribe("notifications", &["tasks".into()], Start::Earliest).await?;
/// let max = NonZeroUsize::MIN;
/// assert!(matches!(subscriber.poll(max).await?, Polled::Assigned(mine) if mine.len() == 1));
///
/// let results = broker.publish(vec![Record::new("tasks", "created").with_key("7")]).await;
/// assert!(results.iter().all(Result::is_ok));
/// let Polled::Records(records) = subscriber.poll(max).await? else { unreachable!() };
/// assert_eq!(records[0].record.payload.as_deref(), Some(&b"created"[..]));
///
/// let done = Commit::new(records[0].assignment(), records[0].position.offset + 1);
/// subscriber.commit(&[done]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
    session_timeout: Duration,
    max_record: usize,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    clock: Arc<dyn Clock>,
}

impl Memory {
    /// How long a member may go without polling: 10 s, longer than a handler's usual pause and short
    /// enough to take over from a dead member soon.
    pub const DEFAULT_SESSION_TIMEOUT: Duration = membership::DEFAULT_SESSION_TIMEOUT;

    /// An empty broker.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty broker that stamps records with the time of `clock`.
    #[must_use]
    pub fn with_clock(clock: impl Clock + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: watch::Sender::new(()),
                clock: Arc::new(clock),
            }),
            session_timeout: Self::DEFAULT_SESSION_TIMEOUT,
            max_record: admission::DEFAULT_MAX_RECORD,
        }
    }

    /// Sets how long subscribers of this handle may go without polling before they lose their
    /// partitions.
    #[must_use]
    pub fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// Sets the largest record that this handle accepts, in bytes as [`Record::size`] counts them;
    /// 1 MiB unless set.
    #[must_use]
    pub fn with_max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes;
        self
    }

    /// A subscriber that has not joined a group yet.
    #[must_use]
    pub fn subscriber(&self) -> MemorySubscriber {
        MemorySubscriber::new(Arc::clone(&self.shared), self.session_timeout)
    }
}

impl Publisher for Memory {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let now = self.shared.clock.now();
        let mut admission = Admission::new(BACKEND, self.max_record);
        let results = {
            let mut state = self.shared.state();
            batch
                .into_iter()
                .map(|record| state.append(record, &mut admission, now))
                .collect()
        };
        self.shared.changed();
        results
    }

    fn system(&self) -> &'static str {
        BACKEND
    }
}

impl Topics for Memory {
    async fn create(&self, topic: &str, partitions: NonZeroU32) -> Result<Created, Error> {
        admission::check_topic_name(BACKEND, topic)?;
        self.shared.state().create(topic, partitions)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes every subscriber that waits.
    fn changed(&self) {
        self.changed.send_replace(());
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("topics", &self.shared.state().topics())
            .field("session_timeout", &self.session_timeout)
            .field("max_record", &self.max_record)
            .finish_non_exhaustive()
    }
}

/// The time in milliseconds since `origin`.
fn millis_since(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use chrono::DateTime;
    use tokio::time;

    use super::*;
    use crate::broker::{Commit, Polled, Start, Subscriber};
    use crate::clock::ManualClock;
    use crate::error::Kind;

    const MAX: NonZeroUsize = NonZeroUsize::new(10).expect("not zero");

    async fn broker() -> Memory {
        let broker = Memory::new();
        let created = broker.create("t", NonZeroU32::MIN).await.expect("valid");
        assert_eq!(created, Created::New);
        broker
    }

    async fn joined(broker: &Memory) -> MemorySubscriber {
        let mut subscriber = broker.subscriber();
        let topics = ["t".into()];
        let joined = subscriber.subscribe("g", &topics, Start::Earliest).await;
        joined.expect("the topic exists");
        subscriber
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_member_is_replaced_when_its_session_has_timed_out() {
        let broker = broker().await;
        let mut silent = joined(&broker).await;
        let Ok(Polled::Assigned(first)) = silent.poll(MAX).await else {
            panic!("it is alone")
        };
        let mut member = joined(&broker).await;
        let start = Instant::now();
        let Ok(Polled::Assigned(second)) = member.poll(MAX).await else {
            panic!("it takes over")
        };
        let waited = start.elapsed();
        assert!(waited > Memory::DEFAULT_SESSION_TIMEOUT, "{waited:?}");
        assert!(waited < Memory::DEFAULT_SESSION_TIMEOUT * 2, "{waited:?}");
        let ended = first[0].assignment.clone();
        assert!(ended.epoch < second[0].assignment.epoch);

        let late = silent.commit(&[Commit::new(ended.clone(), 1)]).await;
        assert_eq!(late.expect_err("replaced").kind(), Kind::Fenced);
        let polled = silent.poll(MAX).await.expect("polled");
        assert!(matches!(polled, Polled::Lost(lost) if lost == [ended]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_waits_in_a_poll_is_not_silent() {
        let broker = broker().await;
        let mut waiting = joined(&broker).await;
        assert!(matches!(waiting.poll(MAX).await, Ok(Polled::Assigned(_))));
        let waiting = tokio::spawn(async move { waiting.poll(MAX).await });
        let mut other = joined(&broker).await;
        let ten = Memory::DEFAULT_SESSION_TIMEOUT * 10;
        assert!(time::timeout(ten, other.poll(MAX)).await.is_err());
        assert!(!waiting.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_member_is_replaced_at_once() {
        let broker = broker().await;
        let mut first = joined(&broker).await;
        assert!(matches!(first.poll(MAX).await, Ok(Polled::Assigned(_))));
        let mut second = joined(&broker).await;
        let start = Instant::now();
        drop(first);
        assert!(matches!(second.poll(MAX).await, Ok(Polled::Assigned(_))));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn records_are_stamped_by_the_clock() {
        let noon = DateTime::from_timestamp(43_200, 0).expect("in range");
        let broker = Memory::with_clock(ManualClock::at(noon));
        broker.create("t", NonZeroU32::MIN).await.expect("valid");
        let results = broker.publish(vec![Record::new("t", "x")]).await;
        assert!(results[0].is_ok());
        let mut subscriber = joined(&broker).await;
        assert!(matches!(
            subscriber.poll(MAX).await,
            Ok(Polled::Assigned(_))
        ));
        let Ok(Polled::Records(records)) = subscriber.poll(MAX).await else {
            panic!("there is one")
        };
        assert_eq!(records[0].timestamp, Some(noon));
    }

    #[tokio::test]
    async fn a_subscriber_joins_once_and_before_it_polls() {
        let broker = broker().await;
        let mut subscriber = broker.subscriber();
        let error = subscriber.poll(MAX).await.expect_err("not joined");
        assert_eq!(error.kind(), Kind::Invalid);
        let mut subscriber = joined(&broker).await;
        let again = subscriber
            .subscribe("g", &["t".into()], Start::Earliest)
            .await;
        assert_eq!(again.expect_err("twice").kind(), Kind::Invalid);
    }
}
