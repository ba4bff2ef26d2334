//! Many events on their way from a database into Kafka: who writes them, and the process that relays them.

use std::fs;
use std::io::Write;
use std::time::Duration;

use bowline::broker::kafka::{Config, Publisher};
use bowline::message::{Message, TraceContext};
use bowline::outbox::relay::Stats;
use bowline::outbox::{self, Relay};
use bowline::shutdown::Shutdown;
use fastrand::Rng;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::sleep;

/// How many keys the events have.
pub const KEYS: u32 = 1_000;
/// How many write at once; each has keys of its own, so that the order of a key is known.
pub const WRITERS: u32 = 4;
/// How long the relay's lease lasts, and so how long nobody relays after a kill.
const LEASE: Duration = Duration::from_secs(2);
/// The most events of a transaction.
const MOST: usize = 200;

/// What a relay's process has done and needed, as it says now and then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a plain value of the tests")]
pub struct Progress {
    /// Rows that it has published and settled.
    pub published: u64,
    /// Time of all cores, in milliseconds.
    pub cpu: u64,
    /// The most memory that it had, in KiB.
    pub peak: u64,
}

impl Progress {
    fn of(stats: &Stats) -> Self {
        Self {
            published: stats.snapshot().published,
            cpu: cpu().unwrap_or_default(),
            peak: peak().unwrap_or_default(),
        }
    }

    /// What a line of the process says.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            published: next()?,
            cpu: next()?,
            peak: next()?,
        })
    }

    #[expect(clippy::print_stdout, reason = "the parent process reads it")]
    fn say(self) {
        let Self {
            published,
            cpu,
            peak,
        } = self;
        println!("{published} {cpu} {peak}");
        std::io::stdout().flush().expect("the parent reads");
    }
}

/// Linux counts in hundredths of a second.
fn cpu() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(ticks * 10)
}

fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Relays from the database at `url` to the broker at `servers`, until it is told to stop.
pub async fn relay(url: &str, servers: &str) {
    let pool = PgPool::connect(url).await.expect("connected");
    let publisher = Publisher::new(&Config::new(servers)).expect("a fine configuration");
    let relay = Relay::builder(outbox::Postgres::new(pool), publisher).lease(LEASE);
    let relay = relay.build().expect("a fine configuration");
    let (stats, shutdown) = (relay.stats(), Shutdown::new());
    let mut running = tokio::spawn(relay.run(shutdown.token()));
    let signals = async {
        shutdown.on_signal().await.expect("signals");
    };
    tokio::pin!(signals);
    let (mut is_told, mut last) = (false, Progress::default());
    loop {
        let now = Progress::of(&stats);
        if now.published != last.published {
            now.say();
            last = now;
        }
        tokio::select! {
            () = sleep(Duration::from_millis(20)) => {}
            () = &mut signals, if !is_told => is_told = true,
            ended = &mut running => {
                Progress::of(&stats).say();
                return ended.expect("no panic").expect("it ends only when told");
            }
        }
    }
}

/// Event number `number`: all that the consumer expects of it follows from the number.
fn event(number: u32, source: &'static str) -> Message {
    let trace = format!("00-{:032x}-{:016x}-01", number + 1, number + 1);
    let trace = TraceContext::parse(&trace).expect("it is one");
    let filler = "x".repeat(150);
    let payload = format!(r#"{{"number": {number}, "title": "Grüße", "filler": "{filler}"}}"#);
    let binary = [&b"\x00\xff"[..], &number.to_be_bytes()].concat();
    Message::new("thing.moved", payload)
        .with_source(source)
        .with_version(3)
        .with_subject(format!("thing {number}"))
        .with_content_type(Message::JSON)
        .with_key(format!("key {}", number % KEYS))
        .with_user("ada")
        .with_trace(trace)
        .with_header("x-binary", binary)
}

/// Writes every event below `events` whose turn it is, in transactions of some, in the order of their
/// numbers. Some transactions are rolled back, and done again. The last third waits until it `may_end`.
pub async fn write(
    outbox: outbox::Postgres,
    writer: u32,
    events: u32,
    mut may_end: watch::Receiver<bool>,
) {
    let mut random = Rng::with_seed(writer.into());
    let numbers: Vec<u32> = (writer..events).step_by(WRITERS as usize).collect();
    let mut left = &numbers[..];
    while !left.is_empty() {
        if left.len() < numbers.len() / 3 {
            let told = may_end.wait_for(|may_end| *may_end).await;
            drop(told.expect("somebody tells"));
        }
        let (some, rest) = left.split_at(random.usize(1..=MOST).min(left.len()));
        if random.u8(0..10) == 0 {
            let undone: Vec<_> = some.iter().map(|n| event(*n, "/rolled-back")).collect();
            let mut tx = outbox.begin().await.expect("begun");
            let enqueued = outbox.enqueue_many(&mut tx, &undone).await;
            enqueued.expect("enqueued");
            tx.rollback().await.expect("rolled back");
        }
        let done: Vec<_> = some.iter().map(|n| event(*n, "/many")).collect();
        let mut tx = outbox.begin().await.expect("begun");
        let enqueued = outbox.enqueue_many(&mut tx, &done).await;
        enqueued.expect("enqueued");
        tx.commit().await.expect("committed");
        left = rest;
    }
}
