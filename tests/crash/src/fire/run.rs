use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{self, Polled, Start, Subscriber, Topics as _};
use bowline::outbox::{self, Store};
use bowline::shutdown::Shutdown;
use bowline_test_history::{Answer, Verdict, judge_published};
use fastrand::Rng;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::broker::Broker;
use super::life::To;
use super::truth::Truth;
use super::writer::Writer;
use super::{Engine, Ground, History, LATE, TOPICS, UNREADABLE, WINDOW, life, name, process};

/// How long anything may take when nothing happens any more but outages of the server.
const PATIENCE: Duration = Duration::from_secs(240);
const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// One outbox and what happens to it.
pub(super) struct Scene {
    engine: Engine,
    ground: Ground,
    pool: PgPool,
    outbox: outbox::Postgres,
    pub(super) history: History,
    pub(super) random: Rng,
    calm: Shutdown,
    end: Shutdown,
}

/// Relays in this process, which are dropped, not polled, or fail.
pub async fn in_process(engine: Engine, ground: Ground, history: History, seed: u64) -> Verdict {
    let mut scene = Scene::new(engine, &ground, history, seed);
    let broker = Broker::new(scene.history.clone(), scene.random.fork());
    let changes = broker.clone();
    let changes = tokio::spawn(async move { changes.changes().await });
    let slots = scene.slots(&To::Fire(broker.clone()));
    let mend = || {
        changes.abort();
        broker.is_well();
    };
    scene.play(mend).await;
    slots.join_all().await;
    broker.landed().await;
    scene.judge(WINDOW.get()).await
}

/// Relays in processes of `program`, which are killed or stopped, and publish to a broker in `folder`.
pub async fn with_processes(
    program: &'static str,
    engine: Engine,
    ground: Ground,
    folder: &Path,
    history: History,
    seed: u64,
) -> Verdict {
    let mut scene = Scene::new(engine, &ground, history, seed);
    let broker = broker::Sqlite::open(process::log(folder))
        .await
        .expect("opened");
    for topic in TOPICS.iter().filter(|topic| **topic != LATE) {
        broker
            .create(topic, NonZeroU32::MIN)
            .await
            .expect("a new topic");
    }
    let at = folder.to_str().expect("text");
    let slots = scene.processes(program, ["relay-under-fire", at]);
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
    scene.read_troubles(folder);
    for name in names(broker.subscriber()).await {
        scene.history.appended(0, &name, Answer::Unseen);
    }
    broker.close().await;
    scene.judge(WINDOW.get()).await
}

impl Scene {
    pub(super) fn new(engine: Engine, ground: &Ground, history: History, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let pool = ground.pool(5);
        let mut outbox = ground.over(pool.clone());
        // A notification wakes the relays of all schemas.
        if random.u8(0..6) > 0 {
            outbox = outbox.without_notify();
        }
        Self {
            engine,
            ground: ground.clone(),
            pool,
            outbox,
            history,
            random,
            calm: Shutdown::new(),
            end: Shutdown::new(),
        }
    }

    /// Relays in this process, one after the other in each of its slots.
    pub(super) fn slots(&mut self, to: &To) -> JoinSet<()> {
        let mut slots = JoinSet::new();
        let lives = Arc::default();
        let lanes = self.engine.lanes();
        for number in 0..self.random.u32(2 * lanes..5.max(2 * lanes + 1)) {
            let slot = life::Slot {
                engine: self.engine,
                lane: number % lanes,
                ground: self.ground.clone(),
                to: to.clone(),
                history: self.history.clone(),
                random: self.random.fork(),
                lives: Arc::clone(&lives),
                calm: self.calm.token(),
                end: self.end.token(),
            };
            slots.spawn(slot.run());
        }
        slots
    }

    /// Relays in processes of `program` that do `command` with the broker at `place`, one after the other in each of its slots.
    pub(super) fn processes(
        &mut self,
        program: &'static str,
        [command, place]: [&str; 2],
    ) -> JoinSet<()> {
        let Ground { url, schema, .. } = &self.ground;
        let lanes = self.engine.lanes().to_string();
        let words = [command, url, schema, place, &lanes].map(str::to_owned);
        let mut slots = JoinSet::new();
        let lives = Arc::default();
        for _ in 0..self.random.u8(2..4) {
            let slot = process::Slot {
                program,
                words: words.to_vec(),
                history: self.history.clone(),
                random: self.random.fork(),
                lives: Arc::clone(&lives),
                calm: self.calm.token(),
                end: self.end.token(),
            };
            slots.spawn(slot.run());
        }
        slots
    }

