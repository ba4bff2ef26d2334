//! Parked rows in PostgreSQL, when an operator and a relay come at the same time.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bowline::message::Message;
use bowline::outbox::{self, Lease, Settled, Store as _, Window};
use bowline_test_services::shared;
use sqlx::PgPool;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();
const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever retries a row waits for this lock before it commits.
const GATE: &str = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END'; \
    CREATE CONSTRAINT TRIGGER gate AFTER UPDATE ON bowline_outbox_aside \
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
    WHEN (OLD.parked_at IS NOT NULL AND NEW.parked_at IS NULL) EXECUTE FUNCTION gate();";

async fn enqueue(store: &outbox::Postgres, payload: &str, key: String) {
    let mut tx = store.begin().await.unwrap();
    let message = Message::new("suite.event", payload.to_owned()).with_key(key);
    store.enqueue(&mut tx, &message).await.unwrap();
    tx.commit().await.unwrap();
}

/// A change to two lanes, of which the second is relayed at once.
const CHANGE: &str = "SELECT FROM bowline_outbox_cursor FOR UPDATE; \
    UPDATE bowline_outbox_cursor SET lanes = 2; \
    INSERT INTO bowline_outbox_cursor (lane, lanes, owner, epoch, lease_until, engine) \
        VALUES (1, 2, 'test', 7, 'infinity', 'log'); \
    INSERT INTO bowline_outbox_relay (lane, epoch, sleeps) VALUES (1, 7, FALSE); \
    INSERT INTO bowline_outbox_position (lane, position, settled, settled_epoch) \
        SELECT 1, position, settled, 0 FROM bowline_outbox_position ORDER BY number DESC LIMIT 1";

/// How many sessions of this database wait for a lock, of this kind or of any.
async fn waiting(pool: &PgPool, lock: &str) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND wait_event_type = 'Lock' AND wait_event LIKE $1";
    let count = sqlx::query_scalar(count).bind(lock);
    count.fetch_one(pool).await.unwrap()
}

async fn until_waiting(pool: &PgPool, sessions: i64) {
    until_waiting_for(pool, "%", sessions).await;
}

async fn until_waiting_for(pool: &PgPool, lock: &str, sessions: i64) {
    let wait = async {
        while waiting(pool, lock).await < sessions {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it waits");
}

/// Gives `store` two lanes.
async fn with_two_lanes(store: &outbox::Postgres) {
    let lease = store.lease("first", PATIENCE).await.unwrap().unwrap();
    let two = NonZeroU32::new(2).unwrap();
    store.set_lanes(two).await.unwrap();
    let changed = async {
        while store.lanes().await.unwrap() != two {
            drop(store.read(&lease, None, MANY).await);
        }
    };
    timeout(PATIENCE, changed).await.expect("nothing waits");
    store.release(&lease).await.unwrap();
}

/// A row that a relay puts behind a parked one goes on with it, also when an operator is just about to have
/// retried that one: neither sees what the other does, and one has to wait.
#[tokio::test]
async fn a_row_that_is_set_aside_while_its_key_is_retried_is_not_left_behind() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("retried_meanwhile").unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic("events");
    store.migrate().await.unwrap();
    retry_meanwhile(&pool, &store, &store).await;
}

/// The same of a key of another lane than the first.
#[tokio::test]
async fn it_is_not_left_behind_in_any_lane() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("retried_in_a_lane").unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic("events");
    store.migrate().await.unwrap();
    with_two_lanes(&store).await;
    retry_meanwhile(&pool, &store, &store.lane(1)).await;
}

