//! The log in PostgreSQL, relayed by several at once, whose number changes meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bowline::broker::{Memory, Polled, Start, Subscriber as _, Topics as _};
use bowline::error::{Error, Kind};
use bowline::message::Message;
use bowline::outbox::relay::Config;
use bowline::outbox::{self, Lease, OrderingKey, Position, Relay, Settled, Store as _, Window};
use bowline::shutdown::Shutdown;
use fastrand::Rng;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::log::{self, MANY, PART, committed, next_id, payloads, rows_of_part, settle};
use super::writers::Writers;

const SEEDS: u64 = 50;
const KEYS: usize = 12;
const MOST: u32 = 6;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(600);

fn number(lanes: u32) -> NonZeroU32 {
    NonZeroU32::new(lanes).unwrap()
}

async fn outbox(name: &'static str) -> (PgPool, outbox::Postgres) {
    let (pool, store, lease) = log::outbox(name).await;
    store.release(&lease).await.unwrap();
    (pool, store)
}

async fn lease(store: &outbox::Postgres) -> Option<Lease> {
    let owner = uuid::Uuid::now_v7().to_string();
    store.lease(&owner, LONG).await.unwrap()
}

/// Lets lanes with nothing in hand come to the new number.
async fn changed(lanes: &[(outbox::Postgres, Lease)], wanted: u32) {
    for _ in 0..4 {
        for (store, lease) in lanes {
            match store.read(lease, None, MANY).await {
                Ok(window) => settle(store, lease, &window).await,
                Err(error) => assert_eq!(error.kind(), Kind::Fenced),
            }
        }
    }
    assert_eq!(lanes[0].0.lanes().await.unwrap(), number(wanted));
}

/// An outbox with so many lanes, and each of them with its lease.
async fn with_lanes(name: &'static str, lanes: u32) -> (PgPool, Outbox) {
    let (pool, whole) = outbox(name).await;
    let first = lease(&whole).await.unwrap();
    whole.set_lanes(number(lanes)).await.unwrap();
    changed(&[(whole.clone(), first.clone())], lanes).await;
    whole.release(&first).await.unwrap();
    let mut all = Vec::new();
    for lane in 0..lanes {
        let lane = whole.lane(lane);
        let lease = lease(&lane).await.unwrap();
        all.push((lane, lease));
    }
    assert_eq!(
        lease(&whole.lane(lanes)).await,
        None,
        "there is no such lane"
    );
    (pool, Outbox { whole, lanes: all })
}

struct Outbox {
    whole: outbox::Postgres,
    lanes: Vec<(outbox::Postgres, Lease)>,
}

async fn drain(lanes: &[(outbox::Postgres, Lease)]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (store, lease) in lanes {
        all.push(log::drain(store, lease).await);
    }
    all
}

#[tokio::test]
async fn a_key_is_in_one_lane_and_each_lane_has_rows() {
    let (_, Outbox { whole, lanes }) = with_lanes("lanes_keys", 4).await;
    let store = &whole;
    for round in 0..3 {
        for key in 0..40 {
            committed(store, &format!("{key}/{round}"), &key.to_string()).await;
        }
    }
    let mut tx = store.begin().await.unwrap();
    let bare: Vec<_> = (0..40)
        .map(|_| Message::new("suite.bare", "bare"))
        .collect();
    store.enqueue_many(&mut tx, &bare).await.unwrap();
    tx.commit().await.unwrap();

    let read = drain(&lanes).await;
    assert_eq!(read.iter().map(Vec::len).sum::<usize>(), 160);
    let mut lane_of = HashMap::new();
    for (lane, payloads) in read.iter().enumerate() {
        assert!(
            payloads.contains(&"bare".to_owned()),
            "lane {lane}: {payloads:?}"
        );
        let with_key = payloads
            .iter()
            .filter_map(|payload| payload.split_once('/'));
        for (key, round) in with_key {
            let (of_key, rounds) = lane_of.entry(key).or_insert((lane, Vec::new()));
            assert_eq!(*of_key, lane, "key {key}");
            rounds.push(round);
        }
    }
    assert!(
        lane_of
            .values()
            .all(|(_, rounds)| *rounds == ["0", "1", "2"])
    );
    let used: BTreeSet<_> = lane_of.values().map(|(lane, _)| lane).collect();
    assert_eq!(used.len(), 4);
    assert_eq!(drain(&lanes).await, [[""; 0]; 4]);
}

