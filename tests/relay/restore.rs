//! An outbox that was dumped, and loaded into another database.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Memory, Polled, Start, Subscriber as _, TopicPartition, Topics as _};
use bowline::error::Kind;
use bowline::message::Message;
use bowline::outbox::relay::{Config, ExactlyOnce};
use bowline::outbox::{self, Relay, Settled, Store as _};
use bowline::shutdown::Shutdown;
use bowline::testkit::faults::{Fault, Faults};
use bowline_test_services::{Postgres, shared};
use sqlx::PgPool;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::log::{MANY, PART, TOPIC, drain, next_id};

const KEYS: u32 = 5;
const LONG: Duration = Duration::from_secs(600);

/// Who writes and relays: no superuser.
const ROLE: &str = "service";

/// A database of `server` that belongs to [`ROLE`], who may ask for the cluster or not.
async fn database(server: &Postgres, name: &str, may_ask: bool) -> String {
    let url = server.create_database(name).unwrap();
    let admin = PgPool::connect(&url).await.unwrap();
    let grant = if may_ask { "GRANT" } else { "REVOKE" };
    let to = if may_ask { "TO" } else { "FROM" };
    let (_, database) = url.rsplit_once('/').unwrap();
    let sql = format!(
        "DO $$ BEGIN CREATE ROLE {ROLE} LOGIN; \
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$; \
        ALTER DATABASE \"{database}\" OWNER TO {ROLE}; \
        {grant} EXECUTE ON FUNCTION pg_control_system() {to} PUBLIC"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&admin)
        .await
        .unwrap();
    admin.close().await;
    let (user, rest) = url.split_once('@').unwrap();
    let (scheme, _) = user.split_once("://").unwrap();
    format!("{scheme}://{ROLE}@{rest}")
}

