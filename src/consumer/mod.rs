//! Handles the records of topics in order, and commits only what is done.

mod builder;
mod config;
mod handlers;
mod runtime;
mod status;

use std::fmt;
use std::sync::Arc;

use tower::Service;

use self::runtime::Runtime;
use crate::broker::{Delivery, Start, Subscriber};
use crate::error::{BoxError, Error};
use crate::shutdown::Token;

pub use builder::Builder;
pub use config::Config;
pub use handlers::{Handlers, HandlersFuture, Unknown};
pub use status::{PartitionStatus, Snapshot, Status};

/// Reads topics as one member of a group and hands each record to a handler.
///
/// Built by [`Consumer::builder`], it does nothing until it is [run](Self::run).
pub struct Consumer<S, H> {
    subscriber: S,
    handler: H,
    group: Arc<str>,
    topics: Vec<Arc<str>>,
    start: Start,
    config: Config,
    status: Status,
}

impl<S, H> Consumer<S, H> {
    /// Starts a consumer that gives what `subscriber` reads to clones of `handler`.
    pub fn builder(subscriber: S, handler: H) -> Builder<S, H> {
        Builder::new(subscriber, handler)
    }

    /// A handle that shows what the consumer is doing, for an operations page.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Works until `token` is stopped and everything that ran has drained, or until the subscriber
    /// fails for good.
    ///
    /// # Errors
    ///
    /// The permanent errors of the subscriber. Transient ones and those of the handler are tried
    /// again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped, as in a crash: running handlers are dropped, and what was
    /// not committed comes again to whoever owns the partitions next.
    pub async fn run(self, token: Token) -> Result<(), Error>
    where
        S: Subscriber,
        H: Service<Delivery, Response = ()> + Clone + Send + 'static,
        H::Error: Into<BoxError>,
        H::Future: Send + 'static,
    {
        let _ended = self.status.until_ended();
        Runtime::new(
            self.subscriber,
            self.handler,
            self.group,
            self.config,
            self.status,
        )
        .run(self.topics, self.start, token)
        .await
    }
}

impl<S: fmt::Debug, H> fmt::Debug for Consumer<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("start", &self.start)
            .field("config", &self.config)
            .field("subscriber", &self.subscriber)
            .finish_non_exhaustive()
    }
}