/// A lane has a lease, an epoch, aside rows and a status of its own; the outbox shows them together.
#[tokio::test]
async fn a_lane_is_an_outbox_of_its_own() {
    let (_, Outbox { whole, lanes }) = with_lanes("lanes_own", 2).await;
    for key in 0..20 {
        committed(&whole, "row", &key.to_string()).await;
    }
    let (store, lease) = &lanes[1];
    let window = store.read(lease, None, MANY).await.unwrap();
    let count = u64::try_from(window.entries.len()).unwrap();
    assert!(0 < count && count < 20);
    let mut settled = vec![Settled::Published; window.entries.len()];
    settled[0] = Settled::Parked("why".to_owned());
    settled[1] = Settled::Aside;
    store.settle(lease, &window, &settled).await.unwrap();

    let (first, first_lease) = &lanes[0];
    let of_first = first.set_aside(first_lease, &[], MANY).await.unwrap();
    assert_eq!(of_first, Window::default());
    assert!(!first.read(first_lease, None, MANY).await.unwrap().aside);
    assert!(store.read(lease, None, MANY).await.unwrap().aside);
    assert_eq!(
        store
            .set_aside(lease, &[], MANY)
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
    assert_eq!(first.parked(MANY).await.unwrap(), []);
    assert_eq!(store.parked(MANY).await.unwrap().len(), 1);

    let (one, other) = (first.status().await.unwrap(), store.status().await.unwrap());
    assert_eq!((one.pending, one.parked), (20 - count, 0));
    assert_eq!((other.pending, other.parked), (1, 1));
    assert_eq!(one.owner.as_ref(), Some(&first_lease.owner));
    assert_eq!(other.owner.as_ref(), Some(&lease.owner));
    let none = whole.lane(7).status().await.unwrap();
    assert_eq!(none, outbox::Status::default(), "there is no such lane");
    let all = whole.status().await.unwrap();
    assert_eq!((all.pending, all.parked), (21 - count, 1));
    assert_eq!(all.owner.as_ref(), Some(&first_lease.owner));
}

/// What a lane has not read keeps a part of the log, also when it has no rows there; when it looks, it
/// notes what it has seen.
#[tokio::test]
async fn a_part_is_emptied_once_every_lane_is_past_it() {
    let (pool, Outbox { whole, lanes }) = with_lanes("lanes_parts", 2).await;
    next_id(&pool, PART).await;
    for _ in 0..3 {
        committed(&whole, "row", "of one lane").await;
    }
    next_id(&pool, 2 * PART).await;
    let read: Vec<_> = drain(&lanes).await;
    let idle = read.iter().position(Vec::is_empty).unwrap();
    whole.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 1).await, 3, "one lane has not noted it");
    // Many transactions later.
    let many = "DO $$ BEGIN FOR i IN 0..10000 LOOP \
        PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    sqlx::raw_sql(many).execute(&pool).await.unwrap();
    let (store, lease) = &lanes[idle];
    let window = store.read(lease, None, MANY).await.unwrap();
    assert_eq!(window.entries, []);
    whole.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 1).await, 0);
}

/// A relay that is at work is not cut off: the lanes wait until what it has in hand is settled.
#[tokio::test]
async fn what_is_in_hand_is_settled_before_the_lanes_change() {
    let (_, store) = outbox("lanes_hand").await;
    let lease = lease(&store).await.unwrap();
    committed(&store, "first", "1").await;
    let hand = store.read(&lease, None, MANY).await.unwrap();
    store.set_lanes(number(3)).await.unwrap();
    committed(&store, "second", "1").await;
    for _ in 0..3 {
        let ahead = store.read(&lease, hand.next.as_ref(), MANY).await.unwrap();
        assert_eq!(ahead.entries, []);
    }
    settle(&store, &lease, &hand).await;
    // What is idle has read further than it has settled.
    let next = store.read(&lease, hand.next.as_ref(), MANY).await.unwrap();
    let next = store.read(&lease, next.next.as_ref(), MANY).await.unwrap();
    assert_eq!(payloads(&next), ["second"]);
    assert_eq!(store.lanes().await.unwrap(), number(1));
    settle(&store, &lease, &next).await;
    changed(&[(store, lease)], 3).await;
}

