use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{self, Polled, Start, Subscriber as _, Topics as _};
use bowline::outbox::{self, Store};
use bowline::shutdown::Shutdown;
use bowline_test_history::{Answer, Row, Verdict, judge_published};
use fastrand::Rng;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::broker::Broker;
use super::writer::{Writer, tables};
use super::{History, LATE, TOPICS, UNREADABLE, WINDOW, life, name, process, routing};

/// How long anything may take when nothing happens any more but outages of the server.
const PATIENCE: Duration = Duration::from_secs(90);
const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Rows in a part of the log.
const PART: i64 = 1 << 18;

/// Where one outbox is: a schema of its own, in a database that it shares.
#[derive(Debug, Clone)]
pub struct Ground {
    pub(super) url: String,
    pub(super) schema: String,
}

impl Ground {
    /// The outbox of this name, which is there.
    #[must_use]
    pub fn new(url: &str, schema: &str) -> Self {
        let (url, schema) = (url.to_owned(), schema.to_owned());
        Self { url, schema }
    }

    /// An empty outbox in the database at `url`, for `seed`.
    pub async fn make(url: &str, seed: u64) -> Self {
        let ground = Self::new(url, &format!("seed_{seed}"));
        let pool = ground.pool(1);
        let create = format!("CREATE SCHEMA {}", ground.schema);
        let create = sqlx::raw_sql(sqlx::AssertSqlSafe(create));
        create.execute(&pool).await.expect("a new schema");
        let outbox = outbox::Postgres::new(pool.clone());
        outbox.migrate().await.expect("migrated");
        tables(&pool).await.expect("made");
        // Some go over the end of a part soon.
        let before = i64::try_from(seed % 300).expect("small");
        let first = sqlx::query("SELECT setval('bowline_outbox_id', $1, FALSE)");
        let first = first.bind(PART - before);
        first.execute(&pool).await.expect("set");
        ground
    }

    /// The outbox by connections of its own.
    pub(super) fn outbox(&self, connections: u32) -> outbox::Postgres {
        outbox::Postgres::new(self.pool(connections)).with_routing(routing())
    }

    fn pool(&self, connections: u32) -> PgPool {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options.options([("search_path", &self.schema)]))
    }
}

/// How an outbox is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum Engine {
    /// In order, by one at a time.
    Log,
    /// By all at once.
    Queue,
}

/// One outbox and what happens to it.
struct Scene {
    engine: Engine,
    pool: PgPool,
    outbox: outbox::Postgres,
    history: History,
    random: Rng,
    calm: Shutdown,
    end: Shutdown,
}

/// Relays in this process, which are dropped, not polled, or fail.
pub async fn in_process(engine: Engine, ground: Ground, history: History, seed: u64) -> Verdict {
    let mut scene = Scene::new(engine, &ground, history, seed);
    let broker = Broker::new(scene.history.clone(), scene.random.fork());
    let changes = broker.clone();
    let changes = tokio::spawn(async move { changes.changes().await });
    let mut slots = JoinSet::new();
    let lives = Arc::default();
    for _ in 0..scene.random.u8(2..5) {
        let slot = life::Slot {
            engine,
            ground: ground.clone(),
            broker: broker.clone(),
            history: scene.history.clone(),
            random: scene.random.fork(),
            lives: Arc::clone(&lives),
            calm: scene.calm.token(),
            end: scene.end.token(),
        };
        slots.spawn(slot.run());
    }
    let mend = || {
        changes.abort();
        broker.is_well();
    };
    scene.play(mend).await;
    slots.join_all().await;
    broker.landed().await;
    scene.judge().await
}

/// Relays in processes of `program`, which are killed or stopped, and publish to a broker in `folder`.
pub async fn with_processes(
    program: &'static str,
    ground: Ground,
    folder: &Path,
    history: History,
    seed: u64,
) -> Verdict {
    let mut scene = Scene::new(Engine::Log, &ground, history, seed);
    let broker = broker::Sqlite::open(process::log(folder))
        .await
        .expect("opened");
    for topic in TOPICS.iter().filter(|topic| **topic != LATE) {
        broker
            .create(topic, NonZeroU32::MIN)
            .await
            .expect("a new topic");
    }
    let mut slots = JoinSet::new();
    let lives = Arc::default();
    for _ in 0..scene.random.u8(2..4) {
        let slot = process::Slot {
            program,
            ground: ground.clone(),
            folder: folder.to_owned(),
            history: scene.history.clone(),
            random: scene.random.fork(),
            lives: Arc::clone(&lives),
            calm: scene.calm.token(),
            end: scene.end.token(),
        };
        slots.spawn(slot.run());
    }
    let late = tokio::spawn({
        let (broker, pause) = (broker.clone(), scene.random.u64(300..2_500));
        async move {
            sleep(Duration::from_millis(pause)).await;
            broker
                .create(LATE, NonZeroU32::MIN)
                .await
                .expect("a new topic");
        }
    });
    scene.play(|| ()).await;
    slots.join_all().await;
    late.await.expect("no panic");
    let troubles = std::fs::read_to_string(process::troubles(folder)).unwrap_or_default();
    for _ in troubles.lines() {
        scene.history.trouble(None);
    }
    for name in names(&broker).await {
        scene.history.appended(0, &name, Answer::Unseen);
    }
    broker.close().await;
    scene.judge().await
}

