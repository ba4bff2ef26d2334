//! The parts of the log in PostgreSQL, and when they are emptied.

use std::time::Duration;

use bowline::outbox::{self, Lease, Store as _};
use bowline_test_services::shared;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::log::{
    MANY, PART, TOPIC, committed, drain, enqueue, next_id, outbox, rows_of_part, settle,
};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(20);

/// How many blocks of the outbox's tables and indexes were looked at, as far as the sessions of `pool` have told.
async fn blocks(pool: &PgPool) -> i64 {
    let tell = sqlx::query("SELECT pg_stat_force_next_flush()");
    tell.execute(pool).await.unwrap();
    let blocks = "SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint \
        FROM pg_statio_user_tables WHERE relname LIKE 'bowline%'";
    sqlx::query_scalar(blocks).fetch_one(pool).await.unwrap()
}

/// What a read of an empty log looks at, on average.
async fn blocks_of_a_read(pool: &PgPool, store: &outbox::Postgres, lease: &Lease) -> i64 {
    let before = blocks(pool).await;
    for _ in 0..20 {
        assert_eq!(store.read(lease, None, MANY).await.unwrap().entries, []);
    }
    (blocks(pool).await - before) / 20
}

/// While a snapshot is held somewhere, of nothing that was changed an old version can be taken away.
#[tokio::test]
async fn a_snapshot_that_is_held_makes_no_window_dearer() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("tidy_held").unwrap();
    // One session, so that it has told all when it is asked.
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic(TOPIC);
    store.migrate().await.unwrap();
    let lease = store.lease("test", HOUR).await.unwrap().unwrap();
    let other = PgPool::connect(&url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    let hold = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()";
    sqlx::raw_sql(hold).execute(&mut *held).await.unwrap();

    let window = store.read(&lease, None, MANY).await.unwrap();
    settle(&store, &lease, &window).await;
    let at_first = blocks_of_a_read(&pool, &store, &lease).await;
    for round in 0..3 {
        for _ in 0..1_000 {
            settle(&store, &lease, &window).await;
        }
        store.tidy().await.unwrap();
        let positions = sqlx::query_scalar("SELECT count(*) FROM bowline_outbox_position");
        let positions: i64 = positions.fetch_one(&pool).await.unwrap();
        assert_eq!(positions, 1, "the newest is left");
        let analyze = sqlx::query("VACUUM ANALYZE bowline_outbox_position");
        analyze.execute(&pool).await.unwrap();
        let now = blocks_of_a_read(&pool, &store, &lease).await;
        assert!(now <= at_first + 8, "{round}: {now}, at first {at_first}");
    }
    held.commit().await.unwrap();
}

/// Lets the rows of the log be so old.
async fn age(pool: &PgPool, seconds: f64) {
    let aged = sqlx::query(
        "UPDATE bowline_outbox SET created_at = clock_timestamp() - make_interval(secs => $1)",
    );
    aged.bind(seconds).execute(pool).await.unwrap();
}

/// The newest row of a part counts, and nothing else keeps it.
#[tokio::test]
async fn what_is_settled_is_kept_for_its_time() {
    let (pool, store, lease) = outbox("tidy_retention").await;
    let keeping = store.clone().with_retention(HOUR);
    committed(&store, "old", "1").await;
    age(&pool, 3_700.0).await;
    committed(&store, "young", "1").await;
    next_id(&pool, PART).await;
    committed(&store, "newest", "1").await;
    assert_eq!(drain(&store, &lease).await, ["old", "young", "newest"]);
    keeping.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 0).await, 2);
    age(&pool, 3_500.0).await;
    keeping.lane(0).tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 0).await, 2);
    age(&pool, 3_700.0).await;
    keeping.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 0).await, 0);
    assert_eq!(rows_of_part(&pool, 1).await, 1, "the newest id is in it");
}

/// The ring does not wait: rows of the next round stand in the same part, behind those that are kept.
#[tokio::test]
async fn the_log_goes_on_in_a_part_that_is_kept() {
    let (pool, store, lease) = outbox("tidy_round").await;
    let store = store.with_retention(HOUR);
    for round in 0..3 {
        for part in 0..4 {
            next_id(&pool, (round * 4 + part) * PART + 1).await;
            let name = format!("{round}/{part}");
            committed(&store, &name, "1").await;
            store.tidy().await.unwrap();
            assert_eq!(drain(&store, &lease).await, [name]);
        }
    }
    for part in 0..4 {
        assert_eq!(rows_of_part(&pool, part).await, 3);
    }
    age(&pool, 3_700.0).await;
    store.tidy().await.unwrap();
    for part in 0..3 {
        assert_eq!(rows_of_part(&pool, part).await, 0);
    }
    assert_eq!(rows_of_part(&pool, 3).await, 3, "the newest id is in it");
    committed(&store, "last", "1").await;
    assert_eq!(drain(&store, &lease).await, ["last"]);
}

/// Whoever reads an old part for long keeps it, and nobody else waits: not who empties, and not who
/// writes, into the newest part and into that one.
#[tokio::test]
async fn a_long_reader_of_an_old_part_keeps_nobody_from_writing() {
    let (pool, store, lease) = outbox("tidy_reader").await;
    committed(&store, "old", "1").await;
    next_id(&pool, PART).await;
    committed(&store, "new", "1").await;
    assert_eq!(drain(&store, &lease).await, ["old", "new"]);
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM bowline_outbox_0")
        .execute(&mut *reader)
        .await
        .unwrap();
    let tidying = async {
        for _ in 0..10 {
            store.tidy().await.unwrap();
        }
    };
    let writing = async {
        for number in 0..40 {
            // Now and then one comes round the ring, and thinks better of it.
            let comes_round = number % 4 == 0;
            let part = if comes_round { 4 } else { 5 };
            next_id(&pool, part * PART + number + 1).await;
            let mut tx = store.begin().await.unwrap();
            enqueue(&store, &mut tx, number, "1").await;
            if comes_round {
                tx.rollback().await.unwrap();
            } else {
                tx.commit().await.unwrap();
            }
        }
    };
    let both = async { tokio::join!(tidying, writing) };
    timeout(PATIENCE, both).await.expect("nobody waits");
    assert_eq!(rows_of_part(&pool, 0).await, 1, "it is being read");
    reader.rollback().await.unwrap();
    assert_eq!(drain(&store, &lease).await.len(), 30);
    store.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 0).await, 0);
}

/// A part into which somebody has written and not yet committed is not emptied, however settled the
/// rest of it is, nor are the writer and his row harmed by the attempt.
#[tokio::test]
async fn an_open_transaction_keeps_the_part_that_it_wrote_into() {
    let (pool, store, lease) = outbox("tidy_open").await;
    committed(&store, "settled", "1").await;
    let mut open = store.begin().await.unwrap();
    enqueue(&store, &mut open, "open", "2").await;
    next_id(&pool, PART).await;
    committed(&store, "new", "1").await;
    assert_eq!(drain(&store, &lease).await, ["settled", "new"]);
    for _ in 0..3 {
        let tidied = timeout(PATIENCE, store.tidy()).await;
        tidied.expect("nobody is waited for").unwrap();
    }
    enqueue(&store, &mut open, "more", "2").await;
    open.commit().await.unwrap();
    store.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 0).await, 2, "not read yet");
    assert_eq!(drain(&store, &lease).await, ["open", "more"]);
    store.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 0).await, 0);
}