/// The same of a lane that is added while the operator waits.
#[tokio::test]
async fn it_is_not_left_behind_in_a_lane_that_is_added_meanwhile() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("retried_in_a_new_lane").unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic("events");
    store.migrate().await.unwrap();
    let first = store.lease("first", PATIENCE).await.unwrap().unwrap();
    for key in 0..10 {
        enqueue(&store, "bad", key.to_string()).await;
    }
    let window = store.read(&first, None, MANY).await.unwrap();
    let parked = vec![Settled::Parked("why".to_owned()); window.entries.len()];
    store.settle(&first, &window, &parked).await.unwrap();
    let of_second = "SELECT id, convert_from(key, 'UTF8') FROM bowline_outbox_aside \
        WHERE (hashtextextended(encode(key, 'hex') COLLATE \"C\", 0) & 9223372036854775807) % 2 = 1";
    let (id, key): (i64, String) = sqlx::query_as(of_second).fetch_one(&pool).await.unwrap();
    enqueue(&store, "next", key).await;

    sqlx::raw_sql(GATE).execute(&pool).await.unwrap();
    let mut gate = pool.begin().await.unwrap();
    let close = sqlx::query("SELECT pg_advisory_xact_lock(7)");
    close.execute(&mut *gate).await.unwrap();
    let mut change = pool.begin().await.unwrap();
    sqlx::raw_sql(CHANGE).execute(&mut *change).await.unwrap();
    let retrying = tokio::spawn({
        let store = store.clone();
        async move { store.retry(outbox::EntryId::new(id)).await }
    });
    until_waiting(&pool, 1).await;
    change.commit().await.unwrap();
    until_waiting_for(&pool, "advisory", 1).await;
    let (second, lease) = (store.lane(1), Lease::new("test", 7));
    let window: Window = second.read(&lease, None, MANY).await.unwrap();
    assert_eq!(window.entries.len(), 1);
    let settling = tokio::spawn({
        let (second, lease) = (second.clone(), lease.clone());
        async move { second.settle(&lease, &window, &[Settled::Aside]).await }
    });
    until_waiting(&pool, 2).await;
    gate.commit().await.unwrap();
    settling.await.unwrap().unwrap();
    retrying.await.unwrap().unwrap();
    let window = second.set_aside(&lease, &[], MANY).await.unwrap();
    assert_eq!(window.entries.len(), 2, "{window:?}");
}

async fn retry_meanwhile(pool: &PgPool, operator: &outbox::Postgres, relay: &outbox::Postgres) {
    let lease = relay.lease("test", PATIENCE).await.unwrap().unwrap();
    for key in 0..10 {
        enqueue(relay, "bad", key.to_string()).await;
    }
    let window = relay.read(&lease, None, MANY).await.unwrap();
    let mut settled = vec![Settled::Published; window.entries.len()];
    settled[0] = Settled::Parked("why".to_owned());
    relay.settle(&lease, &window, &settled).await.unwrap();
    let key = window.entries[0].record.key.clone().unwrap();
    let key = String::from_utf8(key.to_vec()).unwrap();
    enqueue(relay, "next", key).await;
    let window = relay.read(&lease, None, MANY).await.unwrap();
    assert_eq!(window.entries.len(), 1);

    sqlx::raw_sql(GATE).execute(pool).await.unwrap();
    let mut gate = pool.begin().await.unwrap();
    let close = sqlx::query("SELECT pg_advisory_xact_lock(7)");
    close.execute(&mut *gate).await.unwrap();
    let id = operator.parked(MANY).await.unwrap()[0].entry.id;
    let retrying = tokio::spawn({
        let operator = operator.clone();
        async move { operator.retry(id).await }
    });
    until_waiting(pool, 1).await;
    let settling = tokio::spawn({
        let (relay, lease) = (relay.clone(), lease.clone());
        async move { relay.settle(&lease, &window, &[Settled::Aside]).await }
    });
    until_waiting(pool, 2).await;
    gate.commit().await.unwrap();
    settling.await.unwrap().unwrap();
    retrying.await.unwrap().unwrap();

    let window = relay.set_aside(&lease, &[], MANY).await.unwrap();
    assert_eq!(window.entries.len(), 2, "{window:?}");
}
