use std::sync::Arc;

use backbone_outbox::runner::{RelayConfig, run};
use backbone_outbox::{OutboxRecord, outbox};
use bowline::clock::{Clock as _, SystemClock};
use bowline::shutdown::Token;
use serde_json::json;
use sqlx_0_8::PgPool;
use uuid::Uuid;

use super::KEYS;
use super::ours::PAYLOAD;
use super::sink::Sink;
use super::worker::Outbox;
use crate::report::Result;

/// As it is by default, but for a batch as large as others'.
pub(super) struct Backbone {
    pool: PgPool,
}

const SCHEMA: &str = "tasks";
const BATCH: i64 = 1_000;
/// What is not noise.
const FRAME: usize = 30;

impl Outbox for Backbone {
    async fn create(url: &str) -> Result<Self> {
        let backbone = Self::open(url).await?;
        outbox::migrate(&backbone.pool, SCHEMA).await?;
        Ok(backbone)
    }

    async fn open(url: &str) -> Result<Self> {
        let pool = PgPool::connect(url).await?;
        Ok(Self { pool })
    }

    fn insert(&self, first: &str, last: &str) -> String {
        format!(
            "INSERT INTO {SCHEMA}.outbox_events (id, event_type, aggregate_type, aggregate_id, \
             company_id, payload, occurred_at) SELECT gen_random_uuid(), 'task.created', 'task', \
             (n % {KEYS})::text, gen_random_uuid(), jsonb_build_object('number', n, 'noise', '{}'), \
             clock_timestamp() FROM generate_series({first}, {last}) n",
            noise()
        )
    }

    async fn write(&self, first: u32, last: u32) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        for number in first..=last {
            let key = (number % KEYS).to_string();
            let payload = json!({"number": number, "noise": noise()});
            let company = Uuid::from_u128(1);
            let event = OutboxRecord::new(
                "task.created",
                "task",
                key,
                company,
                payload,
                SystemClock.now(),
            );
            outbox::stage(&mut *tx, SCHEMA, &event).await?;
        }
        Ok(tx.commit().await?)
    }

    fn relay(
        &self,
        sink: Arc<Sink>,
        token: Token,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let pool = self.pool.clone();
        async move {
            let mut config = RelayConfig::new(SCHEMA);
            config.batch = BATCH;
            let publish = |event: OutboxRecord| {
                let number = event.payload.get("number").and_then(|n| n.as_u64());
                let number = number.and_then(|n| u32::try_from(n).ok());
                sink.done(number.unwrap_or(u32::MAX));
                async { Ok(()) }
            };
            Ok(run(pool, config, publish, token.stopped()).await?)
        }
    }
}

fn noise() -> String {
    "Z".repeat(PAYLOAD - FRAME)
}
