use std::sync::Arc;
use std::time::Duration;

use bowline::discovery;
use bowline::error::{Error, Kind};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::Backend;
use crate::broker::Broker;
use crate::settings::{Servers, unusable};

/// PostgreSQL, Redis and a broker. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Distributed {
    servers: Arc<Servers>,
    broker: Broker,
    registry: discovery::Redis,
}

impl Distributed {
    /// Connects to the servers that every service needs.
    ///
    /// # Errors
    ///
    /// When a setting is not usable, or a server cannot be reached.
    pub async fn connect(servers: &Servers) -> Result<Self, Error> {
        let registry = discovery::Redis::connect(servers.redis.expose()).await;
        Ok(Self {
            registry: registry.map_err(|error| unusable("TODO_REDIS", error))?,
            broker: Broker::connect(&servers.broker).await?,
            servers: Arc::new(servers.clone()),
        })
    }

    /// The service's own database.
    ///
    /// # Errors
    ///
    /// When it cannot be reached.
    pub async fn database(&self) -> Result<PgPool, Error> {
        PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(10))
            .connect(self.servers.postgres.expose())
            .await
            .map_err(|source| {
                Error::new(Kind::Unavailable, "postgres", "connect")
                    .with_detail("TODO_POSTGRES cannot be reached")
                    .with_source(source)
            })
    }
}

impl Backend for Distributed {
    type Registry = discovery::Redis;

    fn broker(&self) -> &Broker {
        &self.broker
    }

    fn registry(&self) -> &discovery::Redis {
        &self.registry
    }

    fn system(&self) -> &str {
        &self.servers.system
    }
}
