//! A broker in one SQLite file.

mod append;
mod groups;
mod queries;
mod read;
mod subscriber;

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::watch;
use tokio::time::{self, Instant};

pub use self::subscriber::SqliteSubscriber;
use super::{Appended, Created, PublishError, Publisher, Record, Topics, admission, membership};
use crate::driver::Schema;
use crate::driver::sqlite::{self, BACKEND, BEGIN};
use crate::error::{Error, Kind};

const SCHEMA: Schema = Schema {
    module: "broker",
    migrations: &[include_str!("migrations/0001_broker.sql")],
};

/// How long a statement, or opening, waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How soon opening is tried again while another process opens the file too.
const OPEN_PAUSE: Duration = Duration::from_millis(20);

const READERS: u32 = 4;

/// A broker in one SQLite file, which several processes of one machine may open at the same time.
///
/// What is acknowledged is on the disk: the file is in WAL mode with `synchronous = FULL`, so an
/// acknowledged record or commit survives a killed process, and a loss of power as far as the disk
/// keeps what it has confirmed. Network file systems do not work.
///
/// A publish is one transaction, so larger batches are cheaper per record. It wakes the subscribers
/// of clones of this handle at once; other processes look every 5 to 100 ms, the longer the quieter
/// it is. Nothing is ever deleted from the log.
///
/// ```
/// use std::num::{NonZeroU32, NonZeroUsize};
///
/// use bowline::broker::{Commit, Polled, Publisher, Record, Sqlite, Start, Subscriber, Topics};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let broker = Sqlite::open(directory.path().join("broker.db")).await?;
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
pub struct Sqlite {
    shared: Arc<Shared>,
    session_timeout: Duration,
    max_record: usize,
}

struct Shared {
    path: PathBuf,
    /// One connection, so that writers of this process queue here and not in the file's lock.
    writer: SqlitePool,
    readers: SqlitePool,
    /// Wakes the subscribers of this process.
    changed: watch::Sender<()>,
}

impl Sqlite {
    /// How long a member may go without polling: 10 s.
    pub const DEFAULT_SESSION_TIMEOUT: Duration = membership::DEFAULT_SESSION_TIMEOUT;

    /// Opens the file at `path`, and makes it and its tables when they are not there.
    ///
    /// # Errors
    ///
    /// `NotFound` when the directory does not exist, `ReadOnly` when the file may not be written,
    /// `Corrupt` when it is no database, `Schema` when a newer version of this crate made it,
    /// `Unavailable` when it cannot be opened for another reason, `Contention` when other processes
    /// kept it locked for 5 s.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: tables are made in one transaction.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(options.clone())
        };
        let shared = Shared {
            writer: pool(1),
            readers: pool(READERS),
            changed: watch::Sender::new(()),
            path,
        };
        shared
            .migrate()
            .await
            .map_err(|error| missing_directory(&shared.path).unwrap_or(error))
            .map_err(|error| at(&shared.path, error))?;
        Ok(Self {
            shared: Arc::new(shared),
            session_timeout: Self::DEFAULT_SESSION_TIMEOUT,
            max_record: admission::DEFAULT_MAX_RECORD,
        })
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

    /// A subscriber that has not joined a group yet.
    #[must_use]
    pub fn subscriber(&self) -> SqliteSubscriber {
        SqliteSubscriber::new(Arc::clone(&self.shared), self.session_timeout)
    }

    /// Closes the file for all clones and their subscribers; later calls fail.
    ///
    /// Dropping the last of them closes it too, only later.
    ///
    /// # Cancel safety
    ///
    /// When dropped, part of it may be closed: some calls fail, others work. Close it again.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        self.shared.writer.close().await;
    }
}

impl Publisher for Sqlite {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let results = append::append(&self.shared.writer, self.max_record, &batch).await;
        self.shared.changed();
        results
    }

    fn system(&self) -> &'static str {
        BACKEND
    }
}

impl Topics for Sqlite {
    async fn create(&self, topic: &str, partitions: NonZeroU32) -> Result<Created, Error> {
        const OPERATION: &str = "create topic";
        admission::check_topic_name(BACKEND, topic)?;
        let error = sqlite::error(OPERATION);
        let mut tx = self.shared.writer.begin_with(BEGIN).await.map_err(&error)?;
        let existing: Option<u32> = sqlx::query_scalar(queries::TOPIC)
            .bind(topic)
            .fetch_optional(&mut *tx)
            .await
            .map_err(&error)?;
        if let Some(existing) = existing {
            admission::check_partitions(BACKEND, topic, existing, partitions)?;
            return Ok(Created::Existed);
        }
        sqlx::query(queries::CREATE_TOPIC)
            .bind(topic)
            .bind(partitions.get())
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
        for partition in 0..partitions.get() {
            sqlx::query(queries::CREATE_PARTITION)
                .bind(topic)
                .bind(partition)
                .execute(&mut *tx)
                .await
                .map_err(&error)?;
        }
        tx.commit().await.map_err(&error)?;
        Ok(Created::New)
    }
}

impl Shared {
    /// Makes the tables. Turning WAL on needs the file alone and does not wait for it, so that is
    /// tried again for as long as any other statement would wait.
    async fn migrate(&self) -> Result<(), Error> {
        let give_up = Instant::now() + BUSY_TIMEOUT;
        loop {
            match sqlite::migrate(&self.writer, &SCHEMA).await {
                Err(error) if error.kind() == Kind::Contention && Instant::now() < give_up => {
                    time::sleep(OPEN_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Wakes every subscriber of this process that waits.
    fn changed(&self) {
        self.changed.send_replace(());
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.shared.path)
            .field("session_timeout", &self.session_timeout)
            .field("max_record", &self.max_record)
            .finish_non_exhaustive()
    }
}

/// `error` with the file that it is about.
fn at(path: &Path, error: Error) -> Error {
    let file = path.display();
    let detail = match error.detail() {
        Some(detail) => format!("{file}: {detail}"),
        None => format!("file {file}"),
    };
    error.with_detail(detail)
}

/// SQLite reports a missing directory as a file that cannot be opened now.
fn missing_directory(path: &Path) -> Option<Error> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())?;
    (!directory.is_dir()).then(|| {
        Error::new(Kind::NotFound, BACKEND, "open")
            .with_detail(format!("directory {}", directory.display()))
    })
}

#[cfg(test)]
mod tests;
