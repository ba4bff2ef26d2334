use std::time::Duration;

use futures_util::StreamExt as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::time::{sleep, timeout};

use super::topic::Topic;
use crate::book::{Answer, Book};
use crate::report::Result;

/// Longer than any subject waits for a record.
const STUCK: Duration = Duration::from_secs(60);

/// The driver's own loop, which handles a record before it reads the next.
///
/// # Errors
///
/// The broker is gone, or records are.
pub(super) async fn one_by_one(topic: &Topic, group: &str) -> Result<Answer> {
    let book = Book::new(topic.records, topic.keys)?;
    let consumer = consumer(topic, group)?;
    while !book.is_complete() {
        let message = timeout(STUCK, consumer.recv()).await??;
        book.begin();
        book.done(message.key(), message.payload());
    }
    consumer.commit_consumer_state(CommitMode::Sync)?;
    book.answer()
}

/// So many records at once, in no order; what was read is committed, done or not.
///
/// # Errors
///
/// The broker is gone, or records are.
pub(super) async fn by_hand(topic: &Topic, group: &str, at_once: usize) -> Result<Answer> {
    let book = &Book::new(topic.records, topic.keys)?;
    let consumer = consumer(topic, group)?;
    let mut handled = consumer
        .stream()
        .map(|message| handle(message, book, topic.work))
        .buffer_unordered(at_once);
    while !book.is_complete() {
        timeout(STUCK, handled.next()).await?.transpose()?;
    }
    drop(handled);
    consumer.commit_consumer_state(CommitMode::Sync)?;
    book.answer()
}

async fn handle(
    message: KafkaResult<BorrowedMessage<'_>>,
    book: &Book,
    work: Option<Duration>,
) -> KafkaResult<()> {
    let message = message?;
    book.begin();
    if let Some(work) = work {
        sleep(work).await;
    }
    book.done(message.key(), message.payload());
    Ok(())
}

/// It reads ahead as ours does, so that the difference is what a consumer adds.
fn consumer(topic: &Topic, group: &str) -> Result<StreamConsumer> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &topic.servers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "2048")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    consumer.subscribe(&[&topic.name])?;
    Ok(consumer)
}
