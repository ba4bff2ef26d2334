//! A change and its event in one transaction on SQLite, relayed to a broker in another file.
//!
//! Run with `cargo run --example outbox --features sqlite`. It needs no server.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::num::NonZeroU32;
use std::sync::Arc;

use bowline::broker::{self, Polled, Start, Subscriber, Topics};
use bowline::error::BoxError;
use bowline::message::Message;
use bowline::outbox::{self, Relay, Store};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let file = SqliteConnectOptions::new().filename(folder.path().join("tasks.db"));
    let pool = SqlitePool::connect_with(file.create_if_missing(true)).await?;
    let table = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL)";
    sqlx::query(table).execute(&pool).await?;
    let outbox = outbox::Sqlite::new(pool.clone()).with_topic("tasks");
    outbox.migrate().await?;
    let broker = broker::Sqlite::open(folder.path().join("broker.db")).await?;
    broker.create("tasks", NonZeroU32::MIN).await?;

    create(&outbox, "write the letter", End::Commit).await?;
    create(&outbox, "post it unwritten", End::RollBack).await?;
    create(&outbox, "post the letter", End::Commit).await?;
    println!("waiting in the outbox: {}", outbox.status().await?.pending);

    // A service lets it run beside its work; once is enough here.
    let relay = Relay::builder(outbox.clone(), broker.clone()).build()?;
    println!("published: {}", relay.run_once().await?.published);
    println!("waiting in the outbox: {}", outbox.status().await?.pending);

    let mut subscriber = broker.subscriber();
    let topics = [Arc::from("tasks")];
    subscriber
        .subscribe("readers", &topics, Start::Earliest)
        .await?;
    let mut left = 2;
    while left > 0 {
        if let Polled::Records(records) = subscriber.poll(100.try_into()?).await? {
            for received in records {
                let message = received.record.to_message()?;
                println!(
                    "{}: {}",
                    message.kind(),
                    String::from_utf8_lossy(message.payload())
                );
                left -= 1;
            }
        }
    }
    Ok(subscriber.close().await?)
}

#[derive(PartialEq)]
enum End {
    Commit,
    RollBack,
}

async fn create(outbox: &outbox::Sqlite, title: &str, end: End) -> Result<(), BoxError> {
    let mut tx = outbox.begin().await?;
    let insert = sqlx::query("INSERT INTO tasks (title) VALUES ($1)").bind(title);
    insert.execute(&mut *tx).await?;
    let message = Message::new("task.created", title.to_owned()).with_key("letters");
    outbox.enqueue(&mut tx, &message).await?;
    if end == End::Commit {
        tx.commit().await?;
    }
    Ok(())
}
