//! What a service runs on: one process with SQLite files, or PostgreSQL, Kafka and Redis.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bowline::broker::{Publisher, Subscriber, Topics};
use bowline::discovery::Registry;
use bowline::error::Error;
use todo_contracts::topics;

#[cfg(feature = "distributed")]
mod distributed;
mod embedded;

#[cfg(feature = "distributed")]
pub use distributed::Distributed;
pub use embedded::Embedded;

/// The broker and the registry of one system. Clones share them.
pub trait Backend: fmt::Debug + Clone + Send + Sync + 'static {
    /// Publishes events.
    type Publisher: Publisher + Clone;
    /// Reads events.
    type Subscriber: Subscriber;
    /// Creates topics.
    type Topics: Topics;
    /// Knows the services' instances.
    type Registry: Registry;

    /// Publishes events.
    ///
    /// # Errors
    ///
    /// When the broker's configuration is not usable.
    fn publisher(&self) -> Result<Self::Publisher, Error>;

    /// A new member of a consumer group.
    ///
    /// # Errors
    ///
    /// When the broker's configuration is not usable.
    fn subscriber(&self) -> Result<Self::Subscriber, Error>;

    /// Creates topics.
    ///
    /// # Errors
    ///
    /// When the broker's configuration is not usable.
    fn topics(&self) -> Result<Self::Topics, Error>;

    /// Knows the services' instances.
    fn registry(&self) -> &Self::Registry;

    /// The name by which this system's topics, groups and registry entries begin, so that several
    /// systems may share their servers.
    fn system(&self) -> &str;

    /// The full name of the topic `name`.
    fn topic(&self, name: &str) -> Arc<str> {
        format!("{}.{name}", self.system()).into()
    }

    /// The full name of the service `name` in the registry.
    fn service(&self, name: &str) -> String {
        format!("{}.{name}", self.system())
    }

    /// Creates the system's topics where they are missing.
    ///
    /// # Errors
    ///
    /// Those of the broker.
    fn create_topics(&self) -> impl Future<Output = Result<(), Error>> + Send {
        async {
            let admin = self.topics()?;
            for topic in topics::ALL {
                admin.create(&self.topic(topic), topics::PARTITIONS).await?;
            }
            Ok(())
        }
    }
}
