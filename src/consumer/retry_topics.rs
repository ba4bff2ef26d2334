use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower::{Layer, Service};

use crate::broker::{Delivery, Publisher, RETRY_ATTEMPT, RETRY_DUE, RETRY_ORIGIN, Record, Topics};
use crate::classify::{AnyError, Classify, Failure, Outcome};
use crate::clock::{Clock, SystemClock};
use crate::config::{ConfigError, Problems, duration};
use crate::error::{BoxError, Chain, Error};

/// Topics in which records of a group wait for their next attempt, so that they hold up nobody.
///
/// A record that fails is published to the first of them and is then done where it was; one that fails
/// there goes to the second, and so on. When it fails in the last, the error goes on to whoever is
/// outside, most often a [`DeadLetterLayer`](crate::dlq::DeadLetterLayer), which knows the record by
/// its [origin](Delivery::origin).
///
/// The later records of its key go on without it: where their order matters more than going on, leave
/// the retry to the consumer, which holds up the key.
///
/// # Examples
///
/// ```
/// # tokio_test::block_on(async {
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use bowline::broker::{Delivery, Memory, Topics};
/// use bowline::consumer::{Consumer, RetryTopics};
/// use bowline::dlq::{self, DeadLetterLayer};
/// use bowline::error::BoxError;
/// use tower::{ServiceBuilder, service_fn};
///
/// let broker = Memory::new();
/// broker.create("tasks", NonZeroU32::MIN).await?;
/// let delays = [10, 60, 600].map(Duration::from_secs);
/// let retries = RetryTopics::new("mail", delays)?;
/// retries.create(&broker, "tasks", NonZeroU32::MIN).await?;
/// assert_eq!(&*retries.names("tasks")[0], "tasks-mail-retry-1");
///
/// let send = service_fn(|_: Delivery| async { Ok::<_, BoxError>(()) });
/// let handler = ServiceBuilder::new()
///     .layer(DeadLetterLayer::new(dlq::Memory::new()))
///     .layer(retries.layer(broker.clone()))
///     .service(send);
/// let mut topics = retries.names("tasks");
/// topics.push("tasks".into());
/// let consumer = Consumer::builder(broker.subscriber(), handler)
///     .group("mail")
///     .topics(topics)
///     .build()?;
/// # drop(consumer);
/// # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct RetryTopics {
    group: Arc<str>,
    delays: Arc<[Duration]>,
}

impl RetryTopics {
    /// The most topics, and with them attempts after the first.
    pub const MAX_TOPICS: usize = 20;
    /// The longest delay: records wait in the topic, which has to keep them for longer than that.
    pub const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// One topic for each of `delays`, in this order, for the group `group`.
    ///
    /// # Errors
    ///
    /// All problems: no group, none or more than [`MAX_TOPICS`](Self::MAX_TOPICS) delays, one that is
    /// zero or longer than [`MAX_DELAY`](Self::MAX_DELAY).
    pub fn new(
        group: impl Into<Arc<str>>,
        delays: impl IntoIterator<Item = Duration>,
    ) -> Result<Self, ConfigError> {
        let (group, delays) = (group.into(), delays.into_iter().collect::<Arc<[_]>>());
        let mut problems = Problems::default();
        problems.check(!group.is_empty(), "group", "\"\"", "a name");
        problems.check(
            (1..=Self::MAX_TOPICS).contains(&delays.len()),
            "delays",
            format!("{} of them", delays.len()),
            format!("1 to {}", Self::MAX_TOPICS),
        );
        let allowed = format!("1ms to {}", duration::format(Self::MAX_DELAY));
        for delay in &*delays {
            let fine = (Duration::from_millis(1)..=Self::MAX_DELAY).contains(delay);
            problems.check(fine, "delays", duration::format(*delay), allowed.clone());
        }
        problems.into_result()?;
        Ok(Self { group, delays })
    }

    /// The names of the retry topics of `topic`, in order: to be created, and to be read by the group
    /// beside `topic` itself.
    #[must_use]
    pub fn names(&self, topic: &str) -> Vec<Arc<str>> {
        let numbers = 0..self.delays.len();
        numbers.map(|index| self.name(topic, index)).collect()
    }

    /// Creates the retry topics of `topic` where they are missing.
    ///
    /// # Errors
    ///
    /// Those of `topics`.
    ///
    /// # Cancel safety
    ///
    /// When dropped, some may have been created; doing it again creates the others.
    pub async fn create(
        &self,
        topics: &impl Topics,
        topic: &str,
        partitions: NonZeroU32,
    ) -> Result<(), Error> {
        for name in self.names(topic) {
            topics.create(&name, partitions).await?;
        }
        Ok(())
    }

