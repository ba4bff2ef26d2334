use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

const CHANNEL: &str = "bowline_outbox";
/// How long to stay away when nobody listens at the other end.
const TROUBLE: Duration = Duration::from_secs(1);

/// Hears the notifications of committed transactions.
#[derive(Debug)]
pub(super) struct Wake {
    options: Arc<PgConnectOptions>,
    /// The connection that listens, from the first wait on. It is none of the pool's: one that is
    /// never given back must not be missing where callers wait for one.
    listener: Mutex<Option<PgListener>>,
    hint: Notify,
}

impl Wake {
    pub(super) fn new(pool: &PgPool) -> Self {
        Self {
            options: pool.connect_options(),
            listener: Mutex::new(None),
            hint: Notify::new(),
        }
    }

    /// What a caller in this process says.
    pub(super) fn hint(&self) {
        self.hint.notify_one();
    }

    /// Returns when a notification or a hint came since it returned last, and whenever the connection
    /// was made anew: what was sent in between is lost.
    pub(super) async fn committed(&self) {
        tokio::select! {
            () = self.hint.notified() => {}
            () = self.notified() => {}
        }
    }

    async fn notified(&self) {
        let mut listener = self.listener.lock().await;
        loop {
            if let Some(listening) = listener.as_mut() {
                // `Ok(None)` and `Err` both mean that the connection was lost.
                if let Ok(Some(_)) = listening.try_recv().await {
                    return;
                }
                *listener = None;
            }
            match self.listen().await {
                Ok(listening) => {
                    *listener = Some(listening);
                    return;
                }
                // The relay finds the same trouble when it polls, and reports it.
                Err(_) => sleep(TROUBLE).await,
            }
        }
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        // The driver listens only on a connection of a pool.
        let pool = PgPoolOptions::new().max_connections(1);
        let pool = pool.connect_with((*self.options).clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}
