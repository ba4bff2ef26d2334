//! Relays that die, wake up and take over, in an order that a seed chooses.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;

use bowline::error::{Error, Kind};
use bowline::outbox::{self, Lease, OrderingKey, Position, Settled, Store as _, Window};
use fastrand::Rng;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::{fresh, lease, number};
use crate::log::payloads;
use crate::writers::Writers;

const SEEDS: u64 = 50;
const KEYS: usize = 12;
/// Lanes.
const MOST: u32 = 6;

/// As a relay of one lane goes about it.
struct Lane {
    store: outbox::Postgres,
    lease: Option<Lease>,
    next: Option<Position>,
    hand: Option<Window>,
    ahead: Option<Window>,
    /// What waited aside and is in hand.
    aside: Option<Window>,
    /// The keys that were set aside since what is in hand was read.
    stuck: HashSet<OrderingKey>,
}

struct Zombie {
    store: outbox::Postgres,
    lease: Lease,
    hand: Window,
    stuck: HashSet<OrderingKey>,
}

/// Writers and relays whose steps come in an order that the seed chooses.
struct Run<'a> {
    seed: u64,
    random: Rng,
    pool: &'a PgPool,
    whole: &'a outbox::Postgres,
    lanes: Vec<Lane>,
    /// Those that were thought dead, with what they have in hand.
    zombies: Vec<Zombie>,
    writers: Writers,
    wanted: u32,
    seen: BTreeMap<usize, Vec<u64>>,
}

impl Run<'_> {
    async fn step(&mut self) {
        let random = &mut self.random;
        let open = self.writers.open.len();
        match random.u32(0..40) {
            0..=2 if open < 4 => self.writers.begin(self.whole, random).await,
            3..=9 if open > 0 => self.writers.write(self.whole, random, KEYS).await,
            10..=14 if open > 0 => self.writers.end(random).await,
            15 => self.crash().await,
            16 => self.awake().await,
            17 => {
                self.wanted = random.u32(1..=MOST);
                self.whole.set_lanes(number(self.wanted)).await.unwrap();
            }
            18 => self.whole.tidy().await.unwrap(),
            _ => {
                let lane = random.usize(0..self.lanes.len());
                self.turn(lane).await;
            }
        }
    }

    /// One step of the relay of a lane.
    async fn turn(&mut self, lane: usize) {
        let limit = NonZeroUsize::new(self.random.usize(1..8)).unwrap();
        let lane = &mut self.lanes[lane];
        let Some(lease) = lane.lease.clone() else {
            lane.lease = lease(&lane.store).await;
            return;
        };
        if let Some(window) = lane.aside.take() {
            let settled = vec![Settled::Published; window.entries.len()];
            match lane.store.settle(&lease, &window, &settled).await {
                Ok(()) => see(&mut self.seen, &window, &settled),
                Err(error) => lane.fenced(&error),
            }
            return;
        }
        if self.random.u8(0..6) == 0 {
            match lane.store.set_aside(&lease, &[], limit).await {
                Ok(window) => lane.aside = Some(window).filter(|one| !one.entries.is_empty()),
                Err(error) => lane.fenced(&error),
            }
            return;
        }
        let from = match &lane.hand {
            Some(window) => window.next.as_ref(),
            None => lane.next.as_ref(),
        };
        let is_reading = self.random.u8(0..3) > 0;
        let done = match (&lane.hand, &lane.ahead) {
            (None, None) => match lane.store.read(&lease, from, limit).await {
                Ok(window) => {
                    lane.next.clone_from(&window.next);
                    lane.hand = Some(window).filter(|window| !window.entries.is_empty());
                    Ok(())
                }
                Err(error) => Err(error),
            },
            (Some(_), None) if is_reading => match lane.store.read(&lease, from, limit).await {
                Ok(window) => {
                    lane.ahead = Some(window).filter(|window| !window.entries.is_empty());
                    Ok(())
                }
                Err(error) => Err(error),
            },
            (Some(_), _) => {
                let window = lane.hand.take().unwrap();
                lane.next.clone_from(&window.next);
                lane.hand = lane.ahead.take();
                let settled = answers(&mut self.random, &window, &mut lane.stuck);
                let done = lane.store.settle(&lease, &window, &settled).await;
                if done.is_ok() {
                    see(&mut self.seen, &window, &settled);
                }
                done
            }
            (None, Some(_)) => unreachable!("nothing is read ahead of nothing"),
        };
        if let Err(error) = done {
            lane.fenced(&error);
        }
    }

    /// A relay says nothing any more; its lease ends.
    async fn crash(&mut self) {
        let index = self.random.usize(0..self.lanes.len());
        let lane = &mut self.lanes[index];
        let Some(lease) = lane.lease.take() else {
            return;
        };
        if let Some(hand) = lane.hand.take() {
            self.zombies.push(Zombie {
                store: lane.store.clone(),
                lease,
                hand,
                stuck: lane.stuck.clone(),
            });
        }
        lane.end();
        sqlx::query("UPDATE bowline_outbox_cursor SET lease_until = '-infinity' WHERE lane = $1")
            .bind(i32::try_from(index).unwrap())
            .execute(self.pool)
            .await
            .unwrap();
    }

    /// One that was thought dead settles what it has, if nobody has taken over.
    async fn awake(&mut self) {
        let Some(mut zombie) = self.zombies.pop() else {
            return;
        };
        let window = &zombie.hand;
        let settled = answers(&mut self.random, window, &mut zombie.stuck);
        match zombie.store.settle(&zombie.lease, window, &settled).await {
            Ok(()) => see(&mut self.seen, window, &settled),
            Err(error) => assert_eq!(error.kind(), Kind::Fenced),
        }
    }

    async fn finish(mut self) {
        while !self.writers.open.is_empty() {
            self.writers.end(&mut self.random).await;
        }
        self.zombies.clear();
        for round in 0.. {
            assert!(round < 10_000, "BOWLINE_SEED={} hangs", self.seed);
            for lane in 0..self.lanes.len() {
                self.turn(lane).await;
            }
            let is_changed = self.whole.lanes().await.unwrap() == number(self.wanted);
            if is_changed && self.whole.status().await.unwrap().pending == 0 {
                assert_eq!(
                    self.seen, self.writers.committed,
                    "BOWLINE_SEED={}",
                    self.seed
                );
                return;
            }
        }
    }
}

