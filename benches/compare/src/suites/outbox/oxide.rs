use std::sync::Arc;

use async_trait::async_trait;
use bowline::shutdown::Token;
use outbox_core::prelude::{
    Event, IdempotencyStrategy, OutboxConfig, OutboxError, OutboxManagerBuilder, OutboxService,
    Transport,
};
use outbox_kafka::{KafkaKeyExtractable, KafkaTransport};
use outbox_postgres::{PostgresOutbox, PostgresWriter};
use serde::{Deserialize, Serialize};
use sqlx_0_8::PgPool;
use tokio::sync::watch;

use super::KEYS;
use super::ours::PAYLOAD;
use super::sink::Sink;
use super::worker::Outbox;
use crate::report::Result;

/// As its README has it, but for a batch as large as others' and a poll that is no shorter than it can
/// be.
pub(super) struct Oxide {
    pool: PgPool,
}

/// As many bytes as others' payloads are, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Created {
    number: u32,
    noise: String,
}

/// Of the package's two migrations the one that is not about dead letters.
const TABLES: &str = include_str!("oxide.sql");
const BATCH: u32 = 1_000;
/// What is not noise.
const FRAME: usize = 30;

impl Outbox for Oxide {
    async fn create(url: &str) -> Result<Self> {
        let oxide = Self::open(url).await?;
        sqlx_0_8::raw_sql(TABLES).execute(&oxide.pool).await?;
        Ok(oxide)
    }

    async fn open(url: &str) -> Result<Self> {
        let pool = PgPool::connect(url).await?;
        Ok(Self { pool })
    }

    fn insert(&self, first: &str, last: &str) -> String {
        format!(
            "INSERT INTO outbox_events (event_type, payload) SELECT 'task.created', \
             jsonb_build_object('number', n, 'noise', '{}') FROM generate_series({first}, {last}) n",
            noise()
        )
    }

    async fn write(&self, first: u32, last: u32) -> Result<()> {
        let service = OutboxService::new(Arc::new(PostgresWriter), config());
        let mut tx = self.pool.begin().await?;
        for number in first..=last {
            let noise = noise();
            let event = Created { number, noise };
            let written = service.add_event("task.created", event, None, &mut *tx);
            written.await?;
        }
        Ok(tx.commit().await?)
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
    let (stop, stopped) = watch::channel(false);
    let broker = match &sink.kafka {
        Some(topic) => Some(KafkaTransport::new(&topic.name, &topic.config())?),
        None => None,
    };
    let manager = OutboxManagerBuilder::new()
        .storage(Arc::new(PostgresOutbox::new(pool, config())))
        .publisher(Arc::new(Sent { broker, sink }))
        .config(config())
        .shutdown_rx(stopped)
        .build()?;
    let running = tokio::spawn(manager.run());
    token.stopped().await;
    stop.send(true)?;
    Ok(running.await??)
}

fn config() -> Arc<OutboxConfig<Created>> {
    let mut config = OutboxConfig::default();
    config.batch_size = BATCH;
    config.poll_interval_secs = 1;
    config.idempotency_strategy = IdempotencyStrategy::None;
    Arc::new(config)
}

fn noise() -> String {
    "Z".repeat(PAYLOAD - FRAME)
}

/// Notes what was sent.
struct Sent {
    broker: Option<KafkaTransport>,
    sink: Arc<Sink>,
}

#[async_trait]
impl Transport<Created> for Sent {
    async fn publish(&self, event: Event<Created>) -> std::result::Result<(), OutboxError> {
        let number = event.payload.as_value().number;
        if let Some(broker) = &self.broker {
            broker.publish(event).await?;
        }
        self.sink.done(number);
        Ok(())
    }
}

impl KafkaKeyExtractable for Created {
    fn kafka_key(&self) -> Vec<u8> {
        (self.number % KEYS).to_string().into_bytes()
    }
}
