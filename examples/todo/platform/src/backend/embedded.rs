use std::path::{Path, PathBuf};

use bowline::broker::{self, SqliteSubscriber};
use bowline::discovery;
use bowline::error::{Error, Kind};
use sqlx::SqlitePool;

use super::Backend;
use crate::sqlite;

/// One process: a folder with SQLite files, a broker in one of them, and a registry in memory.
#[derive(Debug, Clone)]
pub struct Embedded {
    folder: PathBuf,
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
        std::fs::create_dir_all(folder).map_err(|source| {
            Error::new(Kind::Unavailable, "todo", "open")
                .with_detail(format!("the folder {} cannot be made", folder.display()))
                .with_source(source)
        })?;
        let broker = broker::Sqlite::open(folder.join("broker.db")).await?;
        Ok(Self {
            folder: folder.to_path_buf(),
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
