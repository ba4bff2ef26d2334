use std::time::Duration;

use bowline::error::BoxError;
use bowline::message::Message;
use bowline::outbox;
use fastrand::Rng;
use sqlx::{Acquire as _, PgPool, Transaction};
use tokio::time::sleep;

use super::{LARGE, POISON, TOPICS, UNREADABLE};

type Tx = Transaction<'static, sqlx::Postgres>;

const KEYS: i32 = 4;
/// Which rows a transaction has written, as a part of it: it knows what was committed, whatever its writer
/// hears.
const WRITE_DOWN: &str = "INSERT INTO truth SELECT id, topic, convert_from(key, 'UTF8'), \
    split_part(convert_from(payload, 'UTF8'), ' ', 1) FROM bowline_outbox WHERE txid = pg_current_xact_id()";

/// Writes rows in transactions that take their time, some of which end in nothing.
#[derive(Debug)]
pub(super) struct Writer {
    outbox: outbox::Postgres,
    number: u32,
    random: Rng,
    written: u32,
}

/// The tables beside the outbox: what was committed, and a row for each key that a transaction locks before
/// it writes with it.
pub(super) async fn tables(pool: &PgPool) -> Result<(), sqlx::Error> {
    let tables = "CREATE TABLE truth (id bigint, topic text, key text, name text); \
        CREATE TABLE things (key int PRIMARY KEY);";
    sqlx::raw_sql(tables).execute(pool).await?;
    let keys = sqlx::query("INSERT INTO things SELECT generate_series(0, $1)");
    keys.bind(KEYS).execute(pool).await.map(drop)
}

impl Writer {
    pub(super) fn new(outbox: outbox::Postgres, number: u32, random: Rng) -> Self {
        Self {
            outbox,
            number,
            random,
            written: 0,
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
        sqlx::query(WRITE_DOWN).execute(&mut *tx).await?;
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
            if self.random.bool() {
                let pause = self.random.u64(0..60);
                sleep(Duration::from_millis(pause)).await;
            }
        }
        sqlx::query(WRITE_DOWN).execute(&mut *tx).await?;
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

    /// A row that some other program has written, and not well.
    async fn unreadable(&mut self, tx: &mut Tx, key: i32) -> Result<(), BoxError> {
        let name = self.name(UNREADABLE);
        let insert = "INSERT INTO bowline_outbox (event_id, aggregatetype, type, topic, key, headers, \
            payload) VALUES ($1, 'x', 'x', $2, $3, 'x', $4)";
        sqlx::query(insert)
            .bind(&name)
            .bind(TOPICS[0])
            .bind(key.to_string().as_bytes())
            .bind(name.as_bytes())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    fn message(&mut self, what: &str) -> Message {
        let name = match self.random.u8(0..25) {
            0 => self.name(POISON) + " " + &"x".repeat(LARGE),
            _ => self.name(what),
        };
        let topic = self.random.choice(TOPICS).expect("not empty");
        Message::new(format!("{topic}.event"), name)
    }

    fn name(&mut self, what: &str) -> String {
        self.written += 1;
        format!("{what}-{}-{}", self.number, self.written)
    }
}
