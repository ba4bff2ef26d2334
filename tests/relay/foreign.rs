//! Rows that other drivers and other languages write.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Memory, Polled, Record, Start, Subscriber as _, Topics as _};
use bowline::clock::{Clock as _, SystemClock};
use bowline::message::Message;
use bowline::outbox::{self, Bind, Prepared, Relay, Routing, Settled, Store};
use bowline::shutdown::Shutdown;
use bowline_test_services::shared;
use chrono::TimeDelta;
use sqlx::PgPool;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Transaction};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();

async fn database(name: &'static str) -> String {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    server.create_database(name).unwrap()
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn enqueue(tx: &Transaction<'_>, prepared: &Prepared<'_>) {
    let binds = prepared.binds();
    let binds: Vec<&(dyn ToSql + Sync)> = binds
        .iter()
        .map(|bind| match bind {
            Bind::Text(text) => text as &(dyn ToSql + Sync),
            Bind::Bytes(bytes) => bytes,
        })
        .collect();
    tx.execute(prepared.sql(), &binds).await.unwrap();
}

/// By the first word of the type, but not everything.
fn by_type(message: &Message) -> Option<Arc<str>> {
    let word = message.kind().split('.').next()?;
    ["order", "bill"].contains(&word).then(|| word.into())
}

/// What a relay publishes until so many wait and so many are due later, in the order of the topics.
async fn relayed<S: Store + Clone>(store: &S, left: (u64, u64)) -> Vec<Record> {
    relayed_by(MANY, store, left).await
}

/// As [`relayed`], by windows of so many rows.
async fn relayed_by<S: Store + Clone>(
    window: NonZeroUsize,
    store: &S,
    left: (u64, u64),
) -> Vec<Record> {
    let broker = Memory::new();
    let topics = [Arc::from("order"), Arc::from("bill")];
    for topic in &topics {
        broker.create(topic, NonZeroU32::MIN).await.unwrap();
    }
    let relay = Relay::builder(store.clone(), broker.clone()).window(window);
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.build().unwrap().run(shutdown.token()));
    let drained = async {
        loop {
            let status = store.status().await.unwrap();
            if (status.pending, status.scheduled) == left {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("the relay goes on");
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    let mut subscriber = broker.subscriber();
    let subscribed = subscriber.subscribe("check", &topics, Start::Earliest);
    subscribed.await.unwrap();
    let mut records = Vec::new();
    while let Ok(polled) = timeout(Duration::from_millis(100), subscriber.poll(MANY)).await {
        if let Polled::Records(more) = polled.unwrap() {
            records.extend(more.into_iter().map(|received| {
                let mut record = received.record;
                record.partition = None;
                record
            }));
        }
    }
    records
}

fn payloads(records: &[Record]) -> Vec<String> {
    let payload = |record: &Record| {
        let payload = record.payload.as_deref().unwrap_or_default();
        String::from_utf8_lossy(payload).into_owned()
    };
    records.iter().map(payload).collect()
}

/// A caller whose transaction is another driver's enqueues by that driver: what it commits is relayed as if
/// the outbox had written it, and what it rolls back is not.
#[tokio::test]
async fn another_drivers_transaction_enqueues_what_is_prepared() {
    let url = database("writers_prepared").await;
    let store = outbox::Postgres::new(PgPool::connect(&url).await.unwrap());
    let store = store.with_routing(Routing::by(by_type));
    store.migrate().await.unwrap();
    let mut client = client(&url).await;
    let message = |payload: &'static str| Message::new("order.created", payload);
    let messages = [
        message("whole")
            .with_key("7")
            .with_user("ada")
            .with_header("binary", b"\x00\xff".to_vec()),
        message("bare"),
        message("").without_payload().with_key("7"),
    ];
    let tx = client.transaction().await.unwrap();
    for message in &messages {
        enqueue(&tx, &store.prepare(message).unwrap()).await;
    }
    tx.commit().await.unwrap();
    let due = message("due").with_key("7");
    let past = SystemClock.now() - TimeDelta::hours(1);
    let later = message("later").with_key("7");
    let future = SystemClock.now() + TimeDelta::hours(1);
    let tx = client.transaction().await.unwrap();
    enqueue(&tx, &store.prepare_at(&due, past).unwrap()).await;
    enqueue(&tx, &store.prepare_at(&later, future).unwrap()).await;
    tx.commit().await.unwrap();
    let lost = message("lost");
    let tx = client.transaction().await.unwrap();
    let prepared = Prepared::postgres(&Routing::to("order"), &lost).unwrap();
    enqueue(&tx, &prepared.without_notify()).await;
    tx.rollback().await.unwrap();

    let expected = messages
        .iter()
        .chain([&due])
        .map(|message| Record::from_message("order", message).unwrap());
    assert_eq!(relayed(&store, (0, 1)).await, Vec::from_iter(expected));
}

/// The example of the documentation, and what comes out of it.
#[tokio::test]
async fn a_row_of_a_program_without_rust_is_relayed_as_a_message() {
    let url = database("writers_sql").await;
    let store = outbox::Postgres::new(PgPool::connect(&url).await.unwrap());
    let store = store.with_routing(Routing::by(by_type));
    store.migrate().await.unwrap();
    let docs = include_str!("../../src/outbox/mod.rs");
    let (_, example) = docs.split_once("//! ```sql\n").unwrap();
    let (example, _) = example.split_once("//! ```").unwrap();
    let client = client(&url).await;
    let example = example.replace("//!", "");
    client.batch_execute(&example).await.unwrap();

    let records = relayed(&store, (0, 0)).await;
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!(&*record.topic, "order");
    assert_eq!(record.key.as_deref(), Some(&b"42"[..]));
    let message = record.to_message().unwrap();
    assert_eq!(message.kind(), "order.created");
    assert_eq!(message.id().as_str().len(), 36);
    assert_eq!(message.source(), Message::DEFAULT_SOURCE);
    assert_eq!(message.subject(), Some("42"));
    assert_eq!(message.content_type(), Some(Message::JSON));
    assert_eq!(message.correlation_id(), Some("cart-7"));
    assert_eq!(&**message.payload(), br#"{"total":7}"#);
    let created = client
        .query_one("SELECT created_at::text FROM bowline_outbox", &[])
        .await;
    let created: String = created.unwrap().get(0);
    let time = message.time().format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let time = time.trim_end_matches('0');
    assert!(created.starts_with(time), "{created} is not {time}");
}

/// It schedules a message by the same columns.
#[tokio::test]
async fn a_program_without_rust_schedules_a_message() {
    let url = database("writers_later").await;
    let store = outbox::Postgres::new(PgPool::connect(&url).await.unwrap());
    let store = store.with_routing(Routing::by(by_type));
    store.migrate().await.unwrap();
    let client = client(&url).await;
    let insert = "INSERT INTO bowline_outbox_scheduled (due_at, aggregatetype, aggregateid, type) \
         VALUES (now(), 'bill', '7', 'bill.due'), (now() + '1h', 'bill', '7', 'bill.overdue')";
    client.batch_execute(insert).await.unwrap();
    let records = relayed(&store, (0, 1)).await;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].to_message().unwrap().kind(), "bill.due");
    assert_eq!(&*records[0].topic, "bill");
}

/// What a program wrote that cannot be published stops its row and nothing else; mended, it goes on.
async fn a_row_that_cannot_be_routed_is_parked<S: Store + Clone>(
    store: &S,
    mended: &S,
    write: impl AsyncFn(&str, &str, &str),
) {
    write("refund.made", "'1'", "unknown").await;
    write("order.created", "'3'", "one").await;
    write("order.created", "'2'", "two").await;
    assert_eq!(payloads(&relayed(store, (0, 0)).await), ["one", "two"]);
    let parked = store.parked(MANY).await.unwrap();
    assert_eq!(parked.len(), 1, "{parked:?}");
    let row = &parked[0];
    let reason = &row.reason;
    let expected = format!("row {} of type \"refund.made\"", row.entry.id);
    assert!(reason.starts_with(&expected), "{reason}");
    assert!(reason.contains("no topic is set"), "{reason}");
    assert_eq!(row.entry.record.key.as_deref(), Some(&b"1"[..]));

    store.retry(row.entry.id).await.unwrap();
    assert_eq!(
        payloads(&relayed(store, (0, 0)).await),
        [""; 0],
        "still unknown"
    );
    assert_eq!(store.parked(MANY).await.unwrap().len(), 1);
    mended.retry(row.entry.id).await.unwrap();
    let records = relayed(mended, (0, 0)).await;
    assert_eq!(payloads(&records), ["unknown"]);
    assert_eq!(records[0].to_message().unwrap().kind(), "refund.made");
    assert_eq!(mended.status().await.unwrap().pending, 0);
}

/// A row whose topic is not known before it is read comes behind what was set aside of its key.
async fn a_row_without_a_topic_keeps_the_order_of_its_key<S: Store + Clone>(
    store: &S,
    write: impl AsyncFn(&str, &str, &str),
) {
    let lease = store.lease("test", Duration::from_secs(60)).await;
    let lease = lease.unwrap().unwrap();
    write("order.created", "'1'", "first").await;
    let window = store.read(&lease, None, MANY).await.unwrap();
    let parked = [Settled::Parked("broken".to_owned())];
    store.settle(&lease, &window, &parked).await.unwrap();
    write("order.created", "'1'", "second").await;
    write("order.created", "'2'", "other").await;
    write("order.created", "NULL", "none").await;
    let window = store.read(&lease, None, MANY).await.unwrap();
    let behind: Vec<_> = window.entries.iter().map(|entry| entry.behind).collect();
    assert_eq!(behind, [true, false, false]);
    store.release(&lease).await.unwrap();
    assert_eq!(payloads(&relayed(store, (1, 0)).await), ["other", "none"]);
    let parked = store.parked(MANY).await.unwrap();
    store.retry(parked[0].entry.id).await.unwrap();
    let records = relayed(store, (0, 0)).await;
    assert_eq!(payloads(&records), ["first", "second"]);
    let message = records[1].to_message().unwrap();
    assert_eq!(message.kind(), "order.created");
    assert_eq!(message.subject(), Some("1"));
}

/// A row that could not be routed may be of the topic of those behind it: they wait for it, those of the same
/// window, of the one that was read meanwhile, and later ones. And it waits for those before it.
async fn a_row_that_cannot_be_routed_holds_back_its_key<S: Store + Clone>(
    store: &S,
    mended: &S,
    write: impl AsyncFn(&str, &str, &str),
) {
    write("order.created", "'2'", "other").await;
    write("refund.made", "'1'", "first").await;
    write("order.created", "'1'", "second").await;
    write("order.created", "'3'", "before").await;
    let two = NonZeroUsize::new(2).unwrap();
    let published = relayed_by(two, store, (1, 0)).await;
    assert_eq!(payloads(&published), ["other", "before"]);

    write("refund.made", "'4'", "first").await;
    write("order.created", "'4'", "second").await;
    assert_eq!(payloads(&relayed(store, (2, 0)).await), [""; 0]);

    let lease = store.lease("test", PATIENCE).await.unwrap().unwrap();
    write("order.created", "'1'", "third").await;
    write("order.created", "'5'", "fourth").await;
    let window = store.read(&lease, None, MANY).await.unwrap();
    let behind: Vec<_> = window.entries.iter().map(|entry| entry.behind).collect();
    assert_eq!(behind, [true, false]);
    let settled = [Settled::Aside, Settled::Parked("broken".to_owned())];
    store.settle(&lease, &window, &settled).await.unwrap();
    write("refund.made", "'5'", "fifth").await;
    let window = store.read(&lease, None, MANY).await.unwrap();
    assert!(window.entries[0].behind);
    let settled = [Settled::Parked("unknown".to_owned())];
    store.settle(&lease, &window, &settled).await.unwrap();
    let parked = store.parked(MANY).await.unwrap();
    let [first, of_four, fourth, fifth] = [0, 1, 2, 3].map(|row: usize| parked[row].entry.id);
    store.retry(fifth).await.unwrap();
    let waits = store.set_aside(&lease, &[], MANY).await.unwrap();
    assert_eq!(waits.entries, [], "the one before it is parked");
    store.release(&lease).await.unwrap();

    for row in [first, of_four, fourth] {
        mended.retry(row).await.unwrap();
    }
    let published = relayed(mended, (0, 0)).await;
    let of = |key: &[u8]| {
        let of_key = published.iter();
        let of_key = of_key.filter(|record| record.key.as_deref() == Some(key));
        payloads(&of_key.cloned().collect::<Vec<_>>())
    };
    assert_eq!(of(b"1"), ["first", "second", "third"]);
    assert_eq!(of(b"4"), ["first", "second"]);
    assert_eq!(of(b"5"), ["fourth", "fifth"]);
}

fn insert(kind: &str, aggregate: &str, payload: &str) -> String {
    format!(
        "INSERT INTO bowline_outbox (aggregatetype, aggregateid, type, payload) \
         VALUES ('any', {aggregate}, '{kind}', {payload})"
    )
}

async fn in_postgres(name: &'static str) -> (outbox::Postgres, impl AsyncFn(&str, &str, &str)) {
    let url = database(name).await;
    let store = outbox::Postgres::new(PgPool::connect(&url).await.unwrap());
    let store = store.with_routing(Routing::by(by_type));
    store.migrate().await.unwrap();
    let client = client(&url).await;
    let write = async move |kind: &str, aggregate: &str, payload: &str| {
        let payload = format!("convert_to('{payload}', 'UTF8')");
        let sql = insert(kind, aggregate, &payload);
        client.batch_execute(&sql).await.unwrap();
    };
    (store, write)
}

#[tokio::test]
async fn a_row_that_cannot_be_routed_is_parked_in_postgres() {
    let (store, write) = in_postgres("writers_unknown").await;
    let mended = store.clone().with_topic("bill");
    a_row_that_cannot_be_routed_is_parked(&store, &mended, write).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_routed_holds_back_its_key_in_postgres() {
    let (store, write) = in_postgres("writers_stuck").await;
    let mended = store.clone().with_topic("order");
    a_row_that_cannot_be_routed_holds_back_its_key(&store, &mended, write).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_row_that_cannot_be_routed_holds_back_its_key_in_sqlite() {
    let (store, write, _directory) = in_sqlite().await;
    let mended = store.clone().with_topic("order");
    a_row_that_cannot_be_routed_holds_back_its_key(&store, &mended, write).await;
}

#[tokio::test]
async fn a_row_without_a_topic_keeps_the_order_of_its_key_in_postgres() {
    let (store, write) = in_postgres("writers_behind").await;
    a_row_without_a_topic_keeps_the_order_of_its_key(&store, write).await;
}

#[cfg(feature = "sqlite")]
async fn in_sqlite() -> (
    outbox::Sqlite,
    impl AsyncFn(&str, &str, &str),
    tempfile::TempDir,
) {
    let directory = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(directory.path().join("test.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let store = outbox::Sqlite::new(pool.clone()).with_routing(Routing::by(by_type));
    store.migrate().await.unwrap();
    let write = async move |kind: &str, aggregate: &str, payload: &str| {
        let sql = insert(kind, aggregate, &format!("CAST('{payload}' AS BLOB)"));
        let written = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await;
        written.unwrap();
    };
    (store, write, directory)
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_row_that_cannot_be_routed_is_parked_in_sqlite() {
    let (store, write, _directory) = in_sqlite().await;
    let mended = store.clone().with_topic("bill");
    a_row_that_cannot_be_routed_is_parked(&store, &mended, write).await;
}

/// SQLite takes bytes for text that are none.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_row_that_is_no_text_stops_nobody_in_sqlite() {
    let (store, write, _directory) = in_sqlite().await;
    write("bill' || CAST(x'ff' AS TEXT) || '", "'1'", "unknown").await;
    write("bill.made", "'1' || CAST(x'ff' AS TEXT)", "odd").await;
    write("order.created", "'2'", "one").await;
    assert_eq!(payloads(&relayed(&store, (0, 0)).await).len(), 2);
    let parked = store.parked(MANY).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason.contains("no topic is set"));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_row_without_a_topic_keeps_the_order_of_its_key_in_sqlite() {
    let (store, write, _directory) = in_sqlite().await;
    a_row_without_a_topic_keeps_the_order_of_its_key(&store, write).await;
}
