use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

const CHANNEL: &str = "bowline_outbox";
/// After so long without a word the other end is asked whether it is there, and given as long to answer.
const QUIET: Duration = Duration::from_secs(5);
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

    /// Returns when notifications or a hint came since it returned last, once for all of them, and whenever
    /// the connection was made anew: what was sent in between is lost.
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
                match timeout(QUIET, listening.try_recv()).await {
                    Ok(Ok(Some(_))) => {
                        if !clear(listening) {
                            *listener = None;
                        }
                        return;
                    }
                    // Nobody says anything, or nobody is there any more.
                    Err(_) => {
                        // Not put back when this is given up: it may wait for an answer then.
                        let asked = listener.take();
                        *listener = answering(asked).await;
                        if listener.is_some() {
                            continue;
                        }
                    }
                    // `Ok(None)` and `Err` both mean that the connection was lost.
                    Ok(_) => *listener = None,
                }
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

/// Takes what has come besides; whether the connection is still there.
fn clear(listening: &mut PgListener) -> bool {
    loop {
        match listening.try_recv().now_or_never() {
            None => return true,
            Some(Ok(Some(_))) => {}
            Some(_) => return false,
        }
    }
}

/// The connection, if its other end answers: it may be gone without a word.
async fn answering(asked: Option<PgListener>) -> Option<PgListener> {
    let mut listening = asked?;
    let answer = sqlx::query("SELECT 1").execute(&mut listening);
    let answered = timeout(QUIET, answer).await;
    matches!(answered, Ok(Ok(_))).then_some(listening)
}
