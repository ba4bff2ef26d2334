use std::panic;
use std::thread::{self, ScopedJoinHandle};

use crate::{Error, Kafka, Postgres, Redis};

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// Apache Kafka.
    Kafka,
}

/// Several servers of one's own, started at the same time.
#[derive(Debug)]
pub struct Services {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    kafka: Option<Kafka>,
}

impl Services {
    /// Starts the `wanted` servers in parallel and returns when all of them answer.
    ///
    /// # Errors
    ///
    /// The errors of all servers that did not start; the others are ended again.
    pub fn start(wanted: &[Service]) -> Result<Self, Error> {
        let (postgres, redis, kafka) = thread::scope(|scope| {
            let wants = |service| wanted.contains(&service);
            let postgres = wants(Service::Postgres).then(|| scope.spawn(Postgres::start));
            let redis = wants(Service::Redis).then(|| scope.spawn(Redis::start));
            let kafka = wants(Service::Kafka).then(|| scope.spawn(Kafka::start));
            (join(postgres), join(redis), join(kafka))
        });
        let problems: Vec<String> = [
            postgres.as_ref().err(),
            redis.as_ref().err(),
            kafka.as_ref().err(),
        ]
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
        match (postgres, redis, kafka) {
            (Ok(postgres), Ok(redis), Ok(kafka)) => Ok(Self {
                postgres,
                redis,
                kafka,
            }),
            _ => Err(Error::new(problems.join("\n"))),
        }
    }

    /// The PostgreSQL server, if it was wanted.
    #[must_use]
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The Redis server, if it was wanted.
    #[must_use]
    pub fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// The Kafka broker, if it was wanted.
    #[must_use]
    pub fn kafka(&self) -> Option<&Kafka> {
        self.kafka.as_ref()
    }
}

fn join<T>(thread: Option<ScopedJoinHandle<'_, Result<T, Error>>>) -> Result<Option<T>, Error> {
    thread
        .map(|thread| {
            thread
                .join()
                .unwrap_or_else(|cause| panic::resume_unwind(cause))
        })
        .transpose()
}
