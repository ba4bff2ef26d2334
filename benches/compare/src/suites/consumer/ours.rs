use std::num::NonZeroUsize;
use std::sync::Arc;

use bowline::broker::Delivery;
use bowline::broker::kafka::{Config, Subscriber};
use bowline::consumer::{Config as Defaults, Consumer, Order};
use bowline::error::BoxError;
use bowline::shutdown::Shutdown;
use tokio::time::sleep;
use tower::service_fn;

use super::topic::Topic;
use crate::book::{Answer, Book};
use crate::report::Result;

/// The consumer as it is by default, but for how many records are at once with its handler, and for a
/// queue that has enough keys for them.
///
/// # Errors
///
/// The broker is gone, or records are.
pub(super) async fn run(
    topic: &Topic,
    group: &str,
    order: Order,
    at_once: usize,
) -> Result<Answer> {
    let book = Arc::new(Book::new(topic.records, topic.keys)?);
    let work = topic.work;
    let handler = {
        let book = Arc::clone(&book);
        service_fn(move |delivery: Delivery| {
            let book = Arc::clone(&book);
            async move {
                book.begin();
                if let Some(work) = work {
                    sleep(work).await;
                }
                let record = delivery.record();
                book.done(record.key.as_deref(), record.payload.as_deref());
                Ok::<_, BoxError>(())
            }
        })
    };
    let queue = Defaults::DEFAULT_QUEUE.get().max(4 * at_once);
    let number = |number| NonZeroUsize::new(number).ok_or("zero");
    let subscriber = Subscriber::new(&Config::new(topic.servers.as_str()))?;
    let consumer = Consumer::builder(subscriber, handler)
        .group(group)
        .topics([topic.name.as_str()])
        .with_order(order)
        .with_concurrency(number(at_once)?)
        .with_queue(number(queue)?)
        .build()?;
    let shutdown = Shutdown::new();
    let running = tokio::spawn(consumer.run(shutdown.token()));
    book.completed().await?;
    shutdown.trigger();
    running.await??;
    book.answer()
}
