use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{self, SqliteSubscriber};
use bowline::discovery;
use bowline::error::{Error, Kind};
use sqlx::SqlitePool;

use super::Backend;
use crate::sqlite;

/// After a crash the next start waits so long for the partitions of the one before. All members are
/// in one process, so none is ever slow alone.
const SESSION: Duration = Duration::from_secs(1);

/// One process: a folder with SQLite files, a broker in one of them, and a registry in memory.
#[derive(Debug, Clone)]
pub struct Embedded {
    folder: PathBuf,
    /// Held as long as anything uses the folder.
    _lock: Arc<File>,
    broker: broker::Sqlite,
    registry: discovery::Memory,
}

impl Embedded {
    /// Opens, or makes, the system in `folder`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or written, or a file in it is not what it should be.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let lock = lock(folder)?;
        let broker = broker::Sqlite::open(folder.join("broker.db"))
            .await?
            .with_session_timeout(SESSION);
        Ok(Self {
            folder: folder.to_path_buf(),
            _lock: Arc::new(lock),
            broker,
            registry: discovery::Memory::new(),
        })
    }

    /// The database of `service`.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub async fn database(&self, service: &str) -> Result<SqlitePool, Error> {
        sqlite::open(&self.folder.join(format!("{service}.db"))).await
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Closes the broker's file, when all that use it have ended.
    pub async fn close(&self) {
        self.broker.close().await;
    }
}

/// Makes the folder, which only its owner may read, and keeps others from running in it.
fn lock(folder: &Path) -> Result<File, Error> {
    let failed = |what: &str| {
        Error::new(Kind::Unavailable, "todo", "open")
            .with_detail(format!("the folder {} {what}", folder.display()))
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|source| failed("cannot be made").with_source(source))?;
    let mut options = OpenOptions::new();
    let lock = options.create(true).truncate(false).write(true);
    let lock = lock
        .open(folder.join("lock"))
        .map_err(|source| failed("cannot be written").with_source(source))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(failed("is used by another todo")),
        Err(TryLockError::Error(source)) => Err(failed("cannot be locked").with_source(source)),
    }
}

impl Backend for Embedded {
    type Publisher = broker::Sqlite;
    type Subscriber = SqliteSubscriber;
    type Topics = broker::Sqlite;
    type Registry = discovery::Memory;

    fn publisher(&self) -> Result<broker::Sqlite, Error> {
        Ok(self.broker.clone())
    }

    fn subscriber(&self) -> Result<SqliteSubscriber, Error> {
        Ok(self.broker.subscriber())
    }

    fn topics(&self) -> Result<broker::Sqlite, Error> {
        Ok(self.broker.clone())
    }

    fn registry(&self) -> &discovery::Memory {
        &self.registry
    }

    fn system(&self) -> &str {
        "todo"
    }
}