impl Lane {
    fn new(store: outbox::Postgres) -> Self {
        Self {
            store,
            lease: None,
            next: None,
            hand: None,
            ahead: None,
            aside: None,
            stuck: HashSet::new(),
        }
    }

    fn fenced(&mut self, error: &Error) {
        assert_eq!(error.kind(), Kind::Fenced);
        self.end();
    }

    fn end(&mut self) {
        *self = Self::new(self.store.clone());
    }
}

/// What becomes of a window: now and then a row is set aside, and what is behind it follows.
fn answers(random: &mut Rng, window: &Window, stuck: &mut HashSet<OrderingKey>) -> Vec<Settled> {
    let before = std::mem::take(stuck);
    let answers = window.entries.iter().map(|entry| {
        let key = entry.ordering_key().unwrap();
        let is_behind = entry.behind || before.contains(&key) || stuck.contains(&key);
        if is_behind || random.u8(0..10) == 0 {
            stuck.insert(key);
            return Settled::Aside;
        }
        Settled::Published
    });
    answers.collect()
}

fn see(seen: &mut BTreeMap<usize, Vec<u64>>, window: &Window, settled: &[Settled]) {
    for (payload, settled) in payloads(window).iter().zip(settled) {
        if *settled == Settled::Published {
            let (key, number) = payload.split_once('/').unwrap();
            let of_key = seen.entry(key.parse().unwrap()).or_default();
            of_key.push(number.parse().unwrap());
        }
    }
}

/// Relays die, wake up and take over, and transactions stay open, while the number of lanes changes.
#[tokio::test]
async fn every_committed_row_comes_once_and_in_order_while_the_lanes_change() {
    let seeds: Vec<u64> = match std::env::var("BOWLINE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    };
    // Each step is a round trip: several wait together.
    let databases = ["lanes_one", "lanes_two", "lanes_three", "lanes_four"];
    let mut runs = JoinSet::new();
    for (index, name) in databases.into_iter().enumerate() {
        let share = seeds.iter().skip(index).step_by(databases.len());
        let share = share.copied().collect();
        runs.spawn(Box::pin(run_seeds(name, share)));
    }
    runs.join_all().await;
}

async fn run_seeds(name: &'static str, seeds: Vec<u64>) {
    let (pool, whole) = fresh(name).await;
    for seed in seeds {
        let mut random = Rng::with_seed(seed);
        let steps = random.u32(50..400);
        let mut run = Run {
            seed,
            random,
            pool: &pool,
            whole: &whole,
            lanes: (0..MOST).map(|lane| Lane::new(whole.lane(lane))).collect(),
            zombies: Vec::new(),
            writers: Writers::default(),
            wanted: whole.lanes().await.unwrap().get(),
            seen: BTreeMap::new(),
        };
        for _ in 0..steps {
            run.step().await;
        }
        run.finish().await;
        let free = sqlx::query("UPDATE bowline_outbox_cursor SET owner = NULL");
        free.execute(&pool).await.unwrap();
    }
}
