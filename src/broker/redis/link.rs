use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::aio::ConnectionManager;
use ::redis::{Client, ErrorKind, RedisError, ServerErrorKind};

use super::Redis;
use crate::driver::redis::{error, lazy_manager, manager};
use crate::error::Error;

/// A connection that is made anew when it is lost, and when its server is no longer the master. Clones
/// share it.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    client: Client,
    current: Mutex<Current>,
}

struct Current {
    connection: ConnectionManager,
    generation: u64,
}

impl Link {
    /// Connects.
    pub(super) async fn connect(client: Client) -> Result<Self, Error> {
        let connection = manager(client.clone(), Redis::PATIENCE).await?;
        let current = Mutex::new(Current {
            connection,
            generation: 0,
        });
        Ok(Self(Arc::new(Inner { client, current })))
    }

    /// The connection as it is now.
    pub(super) fn get(&self) -> ConnectionManager {
        self.current().connection.clone()
    }

    /// Grows with each server that was left.
    pub(super) fn generation(&self) -> u64 {
        self.current().generation
    }

    /// `source` as an error of ours. A server that was made a replica keeps its connections and goes on
    /// answering what only reads, so it is left: after a fail-over another one has its name.
    pub(super) fn failed(&self, source: RedisError, operation: &'static str) -> Error {
        if source.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
            self.renew();
        }
        error(operation)(source)
    }

    fn renew(&self) {
        // It connects at the next command.
        if let Ok(connection) = lazy_manager(self.0.client.clone(), Redis::PATIENCE) {
            let mut current = self.current();
            current.connection = connection;
            current.generation += 1;
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
