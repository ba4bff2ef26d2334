//! The log in PostgreSQL, read while transactions begin, write and end in any order.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use bowline::message::Message;
use bowline::outbox::{self, Lease, Settled, Store as _, Window};
use bowline_test_services::shared;
use fastrand::Rng;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Transaction};
use tokio::task::spawn_blocking;

use super::writers::Writers;

pub(super) const TOPIC: &str = "events";
const SEEDS: u64 = 300;
/// Rows in a part of the log.
pub(super) const PART: i64 = 1 << 18;
pub(super) const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

pub(super) type Tx = Transaction<'static, sqlx::Postgres>;

pub(super) async fn outbox(name: &'static str) -> (PgPool, outbox::Postgres, Lease) {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database(name).unwrap();
    let pool = PgPoolOptions::new().max_connections(12);
    let pool = pool.connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic(TOPIC);
    store.migrate().await.unwrap();
    let lease = store.lease("test", Duration::from_secs(600)).await.unwrap();
    (pool, store, lease.unwrap())
}

pub(super) async fn enqueue(
    store: &outbox::Postgres,
    tx: &mut Tx,
    payload: impl ToString,
    key: &str,
) {
    let message = Message::new("suite.event", payload.to_string()).with_key(key);
    store.enqueue(tx, &message).await.unwrap();
}

pub(super) async fn committed(store: &outbox::Postgres, payload: &str, key: &str) {
    let mut tx = store.begin().await.unwrap();
    enqueue(store, &mut tx, payload, key).await;
    tx.commit().await.unwrap();
}

pub(super) async fn next_id(pool: &PgPool, id: i64) {
    let set = sqlx::query("SELECT setval('bowline_outbox_id', $1, FALSE)").bind(id);
    set.execute(pool).await.unwrap();
}

pub(super) async fn rows_of_part(pool: &PgPool, part: u32) -> i64 {
    let count = format!("SELECT count(*) FROM bowline_outbox_{part}");
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count));
    count.fetch_one(pool).await.unwrap()
}

pub(super) fn payloads(window: &Window) -> Vec<String> {
    let payload = |entry: &outbox::Entry| {
        let payload = entry.record.payload.as_deref().unwrap();
        String::from_utf8_lossy(payload).into_owned()
    };
    window.entries.iter().map(payload).collect()
}

pub(super) async fn settle(store: &outbox::Postgres, lease: &Lease, window: &Window) {
    let settled = vec![Settled::Published; window.entries.len()];
    store.settle(lease, window, &settled).await.unwrap();
}

/// Reads and settles all that is there.
pub(super) async fn drain(store: &outbox::Postgres, lease: &Lease) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let window = store.read(lease, None, MANY).await.unwrap();
        if window.entries.is_empty() {
            return all;
        }
        settle(store, lease, &window).await;
        all.extend(payloads(&window));
    }
}

/// A transaction that has drawn its number and goes on for long keeps nobody else's rows back, whichever
/// way it ends, and its own come when it has ended.
#[tokio::test]
async fn an_open_transaction_delays_nobody_else() {
    let (_, store, lease) = outbox("log_open").await;
    let (mut long, mut lost) = (store.begin().await.unwrap(), store.begin().await.unwrap());
    enqueue(&store, &mut long, "long", "1").await;
    enqueue(&store, &mut lost, "lost", "1").await;
    for number in 0..5 {
        let name = number.to_string();
        committed(&store, &name, "2").await;
        assert_eq!(drain(&store, &lease).await, [name]);
    }
    long.commit().await.unwrap();
    lost.rollback().await.unwrap();
    assert_eq!(drain(&store, &lease).await, ["long"]);
    assert_eq!(drain(&store, &lease).await, [""; 0]);
}

/// A transaction may have its number long before it comes to write: its rows stand where it wrote them.
#[tokio::test]
async fn a_number_that_was_drawn_early_does_not_go_first() {
    let (_, store, lease) = outbox("log_early").await;
    let mut early = store.begin().await.unwrap();
    let drawn = sqlx::query("SELECT pg_current_xact_id()");
    drawn.execute(&mut *early).await.unwrap();
    committed(&store, "first", "same").await;
    enqueue(&store, &mut early, "second", "same").await;
    early.commit().await.unwrap();
    assert_eq!(drain(&store, &lease).await, ["first", "second"]);
}

