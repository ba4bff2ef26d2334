use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::broker;
use bowline::outbox::relay::Delivery;
use bowline::outbox::{self, Relay, Store};
use bowline::shutdown::{Shutdown, Token};
use fastrand::Rng;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::life::{Fate, past_the_lease};
use super::plan::{Blow, Plan};
use super::{Ground, History, LARGE, relay};

/// How long a process may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// One relay after the other, each a process of its own.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) program: &'static str,
    /// What it is to do, and where.
    pub(super) words: Vec<String>,
    pub(super) history: History,
    pub(super) random: Rng,
    pub(super) lives: Arc<AtomicU32>,
    pub(super) calm: Token,
    pub(super) end: Token,
}

impl Slot {
    pub(super) async fn run(mut self) {
        while !self.calm.is_stopped() {
            let process = self.start("fire");
            self.life(process).await;
        }
        let mut process = self.start("calm");
        tokio::select! {
            () = self.end.stopped() => self.leave(process).await,
            ended = process.wait() => self.ended(ended.expect("it is ours")),
        }
    }

    fn start(&mut self, mood: &str) -> Child {
        let life = self.lives.fetch_add(1, Ordering::SeqCst) + 1;
        Command::new(self.program)
            .args(&self.words)
            .args([mood, &life.to_string(), &self.random.u32(..).to_string()])
            .kill_on_drop(true)
            .spawn()
            .expect("a process")
    }

    async fn life(&mut self, mut process: Child) {
        let time = Duration::from_millis(self.random.u64(300..3_000));
        let calm = self.calm.clone();
        tokio::select! {
            ended = process.wait() => return self.ended(ended.expect("it is ours")),
            () = sleep(time) => {}
            () = calm.stopped() => return self.leave(process).await,
        }
        match Fate::of(&mut self.random) {
            Fate::Die => {
                self.history.trouble(None);
                process.kill().await.expect("killed");
            }
            Fate::Freeze => {
                self.history.trouble(None);
                signal(&process, "STOP").await;
                sleep(past_the_lease(&mut self.random)).await;
                signal(&process, "CONT").await;
                sleep(time / 4).await;
                self.leave(process).await;
            }
            Fate::Stop => self.leave(process).await,
        }
    }

    /// Lets it end calmly.
    async fn leave(&self, mut process: Child) {
        // One that has just been started has not yet asked for the signal.
        sleep(Duration::from_millis(200)).await;
        signal(&process, "TERM").await;
        match timeout(PATIENCE, process.wait()).await {
            Ok(ended) => self.ended(ended.expect("it is ours")),
            Err(_elapsed) => self.history.problem("a relay did not end".to_owned()),
        }
    }

    fn ended(&self, status: ExitStatus) {
        // Without a code it was killed.
        if status.code().is_some_and(|code| code != 0) {
            self.history.problem(format!("a relay failed: {status}"));
        }
    }
}

async fn signal(process: &Child, name: &str) {
    let Some(id) = process.id() else { return };
    let kill = Command::new("kill")
        .args(["-s", name, &id.to_string()])
        .status();
    kill.await.expect("kill runs");
}

/// What a process is told when it is started.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a plain value of the tests")]
pub struct Told {
    /// How many lanes it relays.
    pub lanes: u32,
    /// `calm` when nothing is to happen to it any more.
    pub mood: String,
    /// Its number.
    pub life: u32,
    /// What decides the rest.
    pub seed: u64,
}

impl Told {
    pub(super) fn is_calm(&self) -> bool {
        self.mood == "calm"
    }

    /// Runs the relay that `make` makes of each lane until it is told to stop, or one of them is struck:
    /// then it kills itself, or stops itself for longer than its lease.
    pub(super) async fn run<S: Store, D: Delivery>(
        self,
        folder: &Path,
        make: impl Fn(u32, &Plan) -> Relay<S, D>,
    ) {
        let mut random = Rng::with_seed(self.seed);
        let shutdown = Shutdown::new();
        let mut relays = JoinSet::new();
        for lane in 0..self.lanes {
            let mut file = OpenOptions::new();
            let file = file.append(true).create(true).open(troubles(folder));
            let plan = Plan::new(&mut random, History::to(file.expect("a file")), self.life);
            if self.is_calm() {
                plan.disarm();
            }
            relays.spawn(make(lane, &plan).run(shutdown.token()));
            tokio::spawn(obey(plan, past_the_lease(&mut random)));
        }
        let ended = async {
            while let Some(ended) = relays.join_next().await {
                ended.expect("no panic").expect("it ends only when told");
            }
        };
        let signals = async {
            shutdown.on_signal().await.expect("signals");
            std::future::pending().await
        };
        tokio::select! {
            () = ended => {}
            () = signals => {}
        }
    }
}

/// Does to this process what becomes of one of its relays.
async fn obey(plan: Plan, pause: Duration) {
    match plan.struck().await {
        Blow::Die => end_myself().await,
        Blow::Freeze => stop_myself(pause),
        Blow::Fail => {}
    }
}

/// A lane of the outbox in `ground`, or all of it if it has only one.
pub(super) fn lane(outbox: &outbox::Postgres, number: u32, lanes: u32) -> outbox::Postgres {
    if lanes == 1 {
        return outbox.clone();
    }
    outbox.lane(number)
}

/// Relays from the outbox in `ground` to the broker in `folder`.
pub async fn relay_until_struck(ground: Ground, folder: &Path, told: Told) {
    let mut broker = broker::Sqlite::open(log(folder)).await.expect("opened");
    if !told.is_calm() {
        broker = broker.with_max_record(LARGE);
    }
    let (outbox, lanes) = (ground.outbox(2 * told.lanes + 1), told.lanes);
    let make = |number, plan: &Plan| {
        let outbox = lane(&outbox, number, lanes);
        relay(plan.around(outbox), plan.around(broker.clone()))
    };
    told.run(folder, make).await;
}

async fn end_myself() {
    let me = std::process::id().to_string();
    let kill = Command::new("kill")
        .args(["-s", "KILL", &me])
        .status()
        .await;
    kill.expect("kill runs");
}

fn stop_myself(time: Duration) {
    let me = std::process::id().to_string();
    let script = "kill -s STOP $1; sleep $2; kill -s CONT $1";
    let seconds = time.as_secs_f64().to_string();
    let stop = Command::new("sh")
        .args(["-c", script, "sh", &me, &seconds])
        // It may have been killed in the end.
        .stderr(Stdio::null())
        .spawn();
    drop(stop.expect("sh runs"));
}

/// The broker's file.
pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("broker.db")
}

/// A line for each trouble.
pub(super) fn troubles(folder: &Path) -> PathBuf {
    folder.join("troubles")
}
