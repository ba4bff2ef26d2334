//! A record that the handler cannot take becomes a dead letter; once the handler is mended, the
//! letter is sent back to its topic and handled once.
//!
//! Run with `cargo run --example dead_letters`. It needs no server. A service keeps letters and keys
//! in its database, with the `postgres` or `sqlite` feature.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::num::NonZeroU32;
use std::sync::Arc;

use bowline::broker::{self, Delivery, Publisher, REDRIVE_COUNT, Record, Topics};
use bowline::consumer::Consumer;
use bowline::dlq::{self, DeadLetterLayer, Filter, Redrive, Store};
use bowline::error::BoxError;
use bowline::idempotency::{self, IdempotencyLayer};
use bowline::message::Message;
use bowline::shutdown::Shutdown;
use tokio::sync::Notify;
use tower::{ServiceBuilder, service_fn};

#[derive(Clone, Default)]
struct Stores {
    broker: broker::Memory,
    letters: dlq::Memory,
    keys: idempotency::Memory,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let stores = Stores::default();
    let Stores {
        broker, letters, ..
    } = &stores;
    broker.create("mails", NonZeroU32::MIN).await?;
    let mail = |to: &'static str| Message::new("mail.wanted", to);
    let odd = mail("Ada <ada@example.org>");
    publish(broker, [odd.clone(), mail("bob@example.org")]).await?;

    println!("a handler that knows plain addresses only:");
    work(&stores, "bob@example.org", |to| !to.contains('<')).await?;
    let open = letters.query(&Filter::open()).await?;
    for letter in &open {
        let (offset, reason) = (letter.position.offset, &letter.reason.message);
        println!("  letter of offset {offset}: {reason}");
    }

    println!("redriven to a handler that is mended:");
    let redrive = Redrive::new(letters.clone(), broker.clone());
    for letter in &open {
        let copy = redrive.one(letter.id).await?.offset.ok_or("no offset")?;
        let offset = letter.position.offset;
        println!("  letter of offset {offset}: copy at offset {copy}");
    }
    // As if a crash between sending the copy and noting it had it sent once more.
    publish(broker, [odd, mail("eve@example.org")]).await?;
    work(&stores, "eve@example.org", |_| true).await?;

    for letter in letters.query(&Filter::all()).await? {
        let (offset, state) = (letter.position.offset, letter.state.as_str());
        println!("letter of offset {offset}: {state}");
    }
    Ok(())
}

/// Sends mails until the one to `last` is sent. `takes` says which addresses the handler knows.
async fn work(
    stores: &Stores,
    last: &'static str,
    takes: fn(&str) -> bool,
) -> Result<(), BoxError> {
    let finished = Arc::new(Notify::new());
    let notify = Arc::clone(&finished);
    let handler = service_fn(move |delivery: Delivery| {
        let sent = send(&delivery, takes);
        if sent.as_ref().is_ok_and(|to| to == last) {
            notify.notify_one();
        }
        std::future::ready(sent.map(drop))
    });
    // Letters outside of keys: a handler that fails gives its key back, then its letter is stored.
    let service = ServiceBuilder::new()
        .layer(DeadLetterLayer::new(stores.letters.clone()))
        .layer(IdempotencyLayer::new(stores.keys.clone()))
        .service(handler);
    let consumer = Consumer::builder(stores.broker.subscriber(), service)
        .group("mail")
        .topics(["mails"])
        .build()?;
    let shutdown = Shutdown::new();
    let running = tokio::spawn(consumer.run(shutdown.token()));
    finished.notified().await;
    shutdown.trigger();
    running.await??;
    Ok(())
}

fn send(delivery: &Delivery, takes: fn(&str) -> bool) -> Result<String, BoxError> {
    let to = String::from_utf8(delivery.try_message()?.payload().to_vec())?;
    if !takes(&to) {
        return Err(format!("no address: {to}").into());
    }
    let redrive = delivery.record().headers.text(REDRIVE_COUNT);
    let note = redrive.map_or("", |_| ", redriven");
    println!("  mail to {to}{note}");
    Ok(to)
}

async fn publish(broker: &broker::Memory, messages: [Message; 2]) -> Result<(), BoxError> {
    let records = messages.map(|message| Record::from_message("mails", &message));
    let records = records.into_iter().collect::<Result<Vec<_>, _>>()?;
    for sent in broker.publish(records).await {
        sent?;
    }
    Ok(())
}
