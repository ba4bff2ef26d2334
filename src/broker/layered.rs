use std::fmt;
use std::sync::Arc;

use tower::{Layer, Service, ServiceExt as _};

use super::service::Answers;
use super::{PublishError, PublishService, Publisher, Record, SendStatus};
use crate::error::{Error, Kind};

/// A [`Publisher`] behind layers: what a relay, a redrive or retry topics publish through.
///
/// A batch goes through the layers as a whole, one call each, so a key keeps its order as it does in the
/// publisher itself. When a layer refuses, that is the result of every record: not sent, unless the time
/// was up. A refusal is never taken for the fault of a record, which a relay would park.
///
/// # Order in a stack
///
/// `retry > breaker > bulkhead > publisher`, outermost first, with [`PublishOutcome`] as the classifier of
/// retry and breaker. A relay tries again by itself: it wants the breaker alone. A timeout is only right
/// when it is longer than the publisher's own, as Kafka's `message_timeout` is: what it gives up may still
/// be appended, after what is published next.
///
/// # Example
///
/// ```
/// use std::num::NonZeroU32;
///
/// use bowline::breaker::Breaker;
/// use bowline::broker::{Layered, Memory, PublishOutcome, Topics};
/// use bowline::outbox::{self, Relay};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bowline::error::BoxError> {
/// let broker = Memory::new();
/// broker.create("tasks", NonZeroU32::MIN).await?;
/// let breaker = Breaker::builder("broker").consecutive_failures(3).build()?;
/// let layer = breaker.layer().with_classifier(PublishOutcome::new());
/// let publisher = Layered::new(broker, layer);
/// let relay = Relay::builder(outbox::Memory::new(), publisher).build()?;
/// assert!(relay.run_once().await.is_ok());
/// # Ok(())
/// # }
/// ```
///
/// [`PublishOutcome`]: super::PublishOutcome
#[derive(Clone)]
pub struct Layered<S> {
    service: S,
    system: &'static str,
}

impl<S> Layered<S> {
    /// Publishes through `layer` around `publisher`; a `tower::ServiceBuilder` is a layer too.
    #[must_use]
    pub fn new<P, L>(publisher: P, layer: L) -> Self
    where
        P: Publisher,
        L: Layer<PublishService<P>, Service = S>,
    {
        Self {
            system: publisher.system(),
            service: layer.layer(PublishService::new(publisher)),
        }
    }
}

impl<S> Publisher for Layered<S>
where
    S: Service<Vec<Record>, Response = Answers, Error = PublishError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    async fn publish(&self, batch: Vec<Record>) -> Answers {
        let count = batch.len();
        let service = self.service.clone();
        match service.oneshot(batch).await {
            Ok(answers) => answers,
            Err(error) => each(error.status(), error.into_error(), count),
        }
    }

    fn system(&self) -> &'static str {
        self.system
    }
}

/// The results of `count` records whose batch was refused.
fn each(status: SendStatus, refusal: Error, count: usize) -> Answers {
    let kind = match refusal.kind() {
        // That is said of a record, and would put it aside.
        Kind::Corrupt | Kind::Invalid | Kind::TooLarge => Kind::Other,
        kind => kind,
    };
    let backend = refusal.backend();
    let refusal = Arc::new(refusal);
    let one = || {
        let error = Error::new(kind, backend, "publish").with_source(Arc::clone(&refusal));
        Err(match status {
            SendStatus::NotSent => PublishError::not_sent(error),
            SendStatus::Unknown => PublishError::unknown(error),
        })
    };
    (0..count).map(|_| one()).collect()
}

impl<S> fmt::Debug for Layered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered")
            .field("system", &self.system)
            .finish_non_exhaustive()
    }
}
