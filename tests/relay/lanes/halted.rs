//! An outbox that is halted, or goes on, while its number of lanes changes.

use std::time::Duration;

use bowline::outbox::{self, Store as _};
use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use super::{fresh, lease, number};
use crate::log::MANY;

/// How many lanes are halted, and how many there are.
async fn halted(pool: &PgPool) -> (i64, i64) {
    let count = "SELECT count(*) FILTER (WHERE halted_at IS NOT NULL AND halted_reason = 'a look'), \
        count(*) FROM bowline_outbox_cursor";
    sqlx::query_as(count).fetch_one(pool).await.unwrap()
}

async fn until_somebody_waits(pool: &PgPool) {
    let waits = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits = async {
        while sqlx::query_scalar::<_, i64>(waits)
            .fetch_one(pool)
            .await
            .unwrap()
            == 0
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), waits)
        .await
        .expect("it waits");
}

/// Brings a change to three lanes so far that it is made with the next read.
async fn about_to_change(pool: &PgPool, store: &outbox::Postgres) -> outbox::Lease {
    let lease = lease(store).await.unwrap();
    let step = "UPDATE bowline_outbox_cursor SET wanted = 3, paused = TRUE, \
            barrier = pg_current_snapshot()::text; \
        INSERT INTO bowline_outbox_position (lane, position, settled, settled_epoch) \
            SELECT lane, barrier, barrier, 0 FROM bowline_outbox_cursor";
    sqlx::raw_sql(step).execute(pool).await.unwrap();
    lease
}

const HALT: &str =
    "UPDATE bowline_outbox_cursor SET halted_at = clock_timestamp(), halted_reason = 'a look'";
const CHANGE: &str = "UPDATE bowline_outbox_cursor SET lanes = 3; \
    INSERT INTO bowline_outbox_cursor (lane, lanes, epoch, halted_at, halted_reason) \
        SELECT number, 3, 0, halted_at, halted_reason \
        FROM bowline_outbox_cursor, generate_series(1, 2) number WHERE lane = 0";

/// The relay has looked before the outbox was halted, and adds the lanes after.
#[tokio::test]
async fn lanes_that_are_added_to_a_halted_outbox_are_halted() {
    let (pool, store) = fresh("halted_before").await;
    let lease = about_to_change(&pool, &store).await;
    let mut halting = pool.begin().await.unwrap();
    sqlx::query(HALT).execute(&mut *halting).await.unwrap();
    let reading = tokio::spawn({
        let (store, lease) = (store.clone(), lease.clone());
        async move { store.read(&lease, None, MANY).await }
    });
    until_somebody_waits(&pool).await;
    halting.commit().await.unwrap();
    drop(reading.await.unwrap());
    assert_eq!(store.lanes().await.unwrap(), number(3));
    assert_eq!(halted(&pool).await, (3, 3));
    assert_eq!(super::lease(&store.lane(2)).await, None);
    store.resume().await.unwrap();
    assert_eq!(halted(&pool).await, (0, 3));
    assert!(super::lease(&store.lane(2)).await.is_some());
}

/// Who halts it waits for who adds lanes, and sees them then; so does who lets it go on.
#[tokio::test]
async fn lanes_that_are_added_while_an_outbox_is_halted_are_halted_too() {
    for (name, goes_on) in [("halted_while", false), ("resumed_while", true)] {
        let (pool, store) = fresh(name).await;
        if goes_on {
            sqlx::query(HALT).execute(&pool).await.unwrap();
        }
        let mut changing = pool.begin().await.unwrap();
        let lock = sqlx::query("SELECT FROM bowline_outbox_cursor FOR UPDATE");
        lock.execute(&mut *changing).await.unwrap();
        sqlx::raw_sql(CHANGE).execute(&mut *changing).await.unwrap();
        let asking = tokio::spawn({
            let store = store.clone();
            async move {
                match goes_on {
                    true => store.resume().await,
                    false => store.halt("a look").await,
                }
            }
        });
        until_somebody_waits(&pool).await;
        changing.commit().await.unwrap();
        asking.await.unwrap().unwrap();
        let expected = if goes_on { (0, 3) } else { (3, 3) };
        assert_eq!(halted(&pool).await, expected, "{name}");
    }
}
