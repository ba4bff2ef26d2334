//! A relay that is killed with SIGKILL at the worst moment: the broker has taken a window, and the outbox
//! does not know it yet. Another relay goes on; what has the broker in the end?
//!
//! Run with `cargo run --example outbox_killed --features sqlite`. It needs no server.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline::broker::Topics as _;
use bowline::broker::{self, Appended, Polled, PublishError, Publisher, Record, Start, Subscriber};
use bowline::error::BoxError;
use bowline::message::Message;
use bowline::outbox::{self, Relay, Store};
use bowline::shutdown::Token;
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use tokio::time::{sleep, timeout};

const EVENTS: usize = 2_000;
const ORDERS: usize = 20;
const WINDOW: NonZeroUsize = NonZeroUsize::new(50).unwrap();
const MIDDLE: usize = 1_050;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // The relay that is killed is this program too, told where.
    if let Some(folder) = std::env::args().nth(1) {
        let relay = relay(Path::new(&folder), MIDDLE).await?;
        return Ok(relay.run(Token::never()).await?);
    }
    let folder = tempfile::tempdir()?;
    let (outbox, broker) = open(folder.path()).await?;
    outbox.migrate().await?;
    broker.create("orders", NonZeroU32::MIN).await?;
    let mut tx = outbox.begin().await?;
    for number in 0..EVENTS {
        let order = format!("order {}", number % ORDERS);
        let message = Message::new("order.moved", number.to_string()).with_key(order);
        outbox.enqueue(&mut tx, &message).await?;
    }
    tx.commit().await?;
    println!("enqueued: {EVENTS} events of {ORDERS} orders");

    let mut child = Command::new(std::env::current_exe()?);
    let mut child = child.arg(folder.path()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("it has none")?;
    BufReader::new(stdout).read_line(&mut String::new())?; // "in the middle"
    child.kill()?; // SIGKILL
    let ended = child.wait()?;
    println!("the relay published {MIDDLE} and was killed: {ended}");
    println!("waiting in the outbox: {}", outbox.status().await?.pending);
    // Another one goes on when the lease of the first has ended.
    let relay = relay(folder.path(), usize::MAX).await?;
    while outbox.status().await?.pending > 0 {
        relay.run_once().await?;
        sleep(Duration::from_millis(10)).await;
    }
    println!("another relay went on, waiting: 0");
    prove(&broker).await
}

/// A broker whose answer gets lost when it has taken so many records.
#[derive(Debug)]
struct Lossy(broker::Sqlite, AtomicUsize);

impl Publisher for Lossy {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let count = batch.len();
        let answer = self.0.publish(batch).await;
        if self.1.fetch_sub(count, Ordering::Relaxed) == count {
            println!("in the middle");
            std::future::pending::<()>().await;
        }
        answer
    }

    fn system(&self) -> &'static str {
        self.0.system()
    }
}

async fn relay(folder: &Path, lost: usize) -> Result<Relay<outbox::Sqlite, Lossy>, BoxError> {
    let (outbox, broker) = open(folder).await?;
    let relay = Relay::builder(outbox, Lossy(broker, AtomicUsize::new(lost))).window(WINDOW);
    Ok(relay.lease(Duration::from_secs(1)).build()?)
}

async fn open(folder: &Path) -> Result<(outbox::Sqlite, broker::Sqlite), BoxError> {
    let file = SqliteConnectOptions::new().filename(folder.join("orders.db"));
    let pool = SqlitePool::connect_with(file.create_if_missing(true)).await?;
    let broker = broker::Sqlite::open(folder.join("broker.db")).await?;
    Ok((outbox::Sqlite::new(pool).with_topic("orders"), broker))
}

/// Compares what was published with what was enqueued.
async fn prove(broker: &broker::Sqlite) -> Result<(), BoxError> {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from("orders")];
    let subscribed = subscriber.subscribe("proof", &topics, Start::Earliest);
    subscribed.await?;
    let (mut seen, mut last, mut in_order) = (HashSet::new(), HashMap::new(), true);
    let (mut copies, many) = (0, EVENTS.try_into()?);
    while seen.len() < EVENTS
        && let Ok(polled) = timeout(Duration::from_secs(20), subscriber.poll(many)).await
    {
        if let Polled::Records(records) = polled? {
            for record in records.into_iter().map(|received| received.record) {
                let number: usize = std::str::from_utf8(record.to_message()?.payload())?.parse()?;
                if seen.insert(number) {
                    in_order &= last.insert(record.key, number) < Some(number);
                } else {
                    copies += 1;
                }
            }
        }
    }
    println!("missing: {}", EVENTS - seen.len());
    println!("each order's events in order: {in_order}");
    println!("copies: {copies}, a window has {WINDOW}");
    Ok(subscriber.close().await?)
}
