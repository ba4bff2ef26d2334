//! The SQL of the migrations, for a tool that runs them.

use bowline::{dlq, idempotency, outbox};

/// It leaves nothing for `migrate` to do, whichever modules share the database.
#[tokio::test]
async fn the_sql_of_the_migrations_makes_what_migrate_makes() {
    let (pool, _directory) = crate::pools::sqlite().await;
    for sql in [
        outbox::Sqlite::migration_sql(),
        dlq::Sqlite::migration_sql(),
        idempotency::Sqlite::migration_sql(),
        idempotency::inbox::Sqlite::migration_sql(),
    ] {
        let run = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        run.execute(&pool).await.unwrap();
    }
    outbox::Sqlite::new(pool.clone()).migrate().await.unwrap();
    dlq::Sqlite::new(pool.clone()).migrate().await.unwrap();
    idempotency::Sqlite::new(pool.clone())
        .migrate()
        .await
        .unwrap();
    let inbox = idempotency::inbox::Sqlite::new(pool.clone());
    inbox.migrate().await.unwrap();
    let modules: Vec<(String, i64)> =
        sqlx::query_as("SELECT module, version FROM bowline_schema ORDER BY module")
            .fetch_all(&pool)
            .await
            .unwrap();
    let expected = ["dlq", "idempotency", "inbox", "outbox"];
    assert_eq!(modules, expected.map(|module| (module.to_owned(), 1)));
}
