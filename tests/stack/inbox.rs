//! Effects in the transaction of their note.

use std::time::Duration;

use bowline::broker::Delivery;
use bowline::error::BoxError;
use tower::ServiceExt;

use crate::{delivery, record};

type Handled<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

macro_rules! suite {
    ($backend:ident, $feature:literal, $inbox:ident, $connection:ident, $pool:expr) => {
        #[cfg(feature = $feature)]
        mod $backend {
            use bowline::idempotency::inbox::$inbox;

            use super::*;

            fn insert(tx: &mut sqlx::$connection, delivery: Delivery) -> Handled<'_> {
                Box::pin(async move {
                    sqlx::query("INSERT INTO effects VALUES (1)")
                        .execute(tx)
                        .await?;
                    match delivery.position().offset {
                        0 => Err("after the effect".into()),
                        _ => Ok(()),
                    }
                })
            }

            async fn effects(pool: &sqlx::Pool<sqlx::$inbox>) -> i64 {
                let count = sqlx::query_scalar("SELECT count(*) FROM effects");
                count.fetch_one(pool).await.unwrap()
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn note_and_effect_are_committed_together_and_once() {
                let (pool, _directory) = $pool.await;
                let table = sqlx::query("CREATE TABLE effects (number INTEGER)");
                table.execute(&pool).await.unwrap();
                let inbox = $inbox::new(pool.clone());
                inbox.migrate().await.unwrap();
                let service = inbox.clone().handler(insert);
                let record = record();
                let failing = service.clone().oneshot(delivery(record.clone(), 0));
                failing.await.unwrap_err();
                assert_eq!(effects(&pool).await, 0);
                let mut calls = tokio::task::JoinSet::new();
                for offset in 1..9 {
                    calls.spawn(service.clone().oneshot(delivery(record.clone(), offset)));
                }
                for result in calls.join_all().await {
                    result.unwrap();
                }
                assert_eq!(effects(&pool).await, 1);
                assert_eq!(inbox.sweep(Duration::from_secs(60)).await.unwrap(), 0);
                assert_eq!(inbox.sweep(Duration::ZERO).await.unwrap(), 1);
            }
        }
    };
}

suite!(sqlite, "sqlite", Sqlite, SqliteConnection, async {
    let directory = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(directory.path().join("test.db"))
        .create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    (pool, directory)
});

suite!(postgres, "postgres", Postgres, PgConnection, async {
    let server = bowline_test_services::shared::postgres().unwrap();
    let url = server.create_database("inbox").unwrap();
    (sqlx::PgPool::connect(&url).await.unwrap(), ())
});
