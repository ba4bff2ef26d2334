//! A consumer group on the in-memory broker: typed events, in order by key, committed when done.
//!
//! Run with `cargo run --example consumer`. It needs no server.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bowline::broker::{Delivery, Memory, Publisher, Record, Topics};
use bowline::consumer::{Consumer, Handlers, Unknown};
use bowline::error::BoxError;
use bowline::message::{Event, Key, Message};
use bowline::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[derive(Serialize, Deserialize)]
struct TaskCompleted {
    task: u32,
}

impl Event for TaskCompleted {
    const TYPE: &'static str = "task.completed";

    fn key(&self) -> Option<Key> {
        Some(Key::from(self.task.to_string()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let broker = Memory::new();
    broker.create("tasks", NonZeroU32::MIN).await?;

    publish(&broker, 1..=3).await?;
    println!("the first consumer:");
    work(&broker, 3).await?;

    publish(&broker, 4..=5).await?;
    println!("the second consumer of the group goes on after it:");
    work(&broker, 2).await?;
    Ok(())
}

/// Runs a consumer until it has handled so many `tasks`, and stops it.
async fn work(broker: &Memory, tasks: u32) -> Result<(), BoxError> {
    let finished = Arc::new(Notify::new());
    let notify = Arc::clone(&finished);
    let failed = Arc::new(AtomicBool::new(false));
    let handled = Arc::new(AtomicU32::new(0));
    let handlers = Handlers::new()
        .require_user()
        .on_unknown(Unknown::Ignore)
        .on(move |event: TaskCompleted, delivery: Delivery| {
            let (notify, failed) = (Arc::clone(&notify), Arc::clone(&failed));
            let handled = Arc::clone(&handled);
            async move {
                // The second task fails once: it is tried again, and the third, another key, goes on.
                if event.task == 2 && !failed.swap(true, Ordering::Relaxed) {
                    println!("  task 2: mail server is away");
                    return Err(BoxError::from("mail server is away"));
                }
                let user = delivery.try_message()?.user().unwrap_or_default();
                println!("  task {}: mail sent to {user}", event.task);
                if handled.fetch_add(1, Ordering::Relaxed) + 1 == tasks {
                    notify.notify_one();
                }
                Ok(())
            }
        });

    let consumer = Consumer::builder(broker.subscriber(), handlers)
        .group("notifications")
        .topics(["tasks"])
        .build()?;
    let status = consumer.status();
    let shutdown = Shutdown::new();
    let running = tokio::spawn(consumer.run(shutdown.token()));
    finished.notified().await;
    shutdown.trigger();
    running.await??;

    let snapshot = status.snapshot();
    println!(
        "  {} records done, {} failed attempts",
        snapshot.done, snapshot.failed_attempts
    );
    Ok(())
}

/// Publishes one event per task, each followed by one of a type that nobody here knows.
async fn publish(broker: &Memory, tasks: impl Iterator<Item = u32>) -> Result<(), BoxError> {
    let mut batch = Vec::new();
    for task in tasks {
        let viewed = Message::new("task.viewed", "{}");
        batch.push(Record::from_message("tasks", &viewed)?);
        let completed = Message::event(&TaskCompleted { task })?.with_user("ada");
        batch.push(Record::from_message("tasks", &completed)?);
    }
    for result in broker.publish(batch).await {
        result?;
    }
    Ok(())
}