    /// What the processes have noted in `folder`.
    pub(super) fn read_troubles(&self, folder: &Path) {
        let troubles = std::fs::read_to_string(process::troubles(folder));
        self.history.read(&troubles.unwrap_or_default());
    }

    /// Writes, lets it come to rest, and ends.
    pub(super) async fn play(&mut self, mend: impl FnOnce()) {
        let held = self.writer(0).stay_open().await;
        let lanes = (self.engine == Engine::Lanes).then(|| {
            let random = self.random.fork();
            tokio::spawn(change_lanes(self.outbox.clone(), random))
        });
        let mut writers = JoinSet::new();
        for number in 0..self.random.u32(2..4) {
            let writer = self.writer(number + 1);
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
        let lanes = match lanes {
            Some(lanes) => Some(lanes.await.expect("no panic")),
            None => None,
        };
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
        if let Some(lanes) = lanes {
            self.come_to(lanes).await;
        }
        self.end.trigger();
    }

    fn writer(&mut self, number: u32) -> Writer {
        let random = self.random.fork();
        Writer::new(&self.ground, self.outbox.clone(), number, random)
    }

    /// Waits until there are so many lanes.
    async fn come_to(&self, lanes: NonZeroU32) {
        let changed = async {
            let is_fine = || self.history.problems().is_empty();
            while self.outbox.lanes().await.ok() != Some(lanes) && is_fine() {
                sleep(Duration::from_millis(30)).await;
            }
        };
        if timeout(PATIENCE, changed).await.is_err() {
            self.history
                .problem(format!("it does not come to {lanes} lanes"));
        }
    }

    /// Waits until nothing waits. After a problem nobody need see how long that takes.
    async fn drain(&self) {
        let drained = async {
            while !self.look_after(MANY.get()).await && self.history.problems().is_empty() {
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
            Engine::Log | Engine::Lanes => look_after(&self.outbox, most).await,
            Engine::Queue => look_after(&self.outbox.clone().queue(), most).await,
        }
    }

    /// Whether it was as promised, with so many copies for each lane and trouble.
    pub(super) async fn judge(self, window: usize) -> Verdict {
        let mut truth = loop {
            match Truth::read(&self.pool).await {
                Ok(truth) => break truth,
                // The server is away for a moment.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        };
        if self.engine == Engine::Queue {
            for row in &mut truth.rows {
                row.key = None;
            }
            truth.pairs.clear();
        }
        // One that befalls everybody befalls each lane.
        let lanes = usize::try_from(self.engine.lanes()).expect("few");
        let steps = self.history.steps();
        let mut verdict = judge_published(&truth.rows, &steps, window * lanes);
        verdict.problems.extend(truth.turned(&steps));
        verdict.problems.extend(self.history.problems());
        verdict.problems.extend(truth.problems);
        verdict.fenced = self.history.fences();
        verdict
    }
}

/// Brings an outbox with one lane to three and two, and perhaps to others; to how many in the end.
async fn change_lanes(outbox: outbox::Postgres, mut random: Rng) -> NonZeroU32 {
    let mut wanted = vec![3, 2];
    for _ in 0..random.u8(0..3) {
        wanted.push(random.u32(1..4));
    }
    let wanted = wanted.into_iter().filter_map(NonZeroU32::new);
    let mut last = NonZeroU32::MIN;
    for lanes in wanted {
        // Some come before the change that was asked for last is done.
        let pause = random.u64(50..1_000);
        sleep(Duration::from_millis(pause)).await;
        while let Err(error) = outbox.set_lanes(lanes).await {
            assert!(error.is_transient(), "{error:?}");
            sleep(Duration::from_millis(100)).await;
        }
        last = lanes;
    }
    last
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
    status.is_ok_and(|status| status.pending + status.parked + status.scheduled == 0)
}

/// All that the broker has, each partition in order.
pub(super) async fn names(mut subscriber: impl Subscriber) -> Vec<String> {
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
