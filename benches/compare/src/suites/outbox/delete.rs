use std::sync::Arc;

use bowline::shutdown::Token;
use rdkafka::ClientContext;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use sqlx::{PgPool, Row as _};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::cursor::{self, POLL};
use super::sink::{Sink, Topic, number};
use super::worker::Outbox;
use crate::report::Result;

/// What most write by hand: rows are deleted in the transaction in which they are published. It keeps
/// no order once two of it run.
pub(super) struct Delete {
    pool: PgPool,
}

const DELETE: &str = "WITH next AS MATERIALIZED (SELECT id FROM raw ORDER BY id LIMIT 1000 \
    FOR UPDATE SKIP LOCKED) DELETE FROM raw USING next WHERE raw.id = next.id \
    RETURNING raw.id, topic, key, headers, payload, created_at";

impl Outbox for Delete {
    async fn create(url: &str) -> Result<Self> {
        let delete = Self::open(url).await?;
        sqlx::raw_sql(cursor::TABLE).execute(&delete.pool).await?;
        Ok(delete)
    }

    async fn open(url: &str) -> Result<Self> {
        let pool = PgPool::connect(url).await?;
        Ok(Self { pool })
    }

    fn insert(&self, first: &str, last: &str) -> String {
        cursor::insert(first, last)
    }

    async fn write(&self, first: u32, last: u32) -> Result<()> {
        let insert = cursor::insert(&first.to_string(), &last.to_string());
        let insert = sqlx::AssertSqlSafe(insert);
        Ok(sqlx::raw_sql(insert).execute(&self.pool).await.map(drop)?)
    }

    fn relay(
        &self,
        sink: Arc<Sink>,
        token: Token,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        relay(self.pool.clone(), sink, token)
    }
}

async fn relay(pool: PgPool, sink: Arc<Sink>, token: Token) -> Result<()> {
    let broker = sink.kafka.clone().map(|topic| Broker::new(topic, &sink));
    let broker = broker.transpose()?;
    while !token.is_stopped() {
        let mut tx = pool.begin().await?;
        let rows = sqlx::query(DELETE).fetch_all(&mut *tx).await?;
        if rows.is_empty() {
            tx.rollback().await?;
            sleep(POLL).await;
            continue;
        }
        match &broker {
            None => {
                for row in &rows {
                    let _headers: Vec<u8> = row.try_get(3)?;
                    sink.done(number(Some(row.try_get(4)?)));
                }
            }
            Some(broker) => {
                for row in &rows {
                    let record = BaseRecord::to(&broker.topic)
                        .key(row.try_get::<&[u8], _>(2)?)
                        .payload(row.try_get::<&[u8], _>(4)?);
                    broker.producer.send(record).map_err(|(error, _)| error)?;
                }
                // `flush` sleeps far beyond the last answer.
                let all = broker.answers.acquire_many(u32::try_from(rows.len())?);
                all.await?.forget();
            }
        }
        tx.commit().await?;
    }
    Ok(())
}

struct Broker {
    producer: ThreadedProducer<Acks>,
    topic: String,
    /// One for each record that the broker has.
    answers: Arc<Semaphore>,
}

/// Counts what the broker has.
struct Acks(Arc<Sink>, Arc<Semaphore>);

impl Broker {
    fn new(topic: Topic, sink: &Arc<Sink>) -> Result<Self> {
        let answers = Arc::new(Semaphore::new(0));
        let acks = Acks(Arc::clone(sink), Arc::clone(&answers));
        Ok(Self {
            producer: topic.config().create_with_context(acks)?,
            topic: topic.name,
            answers,
        })
    }
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = result {
            self.0.done(number(message.payload()));
            self.1.add_permits(1);
        }
    }
}
