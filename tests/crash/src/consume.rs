//! A member of a group, in a process of its own.

use std::num::NonZeroUsize;
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::broker::{Redis, Sqlite, Subscriber, kafka};
use bowline::consumer::{Config, Consumer};
use bowline::shutdown::Shutdown;
use bowline_test_history::{Effort, Log, Watched, What, handler};

/// Which broker, and where.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum Place {
    /// A file.
    Sqlite(String),
    /// A server's address.
    Kafka(String),
    /// A server's URL.
    Redis(String),
}

impl Place {
    /// The broker at `at`, by its name.
    #[must_use]
    pub fn new(kind: &str, at: &str) -> Option<Self> {
        let place = match kind {
            "sqlite" => Self::Sqlite,
            "kafka" => Self::Kafka,
            "redis" => Self::Redis,
            _ => return None,
        };
        Some(place(at.to_owned()))
    }

    /// What [`new`](Self::new) takes.
    #[must_use]
    pub fn words(&self) -> [&str; 2] {
        match self {
            Self::Sqlite(at) => ["sqlite", at],
            Self::Kafka(at) => ["kafka", at],
            Self::Redis(at) => ["redis", at],
        }
    }

    /// How long a member may have no time.
    #[must_use]
    pub fn session(&self) -> Duration {
        match self {
            Self::Sqlite(_) | Self::Redis(_) => Duration::from_millis(500),
            // The least that a broker allows, unless it is told otherwise.
            Self::Kafka(_) => Duration::from_secs(6),
        }
    }
}

/// The broker in a file.
pub async fn sqlite(file: &str, session: Duration) -> Sqlite {
    let broker = Sqlite::open(file).await.expect("opened");
    broker.with_session_timeout(session)
}

/// The broker on a server.
pub async fn redis(url: &str, session: Duration) -> Redis {
    loop {
        match Redis::connect(url).await {
            Ok(broker) => return broker.with_session_timeout(session),
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How to reach a broker.
#[must_use]
pub fn kafka(servers: &str, session: Duration) -> kafka::Config {
    kafka::Config::new(servers)
        .with_session_timeout(session)
        .with_message_timeout(Duration::from_secs(5))
}

/// Reads `topic`, in the group of its name, until SIGTERM, and writes its history to the standard output.
pub async fn consume(place: Place, topic: &str, life: u32, seed: u64) {
    let session = place.session();
    let how = how(session, seed);
    match place {
        Place::Sqlite(file) => {
            let subscriber = sqlite(&file, session).await.subscriber();
            run(subscriber, topic, life, session, how).await;
        }
        Place::Redis(url) => {
            let subscriber = redis(&url, session).await.subscriber();
            run(subscriber, topic, life, session, how).await;
        }
        Place::Kafka(servers) => {
            let config = kafka(&servers, session);
            let subscriber = kafka::Subscriber::new(&config).expect("usable");
            run(subscriber, topic, life, session, how).await;
        }
    }
}

async fn run<S: Subscriber>(
    subscriber: S,
    topic: &str,
    life: u32,
    session: Duration,
    (config, effort): (Config, Effort),
) {
    let log = Log::to(std::io::stdout());
    if config.drain_timeout < session {
        log.note(life, What::Hasty);
    }
    let shutdown = Shutdown::new();
    let consumer = Consumer::builder(
        Watched::new(subscriber, life, log.clone()),
        handler(log.clone(), life, effort),
    )
    .group(topic)
    .topics([topic])
    .config(config)
    .build()
    .expect("a fine configuration");
    let running = tokio::spawn(consumer.run(shutdown.token()));
    shutdown.on_signal().await.expect("signals");
    log.note(life, What::Stopping);
    let ended = running.await.expect("no panic");
    ended.expect("it ends only when told");
}

/// How a member works, all of it decided by `seed`.
fn how(session: Duration, seed: u64) -> (Config, Effort) {
    let mut random = fastrand::Rng::with_seed(seed);
    let most = |records| NonZeroUsize::new(records).expect("not zero");
    let mut config = Config::default();
    config.concurrency = most(random.choice([1, 4, 64]).expect("not empty"));
    config.queue = most(random.usize(1..60));
    config.window = most(config.queue.get() * random.usize(1..4));
    let milliseconds = [0, 5, 50, 200];
    config.commit_interval = Duration::from_millis(random.choice(milliseconds).expect("not empty"));
    config.drain_timeout = random
        .choice([Duration::ZERO, session / 2, session * 3 / 2])
        .expect("not empty");
    config.backoff = Backoff::constant(Duration::from_millis(5));
    let effort = Effort {
        seed: random.u64(..),
        millis: 0..random.choice([1, 10, 40]).expect("not empty"),
        failures: random.choice([0, 5, 30]).expect("not empty"),
    };
    (config, effort)
}
