//! A broker in this process.

mod state;
mod subscriber;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use self::state::State;
pub use self::subscriber::MemorySubscriber;
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
/// use bowline::broker::{Memory, Polled, Publisher, Record, Start, Subscriber, Topics};
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
/// subscriber.commit(&[(records[0].assignment(), records[0].position.offset + 1)]).await?;
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
