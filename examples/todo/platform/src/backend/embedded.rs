use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bowline::error::{Error, Kind};
use bowline::{broker, discovery};
use sqlx::SqlitePool;

use super::Backend;
use crate::broker::{Broker, Choice};
use crate::sqlite;

/// After a crash the next start waits so long for the partitions of the one before. All members are
/// in one process, so none is ever slow alone.
const SESSION: Duration = Duration::from_secs(1);

/// One process: a folder with SQLite files, a broker in one of them unless another was chosen, and a
/// registry in memory.
#[derive(Debug, Clone)]
pub struct Embedded {
    folder: PathBuf,
    /// Held as long as anything uses the folder.
    _lock: Arc<File>,
    broker: Broker,
    registry: discovery::Memory,
    system: Arc<str>,
}

impl Embedded {
    /// Opens, or makes, the system of this name in `folder`, with its broker unless one was `chosen`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or written, a file in it is not what it should be, or the broker
    /// cannot be reached.
    pub async fn open(folder: &Path, system: &str, chosen: Option<&Choice>) -> Result<Self, Error> {
        let lock = lock(folder)?;
        let broker = match chosen {
            Some(choice) => Broker::connect(choice).await?,
            None => {
                let broker = broker::Sqlite::open(folder.join("broker.db")).await?;
                Broker::Sqlite(broker.with_session_timeout(SESSION))
            }
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            _lock: Arc::new(lock),
            broker,
            registry: discovery::Memory::new(),
            system: system.into(),
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

    /// Closes the broker's file, if it has one, when all that use it have ended.
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
    type Registry = discovery::Memory;

    fn broker(&self) -> &Broker {
        &self.broker
    }

    fn registry(&self) -> &discovery::Memory {
        &self.registry
    }

    fn system(&self) -> &str {
        &self.system
    }
}
