//! A broker on Redis Streams.

mod append;
mod commits;
mod durability;
mod feed;
mod groups;
mod keys;
mod link;
mod part;
mod reply;
mod scripts;
mod stock;
mod subscriber;

use std::collections::HashMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::{Client, FromRedisValue, ScriptInvocation};
use tokio::sync::OnceCell;

use self::keys::Keys;
use self::link::Link;
use self::scripts::Scripts;
pub use self::subscriber::RedisSubscriber;
use super::{Appended, Created, PublishError, Publisher, Record, Topics, admission, membership};
use crate::driver::redis::{BACKEND, client, error};
use crate::error::Error;

/// A broker in Redis, 7 or later. Clones share one connection; each subscriber has one more, on which
/// it waits.
///
/// Each partition is one stream, and the offset of a record is the first part of its id. Appending a
/// batch is one round trip for each 1000 records or 4 MiB, and one script, which takes the time from the
/// server. A subscriber that waits is woken by the server at once. While nothing comes it costs three
/// signs of life per session timeout, and a read every 5 s.
///
/// # Why not `XREADGROUP`
///
/// The consumer groups of Redis hand out single records, and `XAUTOCLAIM` takes them from a consumer
/// after they were idle for some time: a slow handler loses its record while it works on it, though its
/// process is well, and two of them do the work. Records of one key run side by side, too. Here a member
/// owns whole partitions, for as long as *it* gives signs of life by polling, however long a record
/// takes. A partition has one owner, and a commit is refused once that has changed.
///
/// A native group of the same name is kept in step all the same: `XINFO GROUPS` shows what
/// was committed, and how many records lie behind. Do not read through it: nothing here would see that.
///
/// # What survives
///
/// What was acknowledged is as safe as the server's own persistence: all of it with `appendfsync always`,
/// less up to a second of it with `everysec` when the machine loses power, and a fail-over loses what had
/// not reached the replica. [`with_replicas`](Self::with_replicas) waits for replicas, which makes that
/// rare, but does not exclude it. Let `maxmemory-policy` be `noeviction`, or Redis may throw away logs.
/// Connecting to a server that may evict logs, or has no `appendonly` file, logs a warning.
///
/// A member that finds another server than before, or the same one started anew, gives its partitions up
/// ([`Polled::Lost`](super::Polled::Lost)) and joins again, as the log may have lost its end, and a commit
/// of what was read on the one is refused by the other. So what the server still has is delivered, also
/// where it took the place of what was lost. A group that has come further than the log goes, because
/// somebody deleted it, goes on at its end. A server that was away for longer than the session timeout
/// has ended all sessions.
///
/// All keys of a broker begin with one hash tag, so that they lie in one slot of a Redis Cluster; the URL
/// must be that of the node that has it, and brokers with different prefixes can be on different nodes.
///
/// ```no_run
/// use std::num::{NonZeroU32, NonZeroUsize};
///
/// use bowline::broker::{Commit, Polled, Publisher, Record, Redis, Start, Subscriber, Topics};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Redis::connect("redis://localhost:6379").await?.with_prefix("shop");
/// broker.create("tasks", NonZeroU32::MIN).await?;
/// for result in broker.publish(vec![Record::new("tasks", "created").with_key("7")]).await {
///     result?;
/// }
///
/// let mut subscriber = broker.subscriber();
/// subscriber.subscribe("notifications", &["tasks".into()], Start::Earliest).await?;
/// let max = NonZeroUsize::MIN;
/// assert!(matches!(subscriber.poll(max).await?, Polled::Assigned(mine) if mine.len() == 1));
/// let Polled::Records(records) = subscriber.poll(max).await? else { unreachable!() };
/// let done = Commit::new(records[0].assignment(), records[0].position.offset + 1);
/// subscriber.commit(&[done]).await?;
/// subscriber.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redis {
    client: Client,
    link: Link,
    scripts: Arc<Scripts>,
    keys: Keys,
    /// How many partitions a topic has, as far as we know: that never changes, unless the server loses
    /// the topic.
    counts: Arc<Mutex<HashMap<Arc<str>, NonZeroU32>>>,
    session_timeout: Duration,
    max_record: usize,
    max_len: Option<NonZeroU64>,
    replicas: Option<Replicas>,
}

/// How many replicas must have a record, and the connection on which that is waited for: it keeps
/// others waiting meanwhile.
#[derive(Clone)]
struct Replicas {
    least: NonZeroU32,
    link: Arc<OnceCell<Link>>,
}

impl Redis {
    /// What the names of keys begin with, in braces, unless told otherwise.
    pub const DEFAULT_PREFIX: &str = "bowline:broker";

    /// How long a member may go without polling: 10 s.
    pub const DEFAULT_SESSION_TIMEOUT: Duration = membership::DEFAULT_SESSION_TIMEOUT;

    /// How long a connection or an answer may take: enough for 4 MiB on a slow line, and two signs of
    /// life that get none fit into the usual session.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// How long replicas may take: well short of the time that an answer may, so that there is one.
    const REPLICATION: Duration = Duration::from_millis(500);

