use std::sync::Arc;

use bowline::broker::kafka;
use bowline::broker::{Appended, PublishError, Publisher, Record, TopicPartition};
use bowline::message::Message;
use bowline::outbox::{Postgres, Relay};
use bowline::shutdown::Token;
use sqlx::PgPool;

use super::KEYS;
use super::sink::{Sink, number};
use super::worker::Outbox;
use crate::report::Result;

/// As it is by default.
pub(super) struct Ours {
    outbox: Postgres,
    /// The headers of an event, as they are stored, in hexadecimal digits.
    headers: String,
}

type Answered = std::result::Result<Appended, PublishError>;

const TOPIC: &str = "events";

/// What every event carries.
pub(super) const PAYLOAD: usize = 200;

impl Outbox for Ours {
    async fn create(url: &str) -> Result<Self> {
        let pool = PgPool::connect(url).await?;
        Postgres::new(pool).migrate().await?;
        Self::open(url).await
    }

    async fn open(url: &str) -> Result<Self> {
        let outbox = Postgres::new(PgPool::connect(url).await?).with_topic(TOPIC);
        let mut tx = outbox.begin().await?;
        outbox.enqueue(&mut tx, &message(0)).await?;
        let headers = "SELECT encode(headers, 'hex') FROM bowline_outbox ORDER BY id DESC LIMIT 1";
        let headers = sqlx::query_scalar(headers).fetch_one(&mut *tx).await?;
        tx.rollback().await?;
        Ok(Self { outbox, headers })
    }

    fn insert(&self, first: &str, last: &str) -> String {
        // The headers that `enqueue` writes.
        format!(
            "INSERT INTO bowline_outbox (event_id, aggregatetype, aggregateid, type, topic, key, \
             headers, payload) SELECT gen_random_uuid()::text, 'task', (n % {KEYS})::text, \
             'task.created', '{TOPIC}', convert_to((n % {KEYS})::text, 'UTF8'), \
             decode('{}', 'hex'), {} FROM generate_series({first}, {last}) n",
            self.headers,
            payload_sql(),
        )
    }

    async fn write(&self, first: u32, last: u32) -> Result<()> {
        let messages: Vec<_> = (first..=last).map(message).collect();
        let mut tx = self.outbox.begin().await?;
        self.outbox.enqueue_many(&mut tx, &messages).await?;
        Ok(tx.commit().await?)
    }

    fn relay(
        &self,
        sink: Arc<Sink>,
        token: Token,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let outbox = self.outbox.clone();
        async move {
            let Some(topic) = sink.kafka.clone() else {
                let relay = Relay::builder(outbox, Nobody(sink)).build()?;
                return Ok(Box::pin(relay.run(token)).await?);
            };
            let publisher = kafka::Publisher::new(&kafka::Config::new(topic.servers))?;
            let broker = Broker {
                publisher,
                topic: topic.name.into(),
                sink,
            };
            let relay = Relay::builder(outbox, broker).build()?;
            Ok(Box::pin(relay.run(token)).await?)
        }
    }
}

fn message(number: u32) -> Message {
    let mut payload = vec![0x5a; PAYLOAD];
    payload[..4].copy_from_slice(&number.to_le_bytes());
    Message::new("task.created", payload).with_key((number % KEYS).to_string())
}

/// The payload of event `n`.
pub(super) fn payload_sql() -> String {
    let noise = "5a".repeat(PAYLOAD);
    let bytes = [0, 8, 16, 24];
    bytes.iter().enumerate().fold(
        format!("decode('{noise}', 'hex')"),
        |payload, (place, shift)| format!("set_byte({payload}, {place}, (n >> {shift}) & 255)"),
    )
}

/// Takes all.
#[derive(Debug)]
struct Nobody(Arc<Sink>);

impl Publisher for Nobody {
    fn system(&self) -> &'static str {
        "nobody"
    }

    async fn publish(&self, batch: Vec<Record>) -> Vec<Answered> {
        let taken = batch.into_iter().map(|record| {
            self.0.done(number(record.payload.as_deref()));
            Ok(Appended::within(TopicPartition::new(record.topic, 0)))
        });
        taken.collect()
    }
}

/// Notes what the broker has.
#[derive(Debug)]
struct Broker {
    publisher: kafka::Publisher,
    topic: Arc<str>,
    sink: Arc<Sink>,
}

impl Publisher for Broker {
    fn system(&self) -> &'static str {
        self.publisher.system()
    }

    async fn publish(&self, mut batch: Vec<Record>) -> Vec<Answered> {
        let mut numbers = Vec::with_capacity(batch.len());
        for record in &mut batch {
            numbers.push(number(record.payload.as_deref()));
            record.topic = Arc::clone(&self.topic);
        }
        let results = self.publisher.publish(batch).await;
        for (number, result) in numbers.into_iter().zip(&results) {
            if result.is_ok() {
                self.sink.done(number);
            }
        }
        results
    }
}
