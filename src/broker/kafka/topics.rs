use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Config;
use super::context::Context;
use super::error::{BACKEND, code_kind, config, error, interrupted, unanswered};
use super::metadata::{self, ASK};
use crate::broker::{self, Created};
use crate::error::{Error, Kind};

/// Kafka's name for the broker's own default.
const BROKER_DEFAULT: i32 = -1;
/// How often to ask whether a new topic is known everywhere.
const LOOK: Duration = Duration::from_millis(20);
/// How often at most.
const LOOKS: u32 = 250;

/// Creates topics in Kafka.
pub struct Topics {
    admin: Arc<AdminClient<Context>>,
    replication: i32,
}

impl Topics {
    /// An admin client; the connection is made in the background.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the configuration is not usable.
    pub fn new(settings: &Config) -> Result<Self, Error> {
        settings.check().map_err(config)?;
        let admin = settings
            .finish(settings.client())
            .create_with_context(Context::default())
            .map_err(error("configure"))?;
        let replication = settings.replication.map_or(BROKER_DEFAULT, i32::from);
        Ok(Self {
            admin: Arc::new(admin),
            replication,
        })
    }

    async fn partitions(&self, topic: &str) -> Result<NonZeroU32, Error> {
        let (admin, topic) = (Arc::clone(&self.admin), topic.to_owned());
        spawn_blocking(move || metadata::partitions(admin.inner(), &topic))
            .await
            .map_err(interrupted("create topic"))?
    }

    async fn existing(&self, topic: &str, partitions: NonZeroU32) -> Result<Created, Error> {
        let found = self.known(topic).await?;
        if found == partitions {
            return Ok(Created::Existed);
        }
        Err(
            Error::new(Kind::Conflict, BACKEND, "create topic").with_detail(format!(
                "topic {topic} has {found} partitions, not {partitions}"
            )),
        )
    }

    /// Waits until the topic is known where the next client will ask; says how many partitions it has.
    async fn known(&self, topic: &str) -> Result<NonZeroU32, Error> {
        for _ in 0..LOOKS {
            match self.partitions(topic).await {
                Ok(partitions) => return Ok(partitions),
                Err(error) if error.kind() == Kind::NotFound || error.is_transient() => {
                    sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Kind::Timeout, BACKEND, "create topic")
            .with_detail(format!("topic {topic} was created but is not known yet")))
    }
}

impl broker::Topics for Topics {
    async fn create(&self, topic: &str, partitions: NonZeroU32) -> Result<Created, Error> {
        let count = i32::try_from(partitions.get()).map_err(|source| {
            Error::new(Kind::Invalid, BACKEND, "create topic")
                .with_detail(format!("{partitions} partitions"))
                .with_source(source)
        })?;
        let new = [NewTopic::new(
            topic,
            count,
            TopicReplication::Fixed(self.replication),
        )];
        let options = AdminOptions::new()
            .operation_timeout(Some(ASK))
            .request_timeout(Some(ASK));
        let results = self.admin.create_topics(&new, &options).await;
        match results.map_err(unanswered("create topic"))?.pop() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                self.existing(topic, partitions).await
            }
            Some(Err((_, code))) => Err(Error::new(code_kind(code), BACKEND, "create topic")
                .with_detail(format!("topic {topic:?}: {code}"))),
            _ => self.known(topic).await.map(|_| Created::New),
        }
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kafka::Topics")
    }
}