    /// A layer that publishes what failed through `publisher`, judged by [`AnyError`]: what is transient
    /// is tried again later, every other error goes on. A refusal by a pattern goes on too: it says
    /// nothing about the record, and the consumer waits for as long as the pattern asks.
    #[must_use]
    pub fn layer<P: Publisher>(&self, publisher: P) -> RetryTopicsLayer<P> {
        RetryTopicsLayer {
            topics: self.clone(),
            publisher: Arc::new(publisher),
            classifier: AnyError,
        }
    }

    fn name(&self, topic: &str, index: usize) -> Arc<str> {
        format!("{topic}-{}-retry-{}", self.group, index + 1).into()
    }

    /// The copy of what failed with `failure`; `None` after the last attempt.
    fn copy(&self, delivery: &Delivery, failure: Failure) -> Option<Record> {
        let before = &delivery.record().headers;
        let attempt = before
            .text(RETRY_ATTEMPT)
            .and_then(|text| text.parse().ok());
        let attempt: usize = attempt.unwrap_or(0);
        let asked = match failure {
            Failure::Throttled { retry_after } => retry_after.unwrap_or_default(),
            Failure::Transient | Failure::Permanent => Duration::ZERO,
        };
        let delay = self.delays.get(attempt)?.max(&asked);
        // Rounded up: never too early.
        let delay = i64::try_from(delay.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX);
        let due = SystemClock.now().timestamp_millis().saturating_add(1);
        let origin = delivery.origin();
        let mut record = delivery.record().clone();
        record.topic = self.name(&origin.partition.topic, attempt);
        // The same number as before, if the topics have as many: the key decides it again.
        record.partition = None;
        record.headers.set(RETRY_ATTEMPT, (attempt + 1).to_string());
        record
            .headers
            .set(RETRY_DUE, due.saturating_add(delay).to_string());
        record.headers.set(RETRY_ORIGIN, origin.to_string());
        Some(record)
    }
}

/// The layer of [`RetryTopics`].
#[derive(Debug)]
pub struct RetryTopicsLayer<P, C = AnyError> {
    topics: RetryTopics,
    publisher: Arc<P>,
    classifier: C,
}

impl<P, C> RetryTopicsLayer<P, C> {
    /// Judges errors by `classifier`.
    #[must_use]
    pub fn with_classifier<D>(self, classifier: D) -> RetryTopicsLayer<P, D> {
        RetryTopicsLayer {
            topics: self.topics,
            publisher: self.publisher,
            classifier,
        }
    }
}

impl<P, C: Clone> Clone for RetryTopicsLayer<P, C> {
    fn clone(&self) -> Self {
        Self {
            topics: self.topics.clone(),
            publisher: Arc::clone(&self.publisher),
            classifier: self.classifier.clone(),
        }
    }
}

impl<P, C: Clone, S> Layer<S> for RetryTopicsLayer<P, C> {
    type Service = RetryTopicsService<S, P, C>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryTopicsService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of [`RetryTopics`].
#[derive(Debug)]
pub struct RetryTopicsService<S, P, C = AnyError> {
    inner: S,
    layer: RetryTopicsLayer<P, C>,
}

impl<S: Clone, P, C: Clone> Clone for RetryTopicsService<S, P, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<S, P, C> Service<Delivery> for RetryTopicsService<S, P, C>
where
    S: Service<Delivery, Response = ()>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    P: Publisher,
    C: Classify<(), BoxError> + Clone + Send + 'static,
{
    type Response = ();
    type Error = BoxError;
    type Future = RetryTopicsFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, delivery: Delivery) -> RetryTopicsFuture {
        let handled = self.inner.call(delivery.clone());
        let layer = self.layer.clone();
        RetryTopicsFuture(Box::pin(async move {
            let Err(error) = handled.await.map_err(Into::into) else {
                return Ok(());
            };
            let copy = match layer.classifier.classify(Err(&error)) {
                Outcome::Failure(failure) if failure != Failure::Permanent => {
                    layer.topics.copy(&delivery, failure)
                }
                _ => None,
            };
            let Some(copy) = copy else { return Err(error) };
            tracing::debug!(
                group = %layer.topics.group,
                position = %delivery.position(),
                topic = %copy.topic,
                error = %Chain(&*error),
                "waits in a retry topic"
            );
            // What may have been sent, and is sent again, is handled twice and lost never.
            match layer.publisher.publish(vec![copy]).await.pop() {
                Some(Err(failed)) => Err(failed.into_error().into()),
                _ => Ok(()),
            }
        }))
    }
}

/// The future of [`RetryTopicsService`]. Boxed: the handler beside it waits for I/O.
#[must_use = "futures do nothing unless polled"]
pub struct RetryTopicsFuture(Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>);

impl Future for RetryTopicsFuture {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for RetryTopicsFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryTopicsFuture").finish_non_exhaustive()
    }
}
