use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

use super::queries;

/// How often to look for commits of other connections. SQLite tells nobody; looking costs some ten
/// microseconds.
const LOOK: Duration = Duration::from_millis(10);
/// How long to stay away when the database cannot be asked.
const TROUBLE: Duration = Duration::from_secs(1);

/// Notices commits to the file, by this process and by others.
#[derive(Debug)]
pub(super) struct Wake {
    options: Arc<SqliteConnectOptions>,
    /// The connection that looks, and what it saw last. It is always the same one: the version
    /// counts the commits of all others. It is none of the pool's: one that is never given back must
    /// not be missing where callers wait for one.
    seen: Mutex<Option<(SqliteConnection, i64)>>,
    hint: Notify,
}

impl Wake {
    pub(super) fn new(pool: &SqlitePool) -> Self {
        Self {
            options: pool.connect_options(),
            seen: Mutex::new(None),
            hint: Notify::new(),
        }
    }

    /// What a caller in this process says.
    pub(super) fn hint(&self) {
        self.hint.notify_one();
    }

    /// Returns when something was committed, or hinted at, since it returned last; at once the first
    /// time.
    pub(super) async fn committed(&self) {
        tokio::select! {
            () = self.hint.notified() => {}
            () = self.changed() => {}
        }
    }

    async fn changed(&self) {
        let mut seen = self.seen.lock().await;
        loop {
            match self.look(&mut seen).await {
                Ok(true) => return,
                Ok(false) => sleep(LOOK).await,
                Err(_) => {
                    // The relay finds the same trouble when it polls, and reports it.
                    *seen = None;
                    sleep(TROUBLE).await;
                }
            }
        }
    }

    async fn look(&self, seen: &mut Option<(SqliteConnection, i64)>) -> Result<bool, sqlx::Error> {
        let (mut connection, last) = match seen.take() {
            Some((connection, last)) => (connection, Some(last)),
            None => (SqliteConnection::connect_with(&self.options).await?, None),
        };
        let version = sqlx::query_scalar(queries::DATA_VERSION)
            .fetch_one(&mut connection)
            .await?;
        *seen = Some((connection, version));
        Ok(last != Some(version))
    }
}
