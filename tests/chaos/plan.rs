use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::consumer::{Config, Order};
use bowline_test_history::{Effort, Rules};
use fastrand::Rng;

/// What is done to a group of consumers, all of it decided by one seed.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) session: Duration,
    pub(crate) topics: u32,
    pub(crate) partitions: u32,
    pub(crate) keys: u32,
    pub(crate) order: Order,
    /// How many of 1,000 calls of the broker fail.
    pub(crate) faults: u32,
    /// How long the broker may take to answer.
    pub(crate) latency: Duration,
    pub(crate) steps: Vec<(Duration, Step)>,
    random: Rng,
}

/// One change. The number chooses the member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Join,
    Leave(usize),
    Kill(usize),
    Freeze(usize, Duration),
    /// The broker does not answer for as long.
    Outage(Duration),
    /// Everything that holds the broker is killed, and it starts again.
    Restart,
}

impl Plan {
    pub(crate) const MEMBERS: usize = 4;

    /// The plan of `seed`, with times that fit to sessions of `session`.
    pub(crate) fn new(seed: u64, session: Duration) -> Self {
        let mut random = Rng::with_seed(seed);
        let order = match random.u8(0..6) {
            0 => Order::None,
            1 => Order::Partition,
            _ => Order::Key,
        };
        let faults = random.choice([0, 0, 10, 100]).unwrap();
        let latency = [Duration::ZERO, Duration::ZERO, session / 50, session / 4];
        let latency = random.choice(latency).unwrap();
        let count = random.usize(4..20);
        let steps = (0..count).map(|_| step(&mut random, session)).collect();
        Self {
            session,
            topics: random.u32(1..3),
            partitions: random.u32(1..7),
            keys: random.u32(1..30),
            order,
            faults,
            latency,
            steps,
            random,
        }
    }

    /// What holds under this plan, where `is_virtual` time waits for everybody.
    pub(crate) fn rules(&self, is_virtual: bool) -> Rules {
        Rules {
            order: self.order,
            sessions_last: is_virtual && self.faults == 0,
            brokers_answer: is_virtual && self.latency.is_zero(),
            epochs_grow: true,
        }
    }

    /// Some of the topics, at least one.
    pub(crate) fn some(&mut self, topics: &[Arc<str>]) -> Vec<Arc<str>> {
        let some = self.random.usize(1..=topics.len());
        self.random.choose_multiple(topics.iter().cloned(), some)
    }

    pub(crate) fn random(&mut self) -> Rng {
        self.random.fork()
    }

    /// How the next member works.
    pub(crate) fn member(&mut self) -> (Config, Effort) {
        let (session, order) = (self.session, self.order);
        let random = &mut self.random;
        let mut config = Config::default();
        config.order = order;
        config.concurrency = of(random.choice([1, 2, 8, 64]).unwrap());
        config.queue = of(random.usize(1..40));
        config.window = of(config.queue.get() * random.usize(1..4));
        config.commit_interval = random
            .choice([Duration::ZERO, session / 100, session / 10, session])
            .unwrap();
        config.drain_timeout = random
            .choice([Duration::ZERO, session / 20, session / 2, session * 2])
            .unwrap();
        config.deadline = (random.u8(0..4) == 0).then(|| session / 20);
        config.backoff = if random.bool() {
            Backoff::constant(session / 200)
        } else {
            Backoff::exponential(session / 500).cap(session / 10)
        };
        let longest = random.choice([0, 50, 15]).unwrap();
        let longest = session.as_millis() / if longest == 0 { u128::MAX } else { longest };
        let effort = Effort {
            seed: random.u64(..),
            millis: 0..u64::try_from(longest).unwrap(),
            failures: random.choice([0, 5, 30]).unwrap(),
        };
        (config, effort)
    }
}

fn step(random: &mut Rng, session: Duration) -> (Duration, Step) {
    let step = match random.u8(0..12) {
        0..3 => Step::Join,
        3..5 => Step::Leave(random.usize(..)),
        5..7 => Step::Kill(random.usize(..)),
        7..10 => Step::Freeze(random.usize(..), session * random.u32(105..200) / 100),
        10 => Step::Outage(session * random.u32(5..150) / 100),
        _ => Step::Restart,
    };
    let pause = random.choice([0, 5, 30, 60]).unwrap();
    (session * random.u32(0..=pause) / 100, step)
}

fn of(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}
