//! An adaptive limit in front of a simulated service, whose true capacity goes up and down.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::f64::consts::TAU;
use std::ops::RangeInclusive;
use std::time::Duration;

use bowline::adaptive::{Adaptive, Aimd, Algorithm, Permit};
use bowline::classify::{Failure, Outcome};
use tokio::time::{Instant, advance};

use super::SECOND;

/// What the service does with a call when all its workers are at work.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Busy {
    /// Lets it stand in a queue.
    Queues,
    /// Refuses it after this time.
    Throttles(Duration),
}

/// How much calls differ in the time they take.
#[derive(Debug, Clone, Copy)]
enum Spread {
    /// Three tenths more or less.
    Narrow,
    Exponential,
    /// Log-normal: one in a hundred takes ten times the mean.
    HeavyTailed,
}

impl Spread {
    /// One in the mean.
    fn factor(self, random: &mut fastrand::Rng) -> f64 {
        let (first, second) = (1.0 - random.f64(), random.f64());
        match self {
            Self::Narrow => 0.7 + 0.6 * second,
            Self::Exponential => -first.ln(),
            Self::HeavyTailed => {
                let normal = (-2.0 * first.ln()).sqrt() * (TAU * second).cos();
                (1.5 * normal - 1.125).exp()
            }
        }
    }
}

/// Serves as many calls at once as it has workers. Its clients want more than it has: they use the
/// limit to the full.
struct Server {
    workers: usize,
    busy: Busy,
    service: Duration,
    spread: Spread,
    random: fastrand::Rng,
    /// When the next of those at work will be done, and who it is.
    working: BinaryHeap<Reverse<(Instant, u64)>>,
    calls: Vec<(u64, Permit, Outcome)>,
    queue: VecDeque<u64>,
    next: u64,
}

impl Server {
    fn new(busy: Busy, service: Duration, seed: u64) -> Self {
        Self {
            workers: 0,
            busy,
            service,
            spread: Spread::Narrow,
            random: fastrand::Rng::with_seed(seed),
            working: BinaryHeap::new(),
            calls: Vec::new(),
            queue: VecDeque::new(),
            next: 0,
        }
    }

    fn arrive(&mut self, permit: Permit) {
        let id = self.next;
        self.next += 1;
        let mut outcome = Outcome::Success;
        match self.busy {
            _ if self.working.len() < self.workers => self.begin(id),
            Busy::Queues => self.queue.push_back(id),
            Busy::Throttles(after) => {
                outcome = Outcome::Failure(Failure::Throttled { retry_after: None });
                self.working.push(Reverse((Instant::now() + after, id)));
            }
        }
        self.calls.push((id, permit, outcome));
    }

    /// Works for the service's time, in the mean.
    fn begin(&mut self, id: u64) {
        let factor = self.spread.factor(&mut self.random);
        let time = self.service.mul_f64(factor);
        self.working.push(Reverse((Instant::now() + time, id)));
    }

    async fn next(&mut self) {
        let Some(Reverse((at, id))) = self.working.pop() else {
            return;
        };
        advance(at - Instant::now()).await;
        let place = self.calls.iter().position(|(call, ..)| *call == id);
        let (_, permit, outcome) = self.calls.swap_remove(place.expect("a call"));
        permit.record(outcome);
        while self.working.len() < self.workers
            && let Some(id) = self.queue.pop_front()
        {
            self.begin(id);
        }
    }

    /// Runs for `time` and says between which bounds the limit was, but for measurements, and which
    /// share of the workers was at work.
    async fn run(&mut self, limit: &Adaptive, time: Duration) -> (RangeInclusive<u32>, f64) {
        let until = Instant::now() + time;
        let (mut low, mut high) = (u32::MAX, 0);
        let (mut steps, mut working) = (0.0, 0.0);
        while Instant::now() < until {
            while let Ok(permit) = limit.try_acquire() {
                self.arrive(permit);
            }
            steps += 1.0;
            working += self.working.len().min(self.workers) as f64;
            self.next().await;
            let snapshot = limit.snapshot();
            if !snapshot.measuring {
                low = low.min(snapshot.limit);
                high = high.max(snapshot.limit);
            }
        }
        (low..=high, working / steps / self.workers as f64)
    }
}

/// After each step of the capacity the limit comes to within a fifth of it, and stays there.
async fn follows(limit: &Adaptive, mut server: Server) {
    for workers in [50, 20, 100, 10, 60] {
        server.workers = workers;
        server.run(limit, 25 * SECOND).await;
        stays_near(limit, &mut server).await;
    }
}

async fn stays_near(limit: &Adaptive, server: &mut Server) {
    let (seen, used) = server.run(limit, 20 * SECOND).await;
    let workers = server.workers;
    let near = |seen: &u32| (f64::from(*seen) / workers as f64 - 1.0).abs() <= 0.2;
    assert!(
        near(seen.start()) && near(seen.end()),
        "{workers}: {seen:?}"
    );
    assert!(used > 0.95, "{workers}: {used}");
}

const SERVICE: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn by_its_latency_the_limit_follows_a_capacity_that_goes_up_and_down() {
    for seed in 1..=3 {
        fastrand::seed(seed);
        let limit = Adaptive::builder("upstream").build().unwrap();
        follows(&limit, Server::new(Busy::Queues, SERVICE, seed)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn by_its_refusals_the_limit_follows_a_capacity_that_goes_up_and_down() {
    let builder = Adaptive::builder("upstream").algorithm(Algorithm::Aimd(Aimd::default()));
    let limit = builder.build().unwrap();
    let busy = Busy::Throttles(SERVICE / 10);
    follows(&limit, Server::new(busy, SERVICE, 1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_gets_slower_without_a_queue_keeps_its_limit() {
    for seed in 1..=3 {
        fastrand::seed(seed);
        let limit = Adaptive::builder("upstream").build().unwrap();
        let mut server = Server::new(Busy::Queues, SERVICE, seed);
        server.workers = 50;
        server.run(&limit, 25 * SECOND).await;
        for factor in [3.0, 0.5] {
            server.service = server.service.mul_f64(factor);
            let (seen, _) = server.run(&limit, 60 * SECOND).await;
            assert!(
                *seen.start() > 10,
                "it gives way, but does not collapse: {seen:?}"
            );
            stays_near(&limit, &mut server).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_differ_widely_in_time_do_not_take_the_limit_down_by_chance() {
    for (spread, most) in [(Spread::Exponential, 80), (Spread::HeavyTailed, 120)] {
        for seed in 1..=2 {
            fastrand::seed(seed);
            let limit = Adaptive::builder("upstream").build().unwrap();
            let mut server = Server::new(Busy::Queues, SERVICE, seed);
            (server.spread, server.workers) = (spread, 50);
            server.run(&limit, 25 * SECOND).await;
            let (seen, used) = server.run(&limit, 60 * SECOND).await;
            assert!(used > 0.95, "{spread:?} {used} {seen:?}");
            assert!(*seen.end() < most, "{spread:?} {seen:?}");
        }
    }
}
