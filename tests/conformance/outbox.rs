use bowline::Error;
use bowline::message::Message;
use bowline::outbox::{EntryId, Memory, memory};
use bowline::testkit::outbox::{Harness, TOPIC, all};

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

    async fn enqueue(
        &self,
        tx: &mut memory::Transaction,
        message: &Message,
    ) -> Result<EntryId, Error> {
        self.0.enqueue(tx, message)
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
            ) -> Result<EntryId, Error> {
                self.store.enqueue(tx, message).await
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

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    all(async || InPostgres::new(crate::pools::postgres("outbox").await, None).await).await;
}