/// An id that was drawn before its transaction has a number would show in no snapshot; a row that some
/// other program writes into the table draws them in the right order too.
#[tokio::test]
async fn a_transaction_has_its_number_before_it_draws_an_id() {
    let (pool, ..) = outbox("log_order").await;
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'bowline_outbox'::regclass \
         AND attnum > 0 AND atthasdef ORDER BY attnum",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(columns, ["txid", "id", "event_id", "created_at"]);
    let cache: i64 = sqlx::query_scalar(
        "SELECT seqcache FROM pg_sequence WHERE seqrelid = 'bowline_outbox_id'::regclass",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(cache, 1);
}

/// What is more than a window comes in pages, while others write and end.
#[tokio::test]
async fn a_backlog_comes_in_pages() {
    let (_, store, lease) = outbox("log_pages").await;
    let mut late = store.begin().await.unwrap();
    enqueue(&store, &mut late, "late", "late").await;
    let mut tx = store.begin().await.unwrap();
    let expected: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    for name in &expected {
        enqueue(&store, &mut tx, name, "1").await;
    }
    tx.commit().await.unwrap();
    let limit = NonZeroUsize::new(10).unwrap();
    let first = store.read(&lease, None, limit).await.unwrap();
    let second = store
        .read(&lease, first.next.as_ref(), limit)
        .await
        .unwrap();
    settle(&store, &lease, &first).await;
    late.commit().await.unwrap();
    settle(&store, &lease, &second).await;
    let mut seen = [payloads(&first), payloads(&second)].concat();
    seen.extend(drain(&store, &lease).await);
    assert_eq!(seen[..25], expected);
    assert_eq!(seen[25..], ["late"]);
}

/// A relay that has fallen back, or has become that of another lane, does not publish it again.
#[tokio::test]
async fn what_is_settled_is_not_read_again_from_before() {
    let (_, store, lease) = outbox("log_before").await;
    let before = store.read(&lease, None, MANY).await.unwrap();
    committed(&store, "one", "1").await;
    assert_eq!(drain(&store, &lease).await, ["one"]);
    committed(&store, "two", "1").await;
    let window = store
        .read(&lease, before.next.as_ref(), MANY)
        .await
        .unwrap();
    assert_eq!(payloads(&window), ["two"]);
}

/// A part of the log is emptied when all of it is settled and it is not written to; never before.
#[tokio::test]
async fn a_settled_part_is_emptied() {
    let (pool, store, lease) = outbox("log_parts").await;
    next_id(&pool, PART - 1).await;
    let mut open = store.begin().await.unwrap();
    enqueue(&store, &mut open, "open", "1").await;
    committed(&store, "one", "2").await;
    committed(&store, "two", "2").await;
    assert_eq!(rows_of_part(&pool, 1).await, 2);
    assert_eq!(drain(&store, &lease).await, ["one", "two"]);
    store.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 1).await, 2, "the newest id is in it");
    next_id(&pool, 2 * PART).await;
    committed(&store, "three", "2").await;
    // Whoever reads a part is not waited for, and not cut off.
    let mut reader = store.begin().await.unwrap();
    let look = sqlx::query("SELECT count(*) FROM bowline_outbox_1");
    look.execute(&mut *reader).await.unwrap();
    let tidied = tokio::time::timeout(Duration::from_secs(10), store.tidy());
    tidied.await.expect("nobody is waited for").unwrap();
    assert_eq!(rows_of_part(&pool, 1).await, 2);
    reader.rollback().await.unwrap();
    store.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 1).await, 0);
    open.commit().await.unwrap();
    store.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 0).await, 1, "nobody has read it yet");
    assert_eq!(drain(&store, &lease).await, ["open", "three"]);
    store.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 0).await, 0);
}

/// Writers and a reader whose steps come in an order that the seed chooses.
struct Run<'a> {
    random: Rng,
    store: &'a outbox::Postgres,
    lease: &'a Lease,
    writers: Writers,
    /// What was read and not settled yet, in order.
    read: VecDeque<Window>,
    /// By key, in the order of the log.
    seen: BTreeMap<usize, Vec<u64>>,
}

impl Run<'_> {
    async fn step(&mut self) {
        let random = &mut self.random;
        let open = self.writers.open.len();
        match random.u32(0..12) {
            0..=1 if open < 5 => self.writers.begin(self.store, random).await,
            2..=5 if open > 0 => self.writers.write(self.store, random, 6).await,
            6..=7 if open > 0 => self.writers.end(random).await,
            8..=9 => self.read().await,
            10 => self.settle().await,
            // As after a crash: what was only read comes again.
            11 if self.random.u8(0..4) == 0 => self.read.clear(),
            _ => {}
        }
    }

    async fn read(&mut self) {
        let from = self.read.back().and_then(|window| window.next.as_ref());
        let limit = NonZeroUsize::new(self.random.usize(1..8)).unwrap();
        let window = self.store.read(self.lease, from, limit).await.unwrap();
        assert!(window.entries.len() <= limit.get());
        self.read.push_back(window);
    }

    async fn settle(&mut self) {
        let Some(window) = self.read.pop_front() else {
            return;
        };
        settle(self.store, self.lease, &window).await;
        for payload in payloads(&window) {
            let (key, number) = payload.split_once('/').unwrap();
            let of_key = self.seen.entry(key.parse().unwrap()).or_default();
            of_key.push(number.parse().unwrap());
        }
        if self.random.u8(0..4) == 0 {
            self.store.tidy().await.unwrap();
        }
    }

    async fn finish(mut self) {
        while !self.writers.open.is_empty() {
            self.writers.end(&mut self.random).await;
        }
        self.read.clear();
        loop {
            self.read().await;
            let is_empty = self
                .read
                .back()
                .is_some_and(|window| window.entries.is_empty());
            self.settle().await;
            if is_empty {
                break;
            }
        }
        assert_eq!(self.seen, self.writers.committed);
    }
}

#[tokio::test]
async fn every_committed_row_comes_once_and_in_order_in_any_interleaving() {
    let (pool, store, lease) = outbox("log_seeds").await;
    let (from, to) = match std::env::var("BOWLINE_SEED") {
        Ok(seed) => (seed.parse().unwrap(), seed.parse::<u64>().unwrap() + 1),
        Err(_) => (0, SEEDS),
    };
    for seed in from..to {
        println!("BOWLINE_SEED={seed}");
        let mut random = Rng::with_seed(seed);
        // Some runs go over the end of a part.
        let part = i64::try_from(seed).unwrap() + 1;
        next_id(&pool, part * PART - random.i64(0..200)).await;
        let steps = random.u32(20..100);
        let mut run = Run {
            random,
            store: &store,
            lease: &lease,
            writers: Writers::default(),
            read: VecDeque::new(),
            seen: BTreeMap::new(),
        };
        for _ in 0..steps {
            run.step().await;
        }
        run.finish().await;
    }
}