impl Scene {
    fn new(engine: Engine, ground: &Ground, history: History, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let pool = ground.pool(5);
        let mut outbox = outbox::Postgres::new(pool.clone()).with_routing(routing());
        // A notification wakes the relays of all schemas.
        if random.u8(0..6) > 0 {
            outbox = outbox.without_notify();
        }
        Self {
            engine,
            pool,
            outbox,
            history,
            random,
            calm: Shutdown::new(),
            end: Shutdown::new(),
        }
    }

    /// Writes, lets it come to rest, and ends.
    async fn play(&mut self, mend: impl FnOnce()) {
        let held = Writer::new(self.outbox.clone(), 0, self.random.fork());
        let held = held.stay_open().await;
        let mut writers = JoinSet::new();
        for number in 0..self.random.u32(2..4) {
            let writer = Writer::new(self.outbox.clone(), number + 1, self.random.fork());
            writers.spawn(writer.run(self.random.u32(8..20)));
        }
        loop {
            match timeout(Duration::from_millis(300), writers.join_next()).await {
                Ok(None) => break,
                Ok(Some(written)) => written.expect("no panic"),
                // Before it is mended, so that it is parked again.
                Err(_elapsed) => drop(self.look_after(1).await),
            }
        }
        mend();
        self.calm.trigger();
        self.drain().await;
        if let Ok(held) = held {
            let ended = match self.random.bool() {
                true => held.commit().await,
                false => held.rollback().await,
            };
            // The server may have ended it long before.
            drop(ended);
        }
        self.drain().await;
        self.end.trigger();
    }

    /// Waits until nothing waits.
    async fn drain(&self) {
        let drained = async {
            while !self.look_after(MANY.get()).await {
                sleep(Duration::from_millis(30)).await;
            }
        };
        if timeout(PATIENCE, drained).await.is_err() {
            let status = self.outbox.status().await;
            self.history
                .problem(format!("it does not come to rest: {status:?}"));
        }
    }

    async fn look_after(&self, most: usize) -> bool {
        match self.engine {
            Engine::Log => look_after(&self.outbox, most).await,
            Engine::Queue => look_after(&self.outbox.clone().queue(), most).await,
        }
    }

    async fn judge(self) -> Verdict {
        let rows = loop {
            let rows = sqlx::query_as("SELECT id, topic, key, name FROM truth");
            let rows: Result<Vec<(i64, String, Option<String>, String)>, _> =
                rows.fetch_all(&self.pool).await;
            match rows {
                Ok(rows) => break rows,
                // The server is away for a moment.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        };
        let rows = rows.into_iter().map(|(id, topic, key, name)| Row {
            id,
            topic,
            key: key.filter(|_| self.engine == Engine::Log),
            name,
        });
        let rows: Vec<Row> = rows
            .filter(|row| !row.name.starts_with(UNREADABLE))
            .collect();
        let mut verdict = judge_published(&rows, &self.history.steps(), WINDOW.get());
        verdict.problems.extend(self.history.problems());
        verdict
    }
}

/// What an operator does: parked rows go on, but for those that nobody can read. Whether nothing waits then.
async fn look_after<S: Store>(outbox: &S, most: usize) -> bool {
    let parked = outbox.parked(MANY).await.unwrap_or_default();
    for parked in parked.into_iter().take(most) {
        let payload = parked.entry.record.payload.unwrap_or_default();
        let done = if payload.starts_with(UNREADABLE.as_bytes()) {
            outbox.discard(parked.entry.id).await
        } else {
            outbox.retry(parked.entry.id).await
        };
        // It comes again.
        drop(done);
    }
    let status = outbox.status().await;
    status.is_ok_and(|status| status.pending + status.parked == 0)
}

/// All that the broker has, each partition in order.
async fn names(broker: &broker::Sqlite) -> Vec<String> {
    let mut subscriber = broker.subscriber();
    let topics = TOPICS.map(Arc::from);
    let subscribed = subscriber.subscribe("judge", &topics, Start::Earliest);
    subscribed.await.expect("the topics are there");
    let mut names = Vec::new();
    // To join takes longer.
    let mut quiet = Duration::from_secs(10);
    while let Ok(polled) = timeout(quiet, subscriber.poll(MANY)).await {
        let Polled::Records(records) = polled.expect("polled") else {
            continue;
        };
        quiet = Duration::from_secs(1);
        names.extend(
            records
                .iter()
                .map(|received| name(&received.record).to_owned()),
        );
    }
    names
}
