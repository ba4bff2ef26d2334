//! The broker of a system: SQLite, Redis Streams or Kafka, as `TODO_BROKER` says.

mod choice;
mod member;

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

#[cfg(feature = "kafka")]
use bowline::broker::kafka;
use bowline::broker::{self, Appended, Created, PublishError, Publisher, Record, Topics};
use bowline::error::{Error, Kind};

pub use choice::{Choice, Program};
pub use member::Member;

use crate::settings::unusable;

/// How many records of a partition Redis keeps at least, which has them all in memory. What a group has
/// not handled stays beyond that.
const KEPT: NonZeroU64 = NonZeroU64::new(10_000).unwrap();

/// A broker. Clones share its connections.
#[derive(Clone)]
#[non_exhaustive]
pub enum Broker {
    /// In a SQLite file.
    Sqlite(broker::Sqlite),
    /// On Redis Streams.
    Redis(Box<broker::Redis>),
    /// On Kafka.
    #[cfg(feature = "kafka")]
    Kafka(Box<Kafka>),
}

/// Kafka, and what talks to it.
#[cfg(feature = "kafka")]
#[derive(Debug, Clone)]
pub struct Kafka {
    config: kafka::Config,
    publisher: kafka::Publisher,
    topics: std::sync::Arc<kafka::Topics>,
}

impl Broker {
    /// Connects to what was chosen; to Kafka in the background.
    ///
    /// # Errors
    ///
    /// That `TODO_BROKER` is what to look at, and why.
    pub async fn connect(choice: &Choice) -> Result<Self, Error> {
        let connected = match choice {
            Choice::Redis(url) => broker::Redis::connect(url.expose())
                .await
                .map(|broker| Self::Redis(Box::new(broker.with_max_len(KEPT)))),
            #[cfg(feature = "kafka")]
            Choice::Kafka(config) => Kafka::new(config).map(|kafka| Self::Kafka(Box::new(kafka))),
        };
        connected.map_err(|error| unusable(&format!("TODO_BROKER {}", choice.shown()), error))
    }

    /// Its name for persons.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Redis(_) => "Redis Streams",
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => "Kafka",
        }
    }

    /// A new member of a consumer group.
    ///
    /// # Errors
    ///
    /// When the configuration is not usable.
    pub fn member(&self) -> Result<Member, Error> {
        Ok(match self {
            Self::Sqlite(broker) => Member::Sqlite(Box::new(broker.subscriber())),
            Self::Redis(broker) => Member::Redis(Box::new(broker.subscriber())),
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => Member::Kafka(Box::new(kafka::Subscriber::new(&kafka.config)?)),
        })
    }

    /// Forgets the groups of `topic` whose names begin with `prefix` and which nobody is in: those of
    /// processes that have ended, one way or another, and that hold records back from deletion.
    ///
    /// # Errors
    ///
    /// Those of the broker.
    pub async fn sweep_groups(&self, topic: &str, prefix: &str) -> Result<(), Error> {
        // Kafka does that by itself, and the file is deleted from by nobody.
        let Self::Redis(broker) = self else {
            return Ok(());
        };
        let groups = broker.groups(topic).await?.into_iter();
        for group in groups.filter(|group| group.starts_with(prefix)) {
            match broker.delete_group(&group).await {
                Err(error) if error.kind() != Kind::Conflict => return Err(error),
                // Gone now, or somebody is in it.
                _ => {}
            }
        }
        Ok(())
    }

    /// Closes the file, if it is one.
    pub async fn close(&self) {
        if let Self::Sqlite(broker) = self {
            broker.close().await;
        }
    }
}

#[cfg(feature = "kafka")]
impl Kafka {
    fn new(config: &kafka::Config) -> Result<Self, Error> {
        Ok(Self {
            config: config.clone(),
            publisher: kafka::Publisher::new(config)?,
            topics: std::sync::Arc::new(kafka::Topics::new(config)?),
        })
    }
}

impl Publisher for Broker {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        match self {
            Self::Sqlite(broker) => broker.publish(batch).await,
            Self::Redis(broker) => broker.publish(batch).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.publisher.publish(batch).await,
        }
    }

    fn system(&self) -> &'static str {
        match self {
            Self::Sqlite(broker) => broker.system(),
            Self::Redis(broker) => broker.system(),
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.publisher.system(),
        }
    }
}

impl Topics for Broker {
    async fn create(&self, topic: &str, partitions: NonZeroU32) -> Result<Created, Error> {
        match self {
            Self::Sqlite(broker) => broker.create(topic, partitions).await,
            Self::Redis(broker) => broker.create(topic, partitions).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.topics.create(topic, partitions).await,
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use bowline::broker::{Polled, Start, Subscriber as _};
    use bowline_test_services::shared;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_group_whose_process_was_killed_is_forgotten_and_one_with_members_is_not() {
        let server = tokio::task::spawn_blocking(shared::redis).await;
        let url = server.expect("no panic").expect("Redis starts").url();
        let redis = broker::Redis::connect(&url).await.expect("a server");
        let redis = redis.with_prefix(&format!("sweep{}", std::process::id()));
        redis.create("t", NonZeroU32::MIN).await.expect("new");
        let short = redis
            .clone()
            .with_session_timeout(Duration::from_millis(200));
        let mut kept = Vec::new();
        for (broker, group) in [(&redis, "live-1"), (&short, "live-2"), (&short, "other")] {
            let mut member = broker.subscriber();
            let topics = ["t".into()];
            member
                .subscribe(group, &topics, Start::Latest)
                .await
                .expect("joined");
            let polled = member.poll(NonZeroUsize::MIN).await.expect("an answer");
            assert!(matches!(polled, Polled::Assigned(_)), "{polled:?}");
            kept.push(member);
        }
        assert_eq!(
            redis.groups("t").await.expect("known"),
            ["live-1", "live-2", "other"]
        );
        let broker = Broker::Redis(Box::new(redis.clone()));
        let swept = async {
            while redis.groups("t").await.expect("known").len() > 2 {
                broker.sweep_groups("t", "live").await.expect("swept");
            }
        };
        tokio::time::timeout(Duration::from_secs(60), swept)
            .await
            .expect("overdue by then");
        assert_eq!(redis.groups("t").await.expect("known"), ["live-1", "other"]);
    }
}
