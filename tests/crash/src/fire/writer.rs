use std::time::Duration;

use bowline::error::BoxError;
use bowline::message::{Message, MessageId};
use bowline::outbox;
use fastrand::Rng;
use sqlx::{Acquire as _, Transaction};
use tokio::time::sleep;

use super::truth::{self, KEYS};
use super::{Ground, LARGE, POISON, TOPICS, UNREADABLE};

type Tx = Transaction<'static, sqlx::Postgres>;

/// Writes rows in transactions that take their time, some of which end in nothing.
#[derive(Debug)]
pub(super) struct Writer {
    outbox: outbox::Postgres,
    /// Where an unreadable row goes.
    topic: String,
    number: u32,
    random: Rng,
    written: u32,
    /// What it has written to be published later, or has tried to.
    later: Vec<MessageId>,
}

impl Writer {
    pub(super) fn new(ground: &Ground, outbox: outbox::Postgres, number: u32, random: Rng) -> Self {
        Self {
            outbox,
            topic: ground.topic(TOPICS[0]),
            number,
            random,
            written: 0,
            later: Vec::new(),
        }
    }

    /// Runs so many transactions; what the server refuses is lost.
    pub(super) async fn run(mut self, transactions: u32) {
        for _ in 0..transactions {
            let pause = self.random.u64(0..100);
            sleep(Duration::from_millis(pause)).await;
            if self.transaction().await.is_err() {
                // The server is away: nobody knows what became of it but the server.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// A transaction that has written with a key of its own, and stays open.
    pub(super) async fn stay_open(mut self) -> Result<Tx, BoxError> {
        let mut tx = self.outbox.begin().await?;
        let message = self.message("held").with_key("held");
        self.outbox.enqueue(&mut tx, &message).await?;
        truth::write_down(&mut tx).await?;
        Ok(tx)
    }

    async fn transaction(&mut self) -> Result<(), BoxError> {
        let mut tx = self.outbox.begin().await?;
        if self.random.bool() {
            let drawn = sqlx::query("SELECT pg_current_xact_id()");
            drawn.execute(&mut *tx).await?;
        }
        if self.random.u8(0..6) == 0 {
            let gap = sqlx::query("SELECT nextval('bowline_outbox_id')");
            gap.execute(&mut *tx).await?;
        }
        let keys = self.random.choose_multiple(0..KEYS, 2);
        let lock = "SELECT 1 FROM things WHERE key = ANY ($1) ORDER BY key FOR UPDATE";
        sqlx::query(lock).bind(&keys).execute(&mut *tx).await?;
        for _ in 0..self.random.u8(1..4) {
            self.write(&mut tx, &keys).await?;
            match self.random.u8(0..8) {
                0..3 => self.write_later(&mut tx, &keys).await?,
                3 => self.take_back(&mut tx).await?,
                _ => {}
            }
            if self.random.bool() {
                let pause = self.random.u64(0..60);
                sleep(Duration::from_millis(pause)).await;
            }
        }
        truth::write_down(&mut tx).await?;
        match self.random.u8(0..5) {
            0 => tx.rollback().await?,
            _ => tx.commit().await?,
        }
        Ok(())
    }

    async fn write(&mut self, tx: &mut Tx, keys: &[i32]) -> Result<(), BoxError> {
        let count = self.random.usize(1..5);
        let messages: Vec<Message> = std::iter::repeat_with(|| {
            let message = self.message("row");
            match self.random.usize(0..keys.len() + 1) {
                key if key < keys.len() => message.with_key(keys[key].to_string()),
                _ => message,
            }
        })
        .take(count)
        .collect();
        match self.random.u8(0..6) {
            0 => {
                let mut inner = tx.begin().await?;
                self.outbox.enqueue_many(&mut inner, &messages).await?;
                inner.rollback().await?;
            }
            1 => {
                let mut inner = tx.begin().await?;
                self.outbox.enqueue_many(&mut inner, &messages).await?;
                inner.commit().await?;
            }
            _ => self.outbox.enqueue_many(tx, &messages).await?,
        }
        if self.random.u8(0..40) == 0 {
            self.unreadable(tx, keys[0]).await?;
        }
        Ok(())
    }

    /// A message for a time that may have come before it is committed, or after all else is done.
    async fn write_later(&mut self, tx: &mut Tx, keys: &[i32]) -> Result<(), BoxError> {
        let topic = self.random.choice(TOPICS).expect("not empty");
        let (name, text) = self.text("later");
        let mut message = Message::new(format!("{topic}.later"), text);
        if self.random.u8(0..4) > 0 {
            message = message.with_key(keys[0].to_string());
        }
        let millis = self.random.f64() * 700.0;
        let at = truth::in_millis(tx, millis).await?;
        self.later.push(message.id().clone());
        self.outbox.enqueue_at(tx, &message, at).await?;
        truth::write_later(tx, message.id(), &name, at).await?;
        Ok(())
    }

    async fn take_back(&mut self, tx: &mut Tx) -> Result<(), BoxError> {
        let Some(id) = self.random.choice(&self.later).cloned() else {
            return Ok(());
        };
        if self.outbox.unschedule(tx, &id).await? {
            truth::taken_back(tx, &id).await?;
        }
        Ok(())
    }

    /// A row that some other program has written, and not well.
    async fn unreadable(&mut self, tx: &mut Tx, key: i32) -> Result<(), BoxError> {
        let name = self.name(UNREADABLE);
        let insert = "INSERT INTO bowline_outbox (event_id, aggregatetype, type, topic, key, headers, \
            payload) VALUES ($1, 'x', 'x', $2, $3, 'x', $4)";
        sqlx::query(insert)
            .bind(&name)
            .bind(&self.topic)
            .bind(key.to_string().as_bytes())
            .bind(name.as_bytes())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    fn message(&mut self, what: &str) -> Message {
        let (_, text) = self.text(what);
        let topic = self.random.choice(TOPICS).expect("not empty");
        Message::new(format!("{topic}.event"), text)
    }

    /// A name, and a payload that begins with it.
    fn text(&mut self, what: &str) -> (String, String) {
        if self.random.u8(0..25) > 0 {
            let name = self.name(what);
            return (name.clone(), name);
        }
        let name = self.name(POISON);
        let text = format!("{name} {}", "x".repeat(LARGE));
        (name, text)
    }

    fn name(&mut self, what: &str) -> String {
        self.written += 1;
        format!("{what}-{}-{}", self.number, self.written)
    }
}