    /// Connects to `url`, e.g. `redis://localhost:6379`. Lost connections are made anew, and that to a
    /// server which became a replica.
    ///
    /// # Errors
    ///
    /// `Invalid` for a URL that cannot be read, `Unauthorized` for wrong credentials, `Unavailable` or
    /// `Timeout` when there is no server.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let client = client(url)?;
        let link = Link::connect(client.clone()).await?;
        let mut connection = link.get();
        // A server that wants a password takes a connection without one, and refuses the first command.
        let ping = ::redis::cmd("PING");
        let answered = ping.exec_async(&mut connection).await;
        answered.map_err(error("connect"))?;
        durability::warn(&mut connection).await;
        Ok(Self {
            link,
            client,
            scripts: Arc::new(Scripts::new()),
            keys: Keys::new(Self::DEFAULT_PREFIX),
            counts: Arc::default(),
            session_timeout: Self::DEFAULT_SESSION_TIMEOUT,
            max_record: admission::DEFAULT_MAX_RECORD,
            max_len: None,
            replicas: None,
        })
    }

    /// Sets what the names of keys begin with, so that several brokers can share a server.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.keys = Keys::new(prefix);
        self.counts = Arc::default();
        self
    }

    /// Sets how long subscribers of this handle may go without polling before they lose their
    /// partitions. A subscriber whose process died holds its partitions that long.
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

    /// Lets publishing through this handle delete old records, so that a partition keeps about `records`
    /// of them, and at least as many. What a known group has not committed is never deleted: a group is
    /// known once it was assigned the partition, and until it is [deleted](Self::delete_group). Without this nothing is ever deleted.
    #[must_use]
    pub fn with_max_len(mut self, records: NonZeroU64) -> Self {
        self.max_len = Some(records);
        self
    }

    /// Lets publishing through this handle and its clones wait until `replicas` replicas have the
    /// records, and for half a second at most: when that is not known by then, they are a `Timeout`, and
    /// [`SendStatus::Unknown`](super::SendStatus::Unknown). It publishes on a connection of its own.
    #[must_use]
    pub fn with_replicas(mut self, replicas: NonZeroU32) -> Self {
        self.replicas = Some(Replicas {
            least: replicas,
            link: Arc::default(),
        });
        self
    }

    /// A subscriber that has not joined a group yet.
    #[must_use]
    pub fn subscriber(&self) -> RedisSubscriber {
        RedisSubscriber::new(self.clone())
    }

    /// The groups that hold records of `topic` back from deletion, by name: those that were ever assigned
    /// a partition of it, also when nobody is left in them.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such topic, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn groups(&self, topic: &str) -> Result<Vec<String>, Error> {
        groups::known(self, &topic.into()).await
    }

    /// Deletes a group that has no members, with its commits: it begins anew when it is joined again, and
    /// holds no records back from deletion until then. `false` when it was not known.
    ///
    /// # Errors
    ///
    /// `Conflict` when it has members, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the group is there with all that belongs to it, or gone.
    pub async fn delete_group(&self, group: &str) -> Result<bool, Error> {
        groups::delete(self, group).await
    }

    async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
        operation: &'static str,
    ) -> Result<T, Error> {
        let mut connection = self.link.get();
        let answer = call.invoke_async(&mut connection).await;
        answer.map_err(|failed| self.link.failed(failed, operation))
    }

    /// How many partitions `topic` has, by the server; `None` when it does not exist.
    async fn count(
        &self,
        topic: &Arc<str>,
        operation: &'static str,
    ) -> Result<Option<NonZeroU32>, Error> {
        let known = self.counts().get(topic).copied();
        if known.is_some() {
            return Ok(known);
        }
        let mut connection = self.link.get();
        let count: Option<u32> = ::redis::cmd("HGET")
            .arg(self.keys.topic(topic))
            .arg("partitions")
            .query_async(&mut connection)
            .await
            .map_err(error(operation))?;
        let count = count.and_then(NonZeroU32::new);
        if let Some(count) = count {
            self.counts().insert(Arc::clone(topic), count);
        }
        Ok(count)
    }

    /// Forgets how many partitions `topic` has.
    fn forget_count(&self, topic: &str) {
        self.counts().remove(topic);
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, NonZeroU32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher for Redis {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        append::append(self, &batch).await
    }

    fn system(&self) -> &'static str {
        BACKEND
    }
}

impl Topics for Redis {
    async fn create(&self, topic: &str, partitions: NonZeroU32) -> Result<Created, Error> {
        const OPERATION: &str = "create topic";
        admission::check_topic_name(BACKEND, topic)?;
        let mut call = self.scripts.create.prepare_invoke();
        call.key(self.keys.topic(topic)).arg(partitions.get());
        let existing: u32 = self.run(&call, OPERATION).await?;
        if existing == 0 {
            return Ok(Created::New);
        }
        admission::check_partitions(BACKEND, topic, existing, partitions)?;
        Ok(Created::Existed)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("keys", &format_args!("{}", self.keys))
            .field("session_timeout", &self.session_timeout)
            .field("max_record", &self.max_record)
            .field("max_len", &self.max_len)
            .field("replicas", &self.replicas.as_ref().map(|wait| wait.least))
            .finish_non_exhaustive()
    }
}
