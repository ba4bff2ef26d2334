//! A group of processes that are killed, stopped, added and told to end.

use std::fs::{File, OpenOptions};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Polled, Publisher, Record, Start, Subscriber, Topics};
use bowline::consumer::Order;
use bowline_crash_tests::consume::Place;
use bowline_test_history::{Event, Log, Rules, Verdict, Watched, What, judge};
use fastrand::Rng;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const MEMBERS: usize = 3;
/// How long anything may take when nothing happens any more, but for outages of the broker.
const PATIENCE: Duration = Duration::from_secs(240);

/// One group on one topic. Its history is a file that all its processes append to.
pub(crate) struct Group {
    place: Place,
    topic: Arc<str>,
    partitions: u32,
    file: PathBuf,
    log: Log,
    random: Rng,
    lives: u32,
    members: Vec<Member>,
    leaving: Vec<JoinHandle<Option<String>>>,
}

struct Member {
    life: u32,
    process: Child,
}

impl Group {
    /// A group that keeps its history in `file`.
    pub(crate) async fn new(
        place: Place,
        topic: String,
        file: PathBuf,
        topics: &impl Topics,
        seed: u64,
    ) -> Self {
        let mut random = Rng::with_seed(seed);
        let partitions = random.u32(1..7);
        let created = topics.create(&topic, NonZeroU32::new(partitions).unwrap());
        created.await.expect("a new topic");
        Self {
            log: Log::to(open(&file)),
            place,
            topic: topic.into(),
            partitions,
            file,
            random,
            lives: 0,
            members: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// What happens to it, for others to note what happens around it.
    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }

    /// Does `steps` changes under load, lets it finish, and judges all of it.
    pub(crate) async fn run<P, S>(mut self, publisher: P, subscriber: S, steps: u32) -> Verdict
    where
        P: Publisher,
        S: Subscriber,
    {
        let random = self.random.fork();
        let (topic, log) = (Arc::clone(&self.topic), self.log());
        let publishing = tokio::spawn(publish(publisher, topic, log, random));
        self.join();
        self.join();
        for _ in 0..steps {
            let session = self.place.session();
            sleep(session * self.random.u32(20..80) / 100).await;
            self.step().await;
        }
        publishing.abort();
        drop(publishing.await);
        self.join();
        let mut problems = Vec::new();
        let give_up = Instant::now() + PATIENCE;
        while !judge(&self.events(), self.rules()).unfinished.is_empty() {
            if Instant::now() > give_up {
                problems.push("the group is stuck".to_owned());
                break;
            }
            sleep(Duration::from_millis(300)).await;
        }
        for member in std::mem::take(&mut self.members) {
            self.leaving.push(tokio::spawn(member.leave()));
        }
        for leaving in std::mem::take(&mut self.leaving) {
            problems.extend(leaving.await.expect("no panic"));
        }
        problems.extend(self.look(subscriber).await);
        let mut verdict = judge(&self.events(), self.rules());
        verdict.problems.extend(problems);
        verdict
    }

    async fn step(&mut self) {
        let count = self.members.len();
        let chosen = self.random.usize(..count.max(1));
        match self.random.u8(0..8) {
            0..3 if count > 0 => {
                let session = self.place.session();
                let time = session * self.random.u32(110..200) / 100;
                let member = &self.members[chosen];
                self.log.note(member.life, What::Frozen);
                signal(&member.process, "STOP").await;
                sleep(time).await;
                signal(&self.members[chosen].process, "CONT").await;
            }
            3..5 if count > 0 => {
                let mut member = self.members.swap_remove(chosen);
                self.log.note(member.life, What::Killed);
                member.process.kill().await.expect("killed");
            }
            5 if count > 0 => {
                let member = self.members.swap_remove(chosen);
                self.leaving.push(tokio::spawn(member.leave()));
            }
            _ => self.join(),
        }
    }

    fn join(&mut self) {
        if self.members.len() >= MEMBERS {
            return;
        }
        self.lives += 1;
        let [kind, at] = self.place.words();
        let process = Command::new(env!("CARGO_BIN_EXE_bowline-crash-tests"))
            .args(["consume", kind, at, &self.topic])
            .args([self.lives.to_string(), self.random.u32(..).to_string()])
            .stdout(Stdio::from(open(&self.file)))
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        self.members.push(Member {
            life: self.lives,
            process,
        });
    }

    fn rules(&self) -> Rules {
        Rules {
            order: Order::Key,
            sessions_last: false,
            brokers_answer: false,
            // Kafka's members count their own.
            epochs_grow: !matches!(self.place, Place::Kafka(_)),
        }
    }

    /// What has happened so far. A process that was killed may have left half a line.
    fn events(&self) -> Vec<Event> {
        let history = std::fs::read_to_string(&self.file).expect("readable");
        history
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// Sees how far the group has come in each partition.
    async fn look(&mut self, subscriber: impl Subscriber) -> Option<String> {
        self.lives += 1;
        let mut subscriber = Watched::new(subscriber, self.lives, self.log());
        let topics = [Arc::clone(&self.topic)];
        let look = async {
            while let Err(error) = subscriber
                .subscribe(&self.topic, &topics, Start::Earliest)
                .await
            {
                assert!(error.is_transient(), "{error:?}");
                sleep(Duration::from_millis(100)).await;
            }
            let mut found = 0;
            while found < self.partitions as usize {
                match subscriber.poll(NonZeroUsize::MIN).await {
                    Ok(Polled::Assigned(new)) => found += new.len(),
                    Ok(_) => {}
                    Err(error) => assert!(error.is_transient(), "{error:?}"),
                }
            }
        };
        let looked = timeout(PATIENCE, look).await;
        looked
            .is_err()
            .then(|| "nobody else gets the partitions".to_owned())
    }
}

impl Member {
    /// Lets it end calmly; says what went wrong.
    async fn leave(mut self) -> Option<String> {
        // One that has just been started has not yet asked for the signal.
        sleep(Duration::from_millis(500)).await;
        if let Some(status) = self.process.try_wait().expect("it is ours") {
            return Some(format!("life {} ended by itself: {status}", self.life));
        }
        signal(&self.process, "TERM").await;
        match timeout(PATIENCE, self.process.wait()).await {
            Ok(ended) => {
                let status = ended.expect("it is ours");
                (!status.success()).then(|| format!("life {} failed: {status}", self.life))
            }
            Err(_elapsed) => Some(format!("life {} did not end", self.life)),
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

fn open(file: &PathBuf) -> File {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).open(file);
    opened.expect("a file")
}

/// Publishes without end, also through outages.
async fn publish(publisher: impl Publisher, topic: Arc<str>, log: Log, mut random: Rng) {
    let keys = random.u32(1..20);
    loop {
        let count = random.usize(1..15);
        let batch = std::iter::repeat_with(|| {
            let record = Record::new(Arc::clone(&topic), "x");
            match random.u32(0..keys + 2) {
                key if key < keys => record.with_key(key.to_string()),
                _ => record,
            }
        });
        let batch = batch.take(count).collect();
        for result in publisher.publish(batch).await {
            match result {
                // One that was there already does not say where.
                Ok(appended) => {
                    if let Some(at) = appended.position() {
                        log.note(0, What::Acknowledged(at));
                    }
                }
                Err(error) => assert!(error.error().is_transient(), "{error:?}"),
            }
        }
        sleep(Duration::from_millis(random.u64(0..200))).await;
    }
}
