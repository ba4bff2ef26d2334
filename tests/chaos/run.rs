use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Polled, Publisher, Record, Start, Subscriber, Topics};
use bowline_test_history::{Log, Verdict, Watched, What, judge};
use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::member::Member;
use crate::plan::{Plan, Step};
use crate::unreliable::{Unreliable, Weather};

/// A broker that can be started again.
pub(crate) trait World {
    type Broker: Publisher + Topics + Clone;
    type Subscriber: Subscriber;

    fn broker(&self) -> &Self::Broker;
    fn subscriber(&self) -> Self::Subscriber;
    /// Starts the broker again, when nothing holds it any more.
    async fn restart(&mut self);
    /// Whether time waits until everybody has done what there is to do.
    fn is_virtual(&self) -> bool;
}

/// How many sessions the group may take to do the rest when nothing happens any more.
const PATIENCE: u32 = 150;

pub(crate) async fn run<W: World>(world: W, plan: Plan) -> Verdict {
    let rules = plan.rules(world.is_virtual());
    let log = Log::new();
    let mut chaos = Chaos::new(world, plan, log.clone()).await;
    let problems = chaos.all().await;
    let mut verdict = judge(&log.events(), rules);
    verdict.problems.extend(problems);
    if let Ok(file) = std::env::var("BOWLINE_HISTORY") {
        let lines: Vec<String> = log.events().iter().map(ToString::to_string).collect();
        std::fs::write(file, lines.join("\n")).unwrap();
    }
    verdict
}

struct Chaos<W: World> {
    world: W,
    plan: Plan,
    log: Log,
    topics: Vec<Arc<str>>,
    weather: Weather,
    lives: u32,
    members: Vec<Member>,
    /// Members that leave meanwhile.
    leaving: Vec<JoinHandle<Result<(), bowline::Error>>>,
    publishing: Option<JoinHandle<()>>,
    problems: Vec<String>,
}

impl<W: World> Chaos<W> {
    async fn new(world: W, plan: Plan, log: Log) -> Self {
        let topics: Vec<Arc<str>> = (0..plan.topics).map(|n| format!("t{n}").into()).collect();
        let partitions = NonZeroU32::new(plan.partitions).unwrap();
        for topic in &topics {
            world.broker().create(topic, partitions).await.unwrap();
        }
        Self {
            world,
            plan,
            log,
            topics,
            weather: Weather::default(),
            lives: 0,
            members: Vec::new(),
            leaving: Vec::new(),
            publishing: None,
            problems: Vec::new(),
        }
    }

    async fn all(&mut self) -> Vec<String> {
        self.publish();
        self.join();
        for (pause, step) in std::mem::take(&mut self.plan.steps) {
            sleep(pause).await;
            self.step(step).await;
        }
        // A publish that nobody waits for any more may still be made.
        self.publishing.take().unwrap().abort();
        // The others need not read all topics.
        self.join_with(&self.topics.clone());
        self.complete().await;
        for member in std::mem::take(&mut self.members) {
            self.leaving.push(tokio::spawn(member.leave()));
        }
        self.left().await;
        self.look().await;
        std::mem::take(&mut self.problems)
    }

    async fn step(&mut self, step: Step) {
        let count = self.members.len();
        match step {
            Step::Join if count < Plan::MEMBERS => self.join(),
            Step::Leave(n) if count > 0 => {
                let member = self.members.swap_remove(n % count);
                self.leaving.push(tokio::spawn(member.leave()));
            }
            Step::Kill(n) if count > 0 => self.members.swap_remove(n % count).kill().await,
            Step::Freeze(n, time) if count > 0 => self.members[n % count].freeze(time),
            Step::Outage(time) => {
                self.log.note(0, What::Down);
                self.weather.set_down(true);
                sleep(time).await;
                self.weather.set_down(false);
                self.log.note(0, What::Up);
            }
            Step::Restart => self.restart().await,
            Step::Join | Step::Leave(_) | Step::Kill(_) | Step::Freeze(..) => self.join(),
        }
    }