/// Draws so many transaction numbers.
async fn age(pool: &PgPool, numbers: u32) {
    let sql = format!(
        "DO $$ BEGIN FOR i IN 1..{numbers} LOOP PERFORM pg_current_xact_id(); COMMIT; \
        END LOOP; END $$"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(pool)
        .await
        .unwrap();
}

/// Loads a dump of one database into another.
async fn copy(from: &str, to: &str) {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copied = spawn_blocking(move || {
        let mut dump = Command::new(Postgres::program("pg_dump").unwrap())
            .args(["--no-owner", "--no-privileges", &from])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let loaded = Command::new(Postgres::program("psql").unwrap())
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", &to])
            .stdin(dump.stdout.take().unwrap())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(dump.wait().unwrap().success() && loaded.success());
    });
    copied.await.unwrap();
}

async fn connect(url: &str) -> (PgPool, outbox::Postgres) {
    let pool = PgPool::connect(url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic(TOPIC);
    (pool, store)
}

async fn enqueue(store: &outbox::Postgres, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let message = Message::new("suite.event", number.to_string());
        let message = message.with_key((number % KEYS).to_string());
        let mut tx = store.begin().await.unwrap();
        store.enqueue(&mut tx, &message).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Relays, each lane by itself, until so many wait behind a parked row and no others.
async fn relay(store: &outbox::Postgres, lanes: u32, left: u64) -> Vec<u32> {
    let broker = Memory::new();
    broker.create(TOPIC, NonZeroU32::MIN).await.unwrap();
    let shutdown = Shutdown::new();
    let relays: Vec<_> = (0..lanes)
        .map(|lane| {
            let relay = Relay::builder(store.lane(lane), broker.clone())
                .window(NonZeroUsize::new(7).unwrap())
                .lease(Config::LEASE_MIN)
                .poll(Duration::from_millis(20))
                .build()
                .unwrap();
            tokio::spawn(relay.run(shutdown.token()))
        })
        .collect();
    let done = async {
        while store.lanes().await.unwrap().get() != lanes
            || store.status().await.unwrap().pending != left
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), done)
        .await
        .expect("they go on");
    shutdown.trigger();
    for relay in relays {
        relay.await.unwrap().unwrap();
    }
    published(&broker).await
}

/// What the broker has, in order, copies included.
pub(super) async fn published(broker: &Memory) -> Vec<u32> {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(TOPIC)];
    let group = uuid::Uuid::now_v7().to_string();
    let subscribed = subscriber.subscribe(&group, &topics, Start::Earliest);
    subscribed.await.unwrap();
    let mut numbers = Vec::new();
    while let Ok(polled) = timeout(Duration::from_millis(200), subscriber.poll(MANY)).await {
        if let Polled::Records(records) = polled.unwrap() {
            numbers.extend(records.into_iter().map(|received| {
                let payload = received.record.payload.unwrap();
                std::str::from_utf8(&payload)
                    .unwrap()
                    .parse::<u32>()
                    .unwrap()
            }));
        }
    }
    numbers
}

/// By key, in order, without copies.
fn by_key(published: impl IntoIterator<Item = u32>) -> BTreeMap<u32, Vec<u32>> {
    let mut seen: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for number in published {
        let of_key = seen.entry(number % KEYS).or_default();
        if !of_key.contains(&number) {
            of_key.push(number);
        }
    }
    seen
}

/// Fills an outbox with rows that are settled, aside, parked and new; what of them was published.
async fn fill(store: &outbox::Postgres) -> Vec<u32> {
    let lease = store.lease("first", LONG).await.unwrap().unwrap();
    enqueue(store, 0..20).await;
    let mut published: Vec<u32> = Vec::new();
    for payload in drain(store, &lease).await {
        published.push(payload.parse().unwrap());
    }
    enqueue(store, 20..30).await;
    let window = store.read(&lease, None, MANY).await.unwrap();
    let settled: Vec<_> = (20..30)
        .map(|number| match number % KEYS {
            // Rows of key 4 are behind the first, which is parked.
            4 if number == 24 => Settled::Parked("too large".to_owned()),
            3 | 4 => Settled::Aside,
            _ => {
                published.push(number);
                Settled::Published
            }
        })
        .collect();
    store.settle(&lease, &window, &settled).await.unwrap();
    enqueue(store, 30..40).await;
    store.release(&lease).await.unwrap();
    published
}

/// Copies a filled outbox, and relays and writes on in the copy.
async fn goes_on_in_a_copy(source: &str, target: &str, ages: [u32; 2], lanes: u32) {
    let (source_pool, store) = connect(source).await;
    age(&source_pool, ages[0]).await;
    store.migrate().await.unwrap();
    let published = fill(&store).await;
    copy(source, target).await;

    let (pool, store) = connect(target).await;
    age(&pool, ages[1]).await;
    store.migrate().await.unwrap();
    // In the next part of the log, so that this one may be emptied.
    next_id(&pool, PART).await;
    enqueue(&store, 40..45).await;
    // What is settled looks as if it were not, or the other way round, until it is put right.
    store.tidy().await.unwrap();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM bowline_outbox")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(kept, 45);
    if lanes > 1 {
        store
            .set_lanes(NonZeroU32::new(lanes).unwrap())
            .await
            .unwrap();
    }
    let mut all = published;
    // Behind the parked row: 29, 34, 39, 44.
    all.extend(relay(&store, lanes, 4).await);
    enqueue(&store, 45..50).await;
    let mut later = relay(&store, lanes, 5).await;
    later.sort_unstable();
    assert_eq!(later, [45, 46, 47, 48], "nothing comes a second time");
    all.extend(later);

    let parked = store.parked(MANY).await.unwrap();
    assert_eq!(parked.len(), 1);
    store.retry(parked[0].entry.id).await.unwrap();
    all.extend(relay(&store, lanes, 0).await);
    assert_eq!(by_key(all), by_key(0..50));
}

async fn start() -> Postgres {
    spawn_blocking(Postgres::start).await.unwrap().unwrap()
}

/// Whichever cluster has drawn more numbers, and whether or not the cluster may be asked for, the rows
/// of the other are not passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_goes_on_in_another_cluster() {
    let (one, other) = (start().await, start().await);
    for (number, may_ask) in [true, false].into_iter().enumerate() {
        for ages in [[20_000, 0], [0, 60_000]] {
            let source = database(&one, &format!("source_{number}"), may_ask).await;
            let target = database(&other, &format!("target_{number}"), may_ask).await;
            goes_on_in_a_copy(&source, &target, ages, 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_goes_on_in_another_database_of_its_cluster() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let source = database(server, "copy_source", true).await;
    let target = database(server, "copy_target", true).await;
    goes_on_in_a_copy(&source, &target, [0, 0], 3).await;
}

/// What the broker knows is of the outbox that was copied, even if that had only just begun. So a relay that
/// publishes exactly once doubles nothing and passes over nothing: it is refused, until it has another name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_not_taken_for_the_outbox_that_it_was() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    for settled in [0, 10] {
        let source = database(server, "once_source", true).await;
        let target = database(server, "once_target", true).await;
        let broker = Memory::new();
        broker.create(TOPIC, NonZeroU32::MIN).await.unwrap();
        let (_, store) = connect(&source).await;
        store.migrate().await.unwrap();
        enqueue(&store, 0..settled).await;
        run_once(&store, &broker, "orders", Faults::none())
            .await
            .unwrap();
        enqueue(&store, settled..20).await;
        // Connect, position and a transaction, before and after: the broker has it, the store does not know.
        let faults = Faults::at(6, Fault::Fail);
        run_once(&store, &broker, "orders", faults)
            .await
            .unwrap_err();
        assert_eq!(
            store.status().await.unwrap().pending,
            u64::from(20 - settled)
        );
        assert_eq!(by_key(published(&broker).await), by_key(0..20));
        copy(&source, &target).await;

        let (pool, copied) = connect(&target).await;
        age(&pool, 1_000).await;
        for _ in 0..2 {
            let refused = run_once(&copied, &broker, "orders", Faults::none()).await;
            let refused = refused.expect_err("it is another outbox");
            assert_eq!(refused.kind(), Kind::Conflict, "{refused:?}");
        }
        assert_eq!(published(&broker).await.len(), 20, "no copies");
        enqueue(&copied, 20..25).await;
        run_once(&copied, &broker, "copied-orders", Faults::none())
            .await
            .unwrap();
        enqueue(&copied, 25..30).await;
        run_once(&copied, &broker, "copied-orders", Faults::none())
            .await
            .unwrap();
        let all = published(&broker).await;
        assert_eq!(by_key(all.iter().copied()), by_key(0..30));
        // What is still in the log comes again, once.
        assert_eq!(all.len(), 20 + 30);
    }
}

/// Publishes all that there is, in transactions of the broker under this name.
async fn run_once(
    store: &outbox::Postgres,
    broker: &Memory,
    name: &str,
    faults: Faults,
) -> Result<(), bowline::Error> {
    let place = TopicPartition::new(TOPIC, 0);
    let delivery = ExactlyOnce::new(faults.wrap(broker.clone()), name, place);
    let relay = Relay::builder(store.clone(), delivery).build().unwrap();
    relay.run_once().await.map(drop)
}

/// A database that is set back under a relay that goes on: what it has read is of no use there.
#[tokio::test]
async fn what_was_read_of_the_future_is_not_gone_by() {
    let (_, store, lease) = super::log::outbox("restore_future").await;
    super::log::committed(&store, "row", "1").await;
    let future = outbox::Position::new("1:999999999999:");
    let read = store.read(&lease, Some(&future), MANY).await.unwrap_err();
    assert_eq!(read.kind(), Kind::Fenced);
    assert_eq!(drain(&store, &lease).await, ["row"]);
}

/// Where rows are copied without the sequence, new ids go on behind them.
#[tokio::test]
async fn ids_go_on_behind_what_was_copied() {
    let (pool, store, lease) = super::log::outbox("restore_ids").await;
    for name in ["one", "two"] {
        super::log::committed(&store, name, "1").await;
    }
    store.release(&lease).await.unwrap();
    next_id(&pool, 1).await;
    // Written by another transaction than it says, as in a copy.
    let copied = sqlx::query("UPDATE bowline_outbox_origin SET id = id");
    copied.execute(&pool).await.unwrap();
    let lease = store.lease("second", LONG).await.unwrap().unwrap();
    super::log::committed(&store, "three", "1").await;
    assert_eq!(drain(&store, &lease).await, ["one", "two", "three"]);
}
