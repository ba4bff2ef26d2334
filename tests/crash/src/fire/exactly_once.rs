//! Exactly once, into memory and by processes into Kafka.

use std::collections::{BTreeMap, HashSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka::{Config, Publisher, Subscriber, Topics, Transactions};
use bowline::broker::{
    Memory, Polled, Publisher as _, Record, Start, Subscriber as _, TopicPartition, Topics as _,
};
use bowline::outbox::relay::ExactlyOnce;
use bowline_test_history::{Answer, Verdict};
use tokio::time::{sleep, timeout};

use super::life::To;
use super::process::{Told, lane};
use super::run::{Scene, names};
use super::{Engine, Ground, History, LARGE, LATE, Plan, TOPICS, name, relay};

const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
const LOOK: Duration = Duration::from_millis(100);
/// How long it may take to see all, with outages of the broker.
const PATIENCE: Duration = Duration::from_secs(240);
/// The record behind all others.
const END: &str = "end";

/// How to reach a broker. A transaction that a killed process has left open ends after twice this time, or
/// when the next one takes over.
fn config(servers: &str) -> Config {
    Config::new(servers).with_message_timeout(Duration::from_secs(3))
}

/// Relays from the outbox in `ground` to Kafka. `place` is its address, and a folder for what happens.
pub async fn relay_exactly_once(ground: Ground, place: &str, told: Told) {
    let (servers, folder) = place.split_once('@').expect("an address and a folder");
    let ground = ground.with_own_topics();
    let mut config = config(servers);
    if !told.is_calm() {
        config.max_record = u64::try_from(LARGE).expect("small");
    }
    let transactions = Transactions::new(&config).expect("a fine configuration");
    let (outbox, lanes) = (ground.outbox(2 * told.lanes + 1), told.lanes);
    let make = |number, plan: &Plan| {
        let name = format!("{}-{number}", ground.schema);
        let place = TopicPartition::new(ground.topic(TOPICS[0]), 0);
        let delivery = ExactlyOnce::new(plan.around(transactions.clone()), name, place);
        let outbox = lane(&outbox, number, lanes);
        relay(plan.around(outbox), delivery)
    };
    told.run(Path::new(folder), make).await;
}

/// Relays in processes of `program`, which are killed or stopped, and publish exactly once to the broker at
/// `servers`.
pub async fn into_kafka(
    program: &'static str,
    engine: Engine,
    ground: Ground,
    servers: &str,
    folder: &Path,
    history: History,
    seed: u64,
) -> Verdict {
    let ground = ground.with_own_topics();
    let mut scene = Scene::new(engine, &ground, history, seed);
    let config = config(servers);
    for name in TOPICS.iter().filter(|name| **name != LATE) {
        create(&config, &ground.topic(name)).await;
    }
    let place = format!("{servers}@{}", folder.to_str().expect("text"));
    let slots = scene.processes(program, ["relay-exactly-once", &place]);
    let late = tokio::spawn({
        let (config, topic) = (config.clone(), ground.topic(LATE));
        let pause = scene.random.u64(300..2_500);
        async move {
            sleep(Duration::from_millis(pause)).await;
            create(&config, &topic).await;
        }
    });
    scene.play(|| ()).await;
    slots.join_all().await;
    late.await.expect("no panic");
    scene.read_troubles(folder);
    let topics = ground.topics().map(Arc::from);
    match timeout(PATIENCE, seen(&config, &topics)).await {
        Ok(seen) => {
            for name in seen {
                scene.history.appended(0, &name, Answer::Unseen);
            }
        }
        Err(_elapsed) => scene.history.problem("the end is not seen".to_owned()),
    }
    // Not one copy.
    scene.judge(0).await
}

/// Relays in this process, which publish exactly once to a broker in memory.
pub async fn into_memory(engine: Engine, ground: Ground, history: History, seed: u64) -> Verdict {
    let mut scene = Scene::new(engine, &ground, history, seed);
    let broker = Memory::new();
    for topic in TOPICS.iter().filter(|topic| **topic != LATE) {
        let created = broker.create(topic, NonZeroU32::MIN).await;
        created.expect("a new topic");
    }
    let slots = scene.slots(&To::Memory(broker.clone()));
    let late = tokio::spawn({
        let (broker, pause) = (broker.clone(), scene.random.u64(300..2_500));
        async move {
            sleep(Duration::from_millis(pause)).await;
            let created = broker.create(LATE, NonZeroU32::MIN).await;
            created.expect("a new topic");
        }
    });
    scene.play(|| ()).await;
    slots.join_all().await;
    late.await.expect("no panic");
    for name in names(broker.subscriber()).await {
        scene.history.appended(0, &name, Answer::Unseen);
    }
    scene.judge(0).await
}

/// Creates `topic`, when the broker is there again.
async fn create(config: &Config, topic: &str) {
    let topics = Topics::new(config).expect("a fine configuration");
    while let Err(error) = topics.create(topic, NonZeroU32::MIN).await {
        assert!(error.is_transient(), "{error:?}");
        sleep(LOOK).await;
    }
}

/// What is committed in `topics`, each in order, up to a record that is put behind all of it: nothing is seen
/// beyond a transaction that is still open.
async fn seen(config: &Config, topics: &[Arc<str>]) -> Vec<String> {
    let publisher = Publisher::new(config).expect("a fine configuration");
    for topic in topics {
        let end = || vec![Record::new(Arc::clone(topic), END)];
        while publisher.publish(end()).await.iter().any(Result::is_err) {
            sleep(LOOK).await;
        }
    }
    let mut subscriber = Subscriber::new(config).expect("a fine configuration");
    let group = format!("judge-{}", fastrand::u64(..));
    while let Err(error) = subscriber.subscribe(&group, topics, Start::Earliest).await {
        assert!(error.is_transient(), "{error:?}");
        sleep(LOOK).await;
    }
    // After an outage it may begin anew.
    let (mut found, mut ended) = (BTreeMap::new(), HashSet::new());
    while ended.len() < topics.len() {
        let records = match subscriber.poll(MANY).await {
            Ok(Polled::Records(records)) => records,
            Ok(_) => continue,
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                sleep(LOOK).await;
                continue;
            }
        };
        for received in records {
            let (name, at) = (name(&received.record), received.position);
            if name == END {
                ended.insert(at.partition.topic);
            } else {
                let name = name.to_owned();
                found.insert((at.partition.topic, at.offset), name);
            }
        }
    }
    // It need not hear of this.
    drop(subscriber.close().await);
    found.into_values().collect()
}
