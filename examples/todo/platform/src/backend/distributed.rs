use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka;
use bowline::discovery;
use bowline::error::{BoxError, Error, Kind};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::Backend;
use crate::settings::Servers;

/// PostgreSQL, Kafka and Redis. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Distributed {
    servers: Arc<Servers>,
    kafka: kafka::Config,
    registry: discovery::Redis,
}

impl Distributed {
    /// Connects to the servers that every service needs.
    ///
    /// # Errors
    ///
    /// When a setting is not usable or Redis cannot be reached.
    pub async fn connect(servers: &Servers) -> Result<Self, BoxError> {
        Ok(Self {
            kafka: kafka::Config::new(&servers.kafka),
            registry: discovery::Redis::connect(servers.redis.expose()).await?,
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
    type Publisher = kafka::Publisher;
    type Subscriber = kafka::Subscriber;
    type Topics = kafka::Topics;
    type Registry = discovery::Redis;

    fn publisher(&self) -> Result<Self::Publisher, Error> {
        kafka::Publisher::new(&self.kafka)
    }

    fn subscriber(&self) -> Result<Self::Subscriber, Error> {
        kafka::Subscriber::new(&self.kafka)
    }

    fn topics(&self) -> Result<Self::Topics, Error> {
        kafka::Topics::new(&self.kafka)
    }

    fn registry(&self) -> &discovery::Redis {
        &self.registry
    }

    fn system(&self) -> &str {
        &self.servers.system
    }
}
