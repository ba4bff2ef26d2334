//! Lanes whose rows are seen exactly once.

use std::num::NonZeroU32;
use std::time::Duration;

use bowline::broker::{Memory, TopicPartition, Topics as _};
use bowline::error::Error;
use bowline::message::Message;
use bowline::outbox::relay::ExactlyOnce;
use bowline::outbox::{self, Relay, Store as _};
use bowline::shutdown::Shutdown;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Outbox, number, with_lanes};
use crate::log::TOPIC;
use crate::restore::published;

const ROWS: u32 = 40;
/// How long anything may take on a busy machine, and less than a third of a lease.
const PATIENCE: Duration = Duration::from_secs(60);

fn relay(
    whole: &outbox::Postgres,
    lane: u32,
    broker: &Memory,
    shutdown: &Shutdown,
) -> JoinHandle<Result<(), Error>> {
    let place = TopicPartition::new(TOPIC, 0);
    let delivery = ExactlyOnce::new(broker.clone(), format!("lane-{lane}"), place);
    let relay = Relay::builder(whole.lane(lane), delivery)
        .lease(4 * PATIENCE)
        .poll(Duration::from_millis(20));
    tokio::spawn(relay.build().unwrap().run(shutdown.token()))
}

async fn until(pool: &PgPool, what: &'static str) {
    let is_so = async {
        while !sqlx::query_scalar::<_, bool>(what)
            .fetch_one(pool)
            .await
            .unwrap()
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, is_so).await.expect(what);
}

/// The store's position goes on over what is of other lanes, and to another number of lanes; what the relay
/// has said of it at the broker before is still right when it dies before it has settled for the first time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_has_settled_nothing_goes_on_after_its_position_was_moved() {
    let (pool, Outbox { whole, lanes }) = with_lanes("lanes_once", 2).await;
    for (lane, lease) in &lanes {
        lane.release(lease).await.unwrap();
    }
    let broker = Memory::new();
    broker.create(TOPIC, NonZeroU32::MIN).await.unwrap();
    let shutdown = Shutdown::new();
    let dying = relay(&whole, 1, &broker, &shutdown);
    let sleeps = "SELECT coalesce(bool_or(sleeps AND lane = 1), FALSE) FROM bowline_outbox_relay";
    until(&pool, sleeps).await;
    // Far enough for a lane without rows to go on.
    let many = "DO $$ BEGIN FOR i IN 0..10000 LOOP \
        PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    sqlx::raw_sql(many).execute(&pool).await.unwrap();
    let has_moved = "SELECT position <> settled FROM bowline_outbox_position WHERE lane = 1 \
        ORDER BY number DESC LIMIT 1";
    until(&pool, has_moved).await;
    let mut relays = vec![relay(&whole, 0, &broker, &shutdown)];
    whole.set_lanes(number(3)).await.unwrap();
    until(&pool, "SELECT max(lanes) = 3 FROM bowline_outbox_cursor").await;
    relays.push(relay(&whole, 2, &broker, &shutdown));

    let mut lock = pool.begin().await.unwrap();
    let cursor = "SELECT FROM bowline_outbox_cursor WHERE lane = 1 FOR UPDATE";
    sqlx::query(cursor).execute(&mut *lock).await.unwrap();
    let mut tx = whole.begin().await.unwrap();
    for number in 0..ROWS {
        let message = Message::new("suite.event", number.to_string());
        let message = message.with_key(number.to_string());
        whole.enqueue(&mut tx, &message).await.unwrap();
    }
    tx.commit().await.unwrap();
    let settles = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
        AND wait_event_type = 'Lock' AND query LIKE '%bowline_outbox_position%')";
    until(&pool, settles).await;
    dying.abort();
    let ends = "UPDATE bowline_outbox_cursor SET owner = NULL, lease_until = NULL WHERE lane = 1";
    sqlx::query(ends).execute(&mut *lock).await.unwrap();
    lock.commit().await.unwrap();
    assert!(whole.lane(1).status().await.unwrap().pending > 0, "settled");

    relays.push(relay(&whole, 1, &broker, &shutdown));
    let drained = async {
        while whole.status().await.unwrap().pending > 0 {
            assert!(relays.iter().all(|relay| !relay.is_finished()), "refused");
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("they go on");
    shutdown.trigger();
    for relay in relays {
        relay.await.unwrap().unwrap();
    }
    let mut seen = published(&broker).await;
    seen.sort_unstable();
    assert_eq!(seen, Vec::from_iter(0..ROWS));
}
