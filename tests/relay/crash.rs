//! A server that crashes, and gives numbers of transactions a second time.

use std::time::Duration;

use bowline::error::Kind;
use bowline::outbox::{self, Lease, Position, Settled, Store as _, Window};
use bowline_test_services::Postgres;
use sqlx::PgPool;
use tokio::task::spawn_blocking;

use super::log::{self, MANY, TOPIC, committed, drain};

const LONG: Duration = Duration::from_secs(600);

/// Draws so many numbers of transactions, all of which are rolled back.
async fn roll_back(pool: &PgPool, numbers: u32) {
    let sql = format!(
        "DO $$ BEGIN FOR i IN 1..{numbers} LOOP PERFORM pg_current_xact_id(); ROLLBACK; \
        END LOOP; END $$"
    );
    let drawn = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await;
    drawn.unwrap();
}

/// The number after the newest one that `position` has seen.
fn xmax(position: &Position) -> i64 {
    let text = position.as_str();
    text.split(':').nth(1).unwrap().parse().unwrap()
}

/// What a relay has read before the crash speaks of numbers that are given to other transactions after it: it
/// would pass over their rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_lives_through_a_crash_passes_over_nothing() {
    let server = spawn_blocking(Postgres::start).await.unwrap().unwrap();
    let server = std::sync::Arc::new(server);
    // Nothing is written before it has to be.
    for sql in [
        "alter system set wal_writer_delay = '10s'",
        "select pg_reload_conf()",
    ] {
        server.query(sql).unwrap();
    }
    let url = server.create_database("crash").unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic(TOPIC);
    store.migrate().await.unwrap();
    let mut given_again = 0;
    for round in 0..4 {
        let before = store.lease("test", LONG).await.unwrap().unwrap();
        committed(&store, "before", "1").await;
        assert_eq!(drain(&store, &before).await, ["before"]);
        roll_back(&pool, 500).await;
        let ahead = store.read(&before, None, MANY).await.unwrap();
        assert_eq!(ahead.entries, [], "they have written nothing");
        let ahead = ahead.next.unwrap();
        let restarted = std::sync::Arc::clone(&server);
        let restarted = spawn_blocking(move || restarted.restart()).await.unwrap();
        restarted.unwrap();

        committed(&store, "after", "1").await;
        let number = "SELECT txid::text::bigint FROM bowline_outbox ORDER BY id DESC LIMIT 1";
        let number: i64 = sqlx::query_scalar(number).fetch_one(&pool).await.unwrap();
        given_again += u32::from(number < xmax(&ahead));
        // The server has seen as many again when the relay looks.
        roll_back(&pool, 1_000).await;
        fenced(&store, &before, &ahead).await;
        // It is the same owner, and yet another lease.
        let again = store.lease("test", LONG).await.unwrap().unwrap();
        assert!(again.epoch > before.epoch, "round {round}");
        fenced(&store, &before, &ahead).await;
        assert_eq!(drain(&store, &again).await, ["after"], "round {round}");
    }
    assert!(given_again > 0, "no number came again");
}

/// Nothing is to be had by a lease from before, neither to read nor to settle.
async fn fenced(store: &outbox::Postgres, lease: &Lease, from: &Position) {
    let window = Window::new(Vec::new(), Some(from.clone()));
    let aside = store.set_aside(lease, &[], MANY).await;
    let idle = store.idle(lease).await;
    for late in [
        store.read(lease, Some(from), MANY).await.map(drop),
        store.settle(lease, &window, &[]).await,
        aside.map(drop),
        idle,
    ] {
        assert_eq!(late.expect_err("the mark is gone").kind(), Kind::Fenced);
    }
}

/// What a crash does to the mark, without one.
#[tokio::test]
async fn a_relay_whose_mark_is_gone_begins_anew() {
    let (pool, store, lease) = log::outbox("crash_mark").await;
    for payload in ["one", "two"] {
        committed(&store, payload, "1").await;
    }
    let one = std::num::NonZeroUsize::MIN;
    let window = store.read(&lease, None, one).await.unwrap();
    let ahead = store
        .read(&lease, window.next.as_ref(), MANY)
        .await
        .unwrap();
    assert_eq!(log::payloads(&ahead), ["two"]);
    let renewed = store.lease("test", LONG).await.unwrap();
    assert_eq!(renewed.as_ref(), Some(&lease));
    let persistence = "SELECT relpersistence::text FROM pg_class \
        WHERE relname = 'bowline_outbox_relay'";
    let persistence: String = sqlx::query_scalar(persistence)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(persistence, "u", "a crash empties it");
    let crash = sqlx::query("DELETE FROM bowline_outbox_relay");
    crash.execute(&pool).await.unwrap();
    fenced(&store, &lease, window.next.as_ref().unwrap()).await;
    // Also what takes more than a statement.
    let parked = [Settled::Parked("why".to_owned())];
    let late = store.settle(&lease, &window, &parked).await;
    assert_eq!(late.expect_err("the mark is gone").kind(), Kind::Fenced);

    let again = store.lease("test", LONG).await.unwrap().unwrap();
    assert_eq!(again.epoch, lease.epoch + 1);
    fenced(&store, &lease, window.next.as_ref().unwrap()).await;
    assert_eq!(drain(&store, &again).await, ["one", "two"]);
    assert_eq!(store.parked(MANY).await.unwrap(), []);
}
