//! What a service runs on: one process with SQLite files, or PostgreSQL and Redis; and on which broker.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bowline::broker::Topics;
use bowline::discovery::Registry;
use bowline::error::Error;
use todo_contracts::topics;

#[cfg(feature = "distributed")]
mod distributed;
mod embedded;

#[cfg(feature = "distributed")]
pub use distributed::Distributed;
pub use embedded::Embedded;

use crate::broker::Broker;
use crate::settings::unusable;

/// The broker and the registry of one system. Clones share them.
pub trait Backend: fmt::Debug + Clone + Send + Sync + 'static {
    /// Knows the services' instances.
    type Registry: Registry;

    /// Carries events.
    fn broker(&self) -> &Broker;

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
            for topic in topics::ALL {
                let topic = self.topic(topic);
                let created = self.broker().create(&topic, topics::PARTITIONS);
                created
                    .await
                    .map_err(|error| unusable("TODO_BROKER", error))?;
            }
            Ok(())
        }
    }
}