    fn join(&mut self) {
        if self.members.len() < Plan::MEMBERS {
            let topics = self.plan.some(&self.topics);
            self.join_with(&topics);
        }
    }

    /// Adds a member that reads these topics.
    fn join_with(&mut self, topics: &[Arc<str>]) {
        self.lives += 1;
        let subscriber = Unreliable::new(
            self.world.subscriber(),
            self.weather.clone(),
            (self.plan.faults, self.plan.latency),
            self.plan.random(),
        );
        let how = self.plan.member();
        let (log, session) = (&self.log, self.plan.session);
        let member = Member::start(subscriber, self.lives, log, topics, session, how);
        self.members.push(member);
    }

    async fn restart(&mut self) {
        let publishing = self.publishing.take().unwrap();
        publishing.abort();
        drop(publishing.await);
        let count = self.members.len();
        for member in self.members.drain(..) {
            member.kill().await;
        }
        self.left().await;
        self.world.restart().await;
        for _ in 0..count {
            self.join();
        }
        self.publish();
    }

    fn publish(&mut self) {
        let pause = self.plan.session / 12;
        let publishing = publish(
            self.world.broker().clone(),
            self.topics.clone(),
            self.plan.keys,
            pause,
            self.log.clone(),
            self.plan.random(),
        );
        self.publishing = Some(tokio::spawn(publishing));
    }

    /// Waits until everything that was acknowledged is done and committed.
    async fn complete(&mut self) {
        let rules = self.plan.rules(self.world.is_virtual());
        let give_up = Instant::now() + self.plan.session * PATIENCE;
        while !judge(&self.log.events(), rules).unfinished.is_empty() {
            if Instant::now() > give_up {
                self.problems.push("the group is stuck".to_owned());
                return;
            }
            sleep(self.plan.session / 2).await;
        }
    }

    /// Waits for those that leave.
    async fn left(&mut self) {
        let patience = self.plan.session * PATIENCE;
        for leaving in std::mem::take(&mut self.leaving) {
            match timeout(patience, leaving).await {
                Ok(left) => {
                    if let Err(error) = left.unwrap() {
                        self.problems.push(format!("a member failed: {error:?}"));
                    }
                }
                Err(_elapsed) => self.problems.push("a member did not end".to_owned()),
            }
        }
    }

    /// Sees how far the group has come in each partition.
    async fn look(&mut self) {
        self.lives += 1;
        let inner = self.world.subscriber();
        let mut subscriber = Watched::new(inner, self.lives, self.log.clone());
        let subscribed = subscriber.subscribe("group", &self.topics, Start::Earliest);
        subscribed.await.unwrap();
        let all = (self.plan.topics * self.plan.partitions) as usize;
        let mut found = 0;
        let look = async {
            while found < all {
                if let Polled::Assigned(new) = subscriber.poll(NonZeroUsize::MIN).await.unwrap() {
                    found += new.len();
                }
            }
        };
        if timeout(self.plan.session * PATIENCE, look).await.is_err() {
            self.problems
                .push("nobody else gets the partitions".to_owned());
        }
    }
}

/// Publishes without end.
async fn publish(
    broker: impl Publisher,
    topics: Vec<Arc<str>>,
    keys: u32,
    pause: Duration,
    log: Log,
    mut random: Rng,
) {
    loop {
        let count = random.usize(1..20);
        let batch = std::iter::repeat_with(|| {
            let topic = Arc::clone(random.choice(&topics).unwrap());
            let record = Record::new(topic, "x");
            match random.u32(0..keys + 2) {
                key if key < keys => record.with_key(key.to_string()),
                _ => record,
            }
        });
        let batch = batch.take(count).collect();
        for result in broker.publish(batch).await {
            let Ok(appended) = result else { continue };
            let at = appended.position().expect("it says where");
            log.note(0, What::Acknowledged(at));
        }
        sleep(pause * random.u32(0..200) / 100).await;
    }
}
