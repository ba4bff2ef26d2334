use bowline::Error;
use bowline::message::{Message, MessageId};
use bowline::outbox::{Memory, memory};
use bowline::testkit::outbox::{Harness, TOPIC, all};
use chrono::{DateTime, Utc};

struct InMemory(Memory);

impl Harness for InMemory {
    type Store = Memory;
    type Transaction = memory::Transaction;

    const CONCURRENT: bool = true;

    fn store(&self) -> &Memory {
        &self.0
    }

    async fn begin(&self) -> memory::Transaction {
        self.0.begin()
    }

    async fn enqueue(&self, tx: &mut memory::Transaction, message: &Message) -> Result<(), Error> {
        self.0.enqueue(tx, message)
    }

    async fn enqueue_at(
        &self,
        tx: &mut memory::Transaction,
        message: &Message,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.0.enqueue_at(tx, message, at)
    }

    async fn unschedule(
        &self,
        tx: &mut memory::Transaction,
        id: &MessageId,
    ) -> Result<bool, Error> {
        Ok(self.0.unschedule(tx, id))
    }

    async fn commit(&self, tx: memory::Transaction) {
        tx.commit();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    all(async || InMemory(Memory::new().with_topic(TOPIC))).await;
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
macro_rules! in_database {
    ($harness:ident, $outbox:ident, $begin:literal, $concurrent:literal) => {
        struct $harness {
            store: bowline::outbox::$outbox,
            pool: sqlx::Pool<sqlx::$outbox>,
            _directory: Option<tempfile::TempDir>,
        }

        impl $harness {
            async fn new(
                pool: sqlx::Pool<sqlx::$outbox>,
                directory: Option<tempfile::TempDir>,
            ) -> Self {
                let store = bowline::outbox::$outbox::new(pool.clone()).with_topic(TOPIC);
                store.migrate().await.unwrap();
                Self {
                    store,
                    pool,
                    _directory: directory,
                }
            }
        }

        impl Harness for $harness {
            type Store = bowline::outbox::$outbox;
            type Transaction = sqlx::Transaction<'static, sqlx::$outbox>;

            const CONCURRENT: bool = $concurrent;

            fn store(&self) -> &Self::Store {
                &self.store
            }

            async fn begin(&self) -> Self::Transaction {
                self.pool.begin_with($begin).await.unwrap()
            }

            async fn enqueue(
                &self,
                tx: &mut Self::Transaction,
                message: &Message,
            ) -> Result<(), Error> {
                self.store.enqueue(tx, message).await
            }

            async fn enqueue_at(
                &self,
                tx: &mut Self::Transaction,
                message: &Message,
                at: DateTime<Utc>,
            ) -> Result<(), Error> {
                self.store.enqueue_at(tx, message, at).await
            }

            async fn unschedule(
                &self,
                tx: &mut Self::Transaction,
                id: &MessageId,
            ) -> Result<bool, Error> {
                self.store.unschedule(tx, id).await
            }

            async fn commit(&self, tx: Self::Transaction) {
                tx.commit().await.unwrap();
            }
        }
    };
}

#[cfg(feature = "sqlite")]
in_database!(InSqlite, Sqlite, "BEGIN IMMEDIATE", false);

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    all(async || {
        let (pool, directory) = crate::pools::sqlite().await;
        InSqlite::new(pool, Some(directory)).await
    })
    .await;
}

#[cfg(feature = "postgres")]
in_database!(InPostgres, Postgres, "BEGIN", true);

/// Each takes most of the server's connections.
#[cfg(feature = "postgres")]
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let fresh = async || InPostgres::new(crate::pools::postgres("outbox").await, None).await;
    Box::pin(all(fresh)).await;
}

#[cfg(feature = "postgres")]
struct InQueue {
    store: bowline::outbox::PostgresQueue,
    pool: sqlx::PgPool,
}

#[cfg(feature = "postgres")]
impl InQueue {
    async fn new(pool: sqlx::PgPool) -> Self {
        let store = bowline::outbox::Postgres::new(pool.clone());
        let store = store.with_topic(TOPIC).queue();
        store.migrate().await.unwrap();
        Self { store, pool }
    }
}

#[cfg(feature = "postgres")]
impl Harness for InQueue {
    type Store = bowline::outbox::PostgresQueue;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

    const CONCURRENT: bool = true;
    const ORDERED: bool = false;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn begin(&self) -> Self::Transaction {
        self.pool.begin().await.unwrap()
    }

    async fn enqueue(&self, tx: &mut Self::Transaction, message: &Message) -> Result<(), Error> {
        self.store.enqueue(tx, message).await
    }

    async fn enqueue_at(
        &self,
        tx: &mut Self::Transaction,
        message: &Message,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.store.enqueue_at(tx, message, at).await
    }

    async fn unschedule(&self, tx: &mut Self::Transaction, id: &MessageId) -> Result<bool, Error> {
        self.store.unschedule(tx, id).await
    }

    async fn commit(&self, tx: Self::Transaction) {
        tx.commit().await.unwrap();
    }
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_queue() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let fresh = async || InQueue::new(crate::pools::postgres("queue").await).await;
    Box::pin(all(fresh)).await;
}

/// A relay beside its callers needs no connection of the pool for itself.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
async fn a_pool_of_one_is_enough<H: Harness>(harness: &H) {
    use bowline::broker::{self, Topics as _};
    use bowline::outbox::{Relay, Store as _};
    use bowline::shutdown::Shutdown;
    use std::time::Duration;

    let broker = broker::Memory::new();
    let created = broker.create(TOPIC, std::num::NonZeroU32::MIN).await;
    created.unwrap();
    let relay = Relay::builder(harness.store().clone(), broker).build();
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.unwrap().run(shutdown.token()));
    let message = Message::new("suite.case", "payload");
    let work = async {
        for _ in 0..10 {
            let mut tx = harness.begin().await;
            harness.enqueue(&mut tx, &message).await.unwrap();
            harness.commit(tx).await;
            while harness.store().status().await.unwrap().pending > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let worked = tokio::time::timeout(Duration::from_secs(20), work).await;
    worked.expect("nobody waits for a connection");
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_with_a_pool_of_one() {
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
    let (pool, directory) = crate::pools::sqlite_of(pool).await;
    a_pool_of_one_is_enough(&InSqlite::new(pool, Some(directory)).await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_with_a_pool_of_one() {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = crate::pools::postgres_of(pool, "outbox_one").await;
    a_pool_of_one_is_enough(&InPostgres::new(pool, None).await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_queue_with_a_pool_of_one() {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = crate::pools::postgres_of(pool, "queue_one").await;
    a_pool_of_one_is_enough(&InQueue::new(pool).await).await;
}
