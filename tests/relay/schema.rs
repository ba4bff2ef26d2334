//! Tables that are not as a relay expects them.

use std::process::{Command, Stdio};
use std::time::Duration;

use bowline::broker::Memory;
use bowline::error::{Chain, Error, Kind};
use bowline::outbox::{self, Relay, Store as _};
use bowline::shutdown::Shutdown;
use bowline_test_services::{Postgres, shared};
use sqlx::PgPool;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::log::{self, MANY};

async fn execute(pool: &PgPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}

/// Why a relay ends that finds the tables like this.
async fn ends(store: &outbox::Postgres) -> Error {
    let relay = Relay::builder(store.clone(), Memory::new())
        .build()
        .unwrap();
    let ended = timeout(Duration::from_secs(60), relay.run(Shutdown::new().token()));
    ended.await.expect("it does not wait").unwrap_err()
}

async fn released(name: &'static str) -> (PgPool, outbox::Postgres) {
    let (pool, store, lease) = log::outbox(name).await;
    store.release(&lease).await.unwrap();
    (pool, store)
}

/// Sessions that draw ids ahead, or ids that come round again, would turn the order around.
#[tokio::test]
async fn a_sequence_that_gives_no_order_is_refused() {
    let (pool, store) = released("schema_sequence").await;
    for (sql, said) in [
        (
            "ALTER SEQUENCE bowline_outbox_id CACHE 20",
            "sequence bowline_outbox_id has CACHE 20, INCREMENT 1, NO CYCLE; allowed: CACHE 1",
        ),
        (
            "ALTER SEQUENCE bowline_outbox_id CACHE 1 CYCLE",
            "has CACHE 1, INCREMENT 1, CYCLE; allowed",
        ),
        (
            "ALTER SEQUENCE bowline_outbox_id NO CYCLE INCREMENT -1 MINVALUE -9 MAXVALUE 9",
            "has CACHE 1, INCREMENT -1, NO CYCLE; allowed",
        ),
    ] {
        execute(&pool, sql).await;
        for refused in [store.migrate().await.unwrap_err(), ends(&store).await] {
            assert_eq!(refused.kind(), Kind::Schema);
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }
    execute(
        &pool,
        "ALTER SEQUENCE bowline_outbox_id INCREMENT 1 NO MAXVALUE",
    )
    .await;
    store.migrate().await.unwrap();
    let lease = store.lease("test", Duration::from_secs(60)).await.unwrap();
    assert!(
        lease.is_some(),
        "one that was refused keeps the lease from nobody"
    );
}

/// What a newer build has changed under a relay ends it when it next takes the lease.
#[tokio::test]
async fn a_relay_ends_when_the_tables_are_of_another_version() {
    let (pool, store) = released("schema_version").await;
    for (sql, version) in [
        ("UPDATE bowline_schema SET version = 7", 7),
        ("DELETE FROM bowline_schema", 0),
    ] {
        execute(&pool, sql).await;
        let ended = ends(&store).await;
        assert_eq!(ended.kind(), Kind::Schema);
        let both = format!("schema of outbox has version {version}, this build works with 1");
        assert!(ended.to_string().contains(&both), "{ended}");
    }
}

#[tokio::test]
async fn a_relay_ends_without_its_tables_or_its_rights() {
    let (pool, store) = released("schema_missing").await;
    execute(
        &pool,
        "DO $$ BEGIN CREATE ROLE nobody_special LOGIN; \
        EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    )
    .await;
    let options = (*pool.connect_options()).clone().username("nobody_special");
    let stranger = PgPool::connect_with(options).await.unwrap();
    let stranger = outbox::Postgres::new(stranger);
    let ended = ends(&stranger).await;
    assert_eq!(ended.kind(), Kind::Unauthorized);
    let said = Chain(&ended).to_string();
    assert!(said.contains("bowline_outbox_cursor"), "{said}");
    assert_eq!(
        stranger.migrate().await.unwrap_err().kind(),
        Kind::Unauthorized
    );

    execute(&pool, "DROP TABLE bowline_outbox_cursor").await;
    let ended = ends(&store).await;
    assert_eq!(ended.kind(), Kind::Schema);
    let said = Chain(&ended).to_string();
    assert!(said.contains("bowline_outbox_cursor"), "{said}");
}

/// The SQL for a tool that runs migrations leaves nothing for `migrate` to do.
#[tokio::test]
async fn the_sql_of_the_migrations_makes_what_migrate_makes() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("schema_sql").unwrap();
    let modules = [
        outbox::Postgres::migration_sql(),
        bowline::dlq::Postgres::migration_sql(),
        bowline::idempotency::Postgres::migration_sql(),
        bowline::idempotency::inbox::Postgres::migration_sql(),
    ];
    for sql in modules {
        let url = url.clone();
        let run = spawn_blocking(move || {
            use std::io::Write as _;
            let mut psql = Command::new(Postgres::program("psql").unwrap())
                .args(["--no-psqlrc", "--quiet", "--single-transaction"])
                .args(["--set=ON_ERROR_STOP=1", &url])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut input = psql.stdin.take().unwrap();
            input.write_all(sql.as_bytes()).unwrap();
            drop(input);
            assert!(psql.wait().unwrap().success());
        });
        run.await.unwrap();
    }
    let pool = PgPool::connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic(log::TOPIC);
    store.migrate().await.unwrap();
    bowline::dlq::Postgres::new(pool.clone())
        .migrate()
        .await
        .unwrap();
    let keys = bowline::idempotency::Postgres::new(pool.clone());
    keys.migrate().await.unwrap();
    let inbox = bowline::idempotency::inbox::Postgres::new(pool);
    inbox.migrate().await.unwrap();
    log::committed(&store, "row", "1").await;
    let lease = store.lease("test", Duration::from_secs(60)).await.unwrap();
    let window = store.read(&lease.unwrap(), None, MANY).await.unwrap();
    assert_eq!(log::payloads(&window), ["row"]);
}
