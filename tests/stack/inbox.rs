use std::time::Duration;

use bowline::broker::Delivery;
use bowline::error::BoxError;
use bowline::idempotency::inbox::Sqlite;
use sqlx::{SqliteConnection, SqlitePool};
use tower::ServiceExt;

use crate::{delivery, record};

type Handled<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

fn insert(tx: &mut SqliteConnection, delivery: Delivery) -> Handled<'_> {
    Box::pin(async move {
        sqlx::query("INSERT INTO effects DEFAULT VALUES")
            .execute(tx)
            .await?;
        match delivery.position().offset {
            0 => Err("after the effect".into()),
            _ => Ok(()),
        }
    })
}

async fn effects(pool: &SqlitePool) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM effects");
    count.fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn note_and_effect_are_committed_together_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(directory.path().join("test.db"))
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE effects (id INTEGER PRIMARY KEY)")
        .execute(&pool)
        .await
        .unwrap();
    let inbox = Sqlite::new(pool.clone());
    inbox.migrate().await.unwrap();
    let service = inbox.clone().handler(insert);
    let record = record();
    service
        .clone()
        .oneshot(delivery(record.clone(), 0))
        .await
        .unwrap_err();
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