/// Two lanes would have it in hand otherwise, the one that had the key and the one that gets it.
#[tokio::test]
async fn what_waits_aside_is_given_to_nobody_while_the_lanes_change() {
    let (_, Outbox { whole, lanes }) = with_lanes("lanes_aside", 2).await;
    for key in 0..20 {
        committed(&whole, "row", &key.to_string()).await;
    }
    for (store, lease) in &lanes {
        let window = store.read(lease, None, MANY).await.unwrap();
        let aside = vec![Settled::Aside; window.entries.len()];
        store.settle(lease, &window, &aside).await.unwrap();
    }
    whole.set_lanes(number(1)).await.unwrap();
    let [(first, lease), (second, second_lease)] = &lanes[..] else {
        unreachable!("there are two");
    };
    // The first comes to the barrier, the second does not.
    for _ in 0..3 {
        for (store, lease) in &lanes[..1] {
            let waits = store.set_aside(lease, &[], MANY).await.unwrap();
            assert_eq!(waits.entries, []);
            assert_eq!(store.read(lease, None, MANY).await.unwrap().entries, []);
        }
    }
    for _ in 0..2 {
        let read = second.read(second_lease, None, MANY).await.unwrap();
        assert_eq!(read.entries, []);
        let waits = first.set_aside(lease, &[], MANY).await.unwrap();
        assert_eq!(waits.entries, []);
    }
    first.read(lease, None, MANY).await.unwrap();
    let late = second.read(second_lease, None, MANY).await;
    if let Err(error) = late {
        assert_eq!(error.kind(), Kind::Fenced);
    }
    first.read(lease, None, MANY).await.unwrap();
    assert_eq!(whole.lanes().await.unwrap(), number(1));
    let waits = first.set_aside(lease, &[], MANY).await.unwrap();
    assert_eq!(waits.entries.len(), 20);
}

#[tokio::test]
async fn too_many_lanes_are_refused() {
    let (_, store) = outbox("lanes_many").await;
    let refused = store.set_lanes(number(257)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(refused.to_string().contains("257 lanes, allowed: 1 to 256"));
}

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
    let (pool, whole) = outbox(name).await;
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

/// Relays on two nodes, of which some are killed, while rows are written and the lanes become more and
/// fewer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_go_on_in_order_from_four_lanes_to_eight_and_to_three() {
    const WRITERS: usize = 4;
    let (_, whole) = outbox("lanes_live").await;
    let broker = Memory::new();
    broker.create(log::TOPIC, NonZeroU32::MIN).await.unwrap();
    let shutdown = Shutdown::new();
    let relay = |lane| {
        let relay = Relay::builder(whole.lane(lane), broker.clone())
            .window(NonZeroUsize::new(10).unwrap())
            .lease(Config::LEASE_MIN)
            .poll(Duration::from_millis(50))
            .build()
            .unwrap();
        tokio::spawn(relay.run(shutdown.token()))
    };
    let node = || (0..8).map(relay).collect::<Vec<_>>();
    let (mut one, mut other) = (node(), node());
    let is_written = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, is_written) = (whole.clone(), Arc::clone(&is_written));
            tokio::spawn(async move {
                let mut number = 0;
                while !is_written.load(Ordering::Relaxed) {
                    // Each key has one writer.
                    let key = writer + WRITERS * (number % 5);
                    committed(&store, &format!("{key}/{number}"), &key.to_string()).await;
                    number += 1;
                    sleep(Duration::from_millis(2)).await;
                }
                number
            })
        })
        .collect();
    for lanes in [4, 8, 3] {
        whole.set_lanes(number(lanes)).await.unwrap();
        let nodes = [&mut one, &mut other];
        for (lane, relays) in [1, 2].into_iter().zip(nodes) {
            relays[lane].abort();
            relays[lane] = relay(u32::try_from(lane).unwrap());
        }
        let changed = async {
            while whole.lanes().await.unwrap() != number(lanes) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, changed).await.expect("they come to it");
        sleep(Duration::from_millis(300)).await;
    }
    is_written.store(true, Ordering::Relaxed);
    let mut expected = BTreeMap::new();
    for (writer, written) in writers.into_iter().enumerate() {
        for number in 0..written.await.unwrap() {
            let key = writer + WRITERS * (number % 5);
            expected.entry(key).or_insert_with(Vec::new).push(number);
        }
    }
    let drained = async {
        while whole.status().await.unwrap().pending > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("they go on");
    shutdown.trigger();
    for relay in one.into_iter().chain(other) {
        relay.await.unwrap().unwrap();
    }
    assert_eq!(published(&broker).await, expected);
}

/// What the broker has, by key, without copies.
async fn published(broker: &Memory) -> BTreeMap<usize, Vec<usize>> {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(log::TOPIC)];
    let subscribed = subscriber.subscribe("check", &topics, Start::Earliest);
    subscribed.await.unwrap();
    let mut seen: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    while let Ok(polled) = timeout(Duration::from_millis(200), subscriber.poll(MANY)).await {
        let Polled::Records(records) = polled.unwrap() else {
            continue;
        };
        for received in records {
            let payload = received.record.payload.unwrap();
            let (key, number) = std::str::from_utf8(&payload)
                .unwrap()
                .split_once('/')
                .unwrap();
            let of_key = seen.entry(key.parse().unwrap()).or_default();
            let number = number.parse().unwrap();
            if !of_key.contains(&number) {
                of_key.push(number);
            }
        }
    }
    seen
}
