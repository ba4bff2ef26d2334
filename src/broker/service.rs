use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::{Appended, PublishError, Publisher, Record};

/// What became of a batch, record by record.
pub(super) type Answers = Vec<Result<Appended, PublishError>>;

/// A [`Publisher`] as a `tower::Service`, for layers to stand before.
///
/// A call is a batch, as it is for the publisher, so that the order of keys is the publisher's matter
/// and a layer decides once per batch. The answer is always `Ok`, with one result per record: what became
/// of the batch is for [`PublishOutcome`] to say, which is the classifier for a breaker or a retry here.
/// [`Layered`](super::Layered) makes a publisher of such a service again.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use bowline::breaker::Breaker;
/// use bowline::broker::{Memory, PublishOutcome, PublishService, Record, Topics};
/// use tower::{Layer, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bowline::error::BoxError> {
/// let broker = Memory::new();
/// broker.create("tasks", NonZeroU32::MIN).await?;
/// let breaker = Breaker::builder("broker").build()?;
/// let layer = breaker.layer().with_classifier(PublishOutcome::new());
/// let service = layer.layer(PublishService::new(broker));
/// let answers = service.oneshot(vec![Record::new("tasks", "done")]).await?;
/// assert_eq!(answers[0].as_ref().map(|appended| appended.offset).ok(), Some(Some(0)));
/// # Ok(())
/// # }
/// ```
///
/// [`PublishOutcome`]: super::PublishOutcome
pub struct PublishService<P>(Arc<P>);

/// The answer to a batch, when it has come.
pub struct PublishFuture(Pin<Box<dyn Future<Output = Answers> + Send>>);

impl<P: Publisher> PublishService<P> {
    /// Publishes through `publisher`, which clones share.
    #[must_use]
    pub fn new(publisher: P) -> Self {
        Self(Arc::new(publisher))
    }
}

impl<P: Publisher> Service<Vec<Record>> for PublishService<P> {
    type Response = Answers;
    type Error = PublishError;
    type Future = PublishFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Vec<Record>) -> PublishFuture {
        let publisher = Arc::clone(&self.0);
        PublishFuture(Box::pin(async move { publisher.publish(batch).await }))
    }
}

impl Future for PublishFuture {
    type Output = Result<Answers, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl<P> Clone for PublishService<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: fmt::Debug> fmt::Debug for PublishService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublishService").field(&self.0).finish()
    }
}

impl fmt::Debug for PublishFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishFuture").finish_non_exhaustive()
    }
}
