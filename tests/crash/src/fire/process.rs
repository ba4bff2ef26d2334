use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::broker;
use bowline::shutdown::{Shutdown, Token};
use fastrand::Rng;
use tokio::process::{Child, Command};
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
    pub(super) ground: Ground,
    pub(super) folder: PathBuf,
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
            .args(["relay-under-fire", &self.ground.url, &self.ground.schema])
            .arg(&self.folder)
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

/// Relays from the outbox in `ground` to the broker in `folder`, until it is told to stop, or is struck: then it
/// kills itself, or stops itself for longer than its lease.
pub async fn relay_until_struck(ground: Ground, folder: &Path, mood: &str, life: u32, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let troubles = OpenOptions::new()
        .append(true)
        .create(true)
        .open(troubles(folder));
    let plan = Plan::new(&mut random, History::to(troubles.expect("a file")), life);
    let mut broker = broker::Sqlite::open(log(folder)).await.expect("opened");
    if mood == "calm" {
        plan.disarm();
    } else {
        broker = broker.with_max_record(LARGE);
    }
    let shutdown = Shutdown::new();
    let relay = relay(plan.around(ground.outbox(3)), plan.around(broker));
    let mut relay = tokio::spawn(relay.run(shutdown.token()));
    let signals = async {
        shutdown.on_signal().await.expect("signals");
    };
    tokio::pin!(signals);
    let mut is_told = false;
    loop {
        tokio::select! {
            blow = plan.struck() => match blow {
                Blow::Die => end_myself().await,
                Blow::Freeze => stop_myself(past_the_lease(&mut random)),
                Blow::Fail => {}
            },
            () = &mut signals, if !is_told => is_told = true,
            ended = &mut relay => {
                return ended.expect("no panic").expect("it ends only when told");
            }
        }
    }
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
