//! Rows that can never be published, that make the publisher panic, or that end whoever publishes them.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{Appended, Memory, PublishError, Publisher, Record, Topics as _};
use bowline::error::{Error, Kind};
use bowline::message::Message;
use bowline::outbox::relay::{Config, OnPoison};
use bowline::outbox::{self, Relay, Store as _};
use bowline::shutdown::Shutdown;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

const WINDOW: NonZeroUsize = NonZeroUsize::new(10).unwrap();
const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();
const A_MINUTE: Duration = Duration::from_secs(60);

/// A broker with rows that it does not like, by their payload.
#[derive(Debug, Clone)]
struct Broker {
    inner: Memory,
    taken: Arc<Mutex<Vec<String>>>,
    calls: Arc<Mutex<Vec<usize>>>,
    /// The process that publishes is gone.
    gone: Arc<Notify>,
    away: Arc<Mutex<bool>>,
    /// It bears what ended it before.
    mended: Arc<Mutex<bool>>,
}

impl Broker {
    async fn new() -> Self {
        let inner = Memory::new();
        inner.create("events", NonZeroU32::MIN).await.unwrap();
        Self {
            inner,
            taken: Arc::default(),
            calls: Arc::default(),
            gone: Arc::default(),
            away: Arc::default(),
            mended: Arc::default(),
        }
    }

    /// All that was published, in order, without copies.
    fn taken(&self) -> Vec<String> {
        let mut taken = self.taken.lock().unwrap().clone();
        let mut seen = std::collections::HashSet::new();
        taken.retain(|payload| seen.insert(payload.clone()));
        taken
    }
}

impl Publisher for Broker {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        self.calls.lock().unwrap().push(batch.len());
        if *self.away.lock().unwrap() {
            let away = |_| {
                let error = Error::new(Kind::Unavailable, "test", "publish");
                Err(PublishError::not_sent(error))
            };
            return batch.into_iter().map(away).collect();
        }
        let mut failed = Vec::new();
        let mut results = Vec::new();
        for record in batch {
            let payload = record.payload.clone().unwrap_or_default();
            let payload = String::from_utf8(payload.to_vec()).unwrap();
            assert!(!payload.starts_with("panic"), "cannot bear {payload}");
            if payload.starts_with("end") && !*self.mended.lock().unwrap() {
                self.gone.notify_one();
                std::future::pending::<()>().await;
            }
            if failed.contains(&record.key) {
                results.push(Err(PublishError::held("test")));
            } else if payload.starts_with("large") {
                failed.push(record.key.clone());
                let error = Error::new(Kind::TooLarge, "test", "publish");
                results.push(Err(PublishError::not_sent(error)));
            } else {
                self.taken.lock().unwrap().push(payload);
                results.extend(self.inner.publish(vec![record]).await);
            }
        }
        results
    }

    fn system(&self) -> &'static str {
        "test"
    }
}

fn outbox(rows: &[(&str, &str)]) -> outbox::Memory {
    let outbox = outbox::Memory::new().with_topic("events");
    enqueue(&outbox, rows);
    outbox
}

/// Payloads and keys.
fn enqueue(outbox: &outbox::Memory, rows: &[(&str, &str)]) {
    let mut tx = outbox.begin();
    for (payload, key) in rows {
        let message = Message::new("suite.event", (*payload).to_owned()).with_key(*key);
        outbox.enqueue(&mut tx, &message).unwrap();
    }
    tx.commit();
}

fn relay(
    outbox: &outbox::Memory,
    broker: &Broker,
    on_poison: OnPoison,
) -> Relay<outbox::Memory, Broker> {
    let relay = Relay::builder(outbox.clone(), broker.clone()).window(WINDOW);
    relay.on_poison(on_poison).build().unwrap()
}

/// Runs a relay for a minute, and again whenever it is gone like a process that crashes; how often it was.
async fn run(outbox: &outbox::Memory, broker: &Broker, on_poison: OnPoison, lives: u32) -> u32 {
    for life in 0..lives {
        let shutdown = Shutdown::new();
        let working = relay(outbox, broker, on_poison).run(shutdown.token());
        let done = async {
            sleep(A_MINUTE).await;
            shutdown.trigger();
            std::future::pending().await
        };
        tokio::select! {
            ended = working => {
                ended.unwrap();
                return life;
            }
            () = broker.gone.notified() => {}
            () = done => {}
        }
        sleep(Config::LEASE).await;
    }
    lives
}

async fn parked(outbox: &outbox::Memory) -> Vec<(String, String)> {
    let parked = outbox.parked(MANY).await.unwrap();
    let shown = parked.into_iter().map(|row| {
        let payload = row.entry.record.payload.unwrap();
        let payload = String::from_utf8(payload.to_vec()).unwrap();
        (payload, row.reason)
    });
    shown.collect()
}

const MIXED: [(&str, &str); 6] = [
    ("1", "a"),
    ("large", "a"),
    ("2", "a"),
    ("3", "b"),
    ("4", "a"),
    ("5", "b"),
];

#[tokio::test(start_paused = true)]
async fn a_poison_row_stops_its_key_alone() {
    let (outbox, broker) = (outbox(&MIXED), Broker::new().await);
    run(&outbox, &broker, OnPoison::ParkKey, 1).await;
    assert_eq!(broker.taken(), ["1", "3", "5"]);
    let status = outbox.status().await.unwrap();
    assert_eq!((status.pending, status.aside, status.parked), (2, 2, 1));
    assert_eq!(status.parked_keys, 1);
}

/// What was held back behind it goes on at once and in order, and nobody's topic is left alone for it.
#[tokio::test(start_paused = true)]
async fn a_poison_row_that_is_parked_alone_stops_nobody() {
    let (outbox, broker) = (outbox(&MIXED), Broker::new().await);
    let report = relay(&outbox, &broker, OnPoison::ParkEvent)
        .run_once()
        .await;
    let report = report.unwrap();
    assert_eq!((report.published, report.parked, report.aside), (5, 1, 0));
    assert_eq!(broker.taken(), ["1", "3", "5", "2", "4"]);
    let many: Vec<_> = (0..9).map(|_| ("large", "a")).chain([("6", "a")]).collect();
    enqueue(&outbox, &many);
    run(&outbox, &broker, OnPoison::ParkEvent, 1).await;
    assert_eq!(broker.taken().last().unwrap(), "6");
    let status = outbox.status().await.unwrap();
    assert_eq!(
        (status.pending, status.parked, status.parked_keys),
        (0, 10, 0)
    );
}

/// Nothing is published after it, by nobody, until an operator has seen to it.
#[tokio::test(start_paused = true)]
async fn a_poison_row_halts_the_outbox_until_it_is_resumed() {
    let (outbox, broker) = (outbox(&MIXED), Broker::new().await);
    let shutdown = Shutdown::new();
    let relays: Vec<_> = (0..2)
        .map(|_| {
            let relay = relay(&outbox, &broker, OnPoison::Halt);
            tokio::spawn(relay.run(shutdown.token()))
        })
        .collect();
    sleep(A_MINUTE).await;
    enqueue(&outbox, &[("6", "c")]);
    sleep(A_MINUTE).await;
    let calls = broker.calls.lock().unwrap().len();
    assert_eq!(
        (broker.taken(), calls),
        (vec!["1".into(), "3".into(), "5".into()], 1)
    );
    let status = outbox.status().await.unwrap();
    assert!(status.halted.unwrap().reason.contains("too large"));
    assert_eq!((status.pending, status.parked, status.owner), (3, 1, None));

    let bad = outbox.parked(MANY).await.unwrap().remove(0).entry.id;
    outbox.discard(bad).await.unwrap();
    outbox.resume().await.unwrap();
    sleep(A_MINUTE).await;
    let taken = broker.taken();
    let of_key = taken.iter().filter(|payload| *payload != "6");
    let of_key: Vec<_> = of_key.map(String::as_str).collect();
    assert_eq!((of_key, taken.len()), (vec!["1", "3", "5", "2", "4"], 6));
    shutdown.trigger();
    for relay in relays {
        relay.await.unwrap().unwrap();
    }
}

/// An operator who halts the outbox gets what is in hand settled: nothing is published twice.
#[tokio::test(start_paused = true)]
async fn an_operator_halts_without_copies() {
    let (outbox, broker) = (outbox(&[("1", "a")]), Broker::new().await);
    let shutdown = Shutdown::new();
    let relay = relay(&outbox, &broker, OnPoison::ParkKey);
    let relay = tokio::spawn(relay.run(shutdown.token()));
    for number in 2..30 {
        enqueue(&outbox, &[(&number.to_string(), "a")]);
        sleep(Duration::from_millis(3)).await;
        if number % 7 == 0 {
            outbox.halt("a look").await.unwrap();
            sleep(A_MINUTE).await;
            assert_eq!(outbox.status().await.unwrap().owner, None);
            enqueue(&outbox, &[(&format!("{number} halted"), "a")]);
            sleep(A_MINUTE).await;
            assert!(!broker.taken().contains(&format!("{number} halted")));
            outbox.resume().await.unwrap();
        }
    }
    sleep(A_MINUTE).await;
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    assert_eq!(broker.taken().len(), 29 + 4);
    assert_eq!(broker.taken.lock().unwrap().len(), 29 + 4, "no copies");
}

/// What the broker did not take before is not tried again while the outbox is halted.
#[tokio::test(start_paused = true)]
async fn an_outbox_that_is_halted_in_an_outage_stays_so_when_the_broker_is_back() {
    let (outbox, broker) = (outbox(&[("1", "a"), ("2", "a")]), Broker::new().await);
    *broker.away.lock().unwrap() = true;
    let shutdown = Shutdown::new();
    let relay = relay(&outbox, &broker, OnPoison::ParkKey);
    let relay = tokio::spawn(relay.run(shutdown.token()));
    sleep(A_MINUTE).await;
    outbox.halt("a look").await.unwrap();
    sleep(A_MINUTE).await;
    *broker.away.lock().unwrap() = false;
    sleep(A_MINUTE).await;
    assert_eq!(broker.taken(), [""; 0]);
    assert_eq!(outbox.status().await.unwrap().owner, None);
    outbox.resume().await.unwrap();
    sleep(A_MINUTE).await;
    assert_eq!(broker.taken(), ["1", "2"]);
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

/// Whoever publishes it is gone without a word, and so is the next one: it is found and parked, and all
/// else is published.
#[tokio::test(start_paused = true)]
async fn a_row_that_ends_its_relays_is_parked() {
    let rows = [("1", "a"), ("2", "b"), ("end", "a"), ("3", "a"), ("4", "b")];
    let (outbox, broker) = (outbox(&rows), Broker::new().await);
    let lives = run(&outbox, &broker, OnPoison::ParkKey, 50).await;
    assert_eq!(broker.taken(), ["1", "2", "4"]);
    let parked = parked(&outbox).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].0, "end");
    assert!(parked[0].1.contains("5 relays ended"), "{}", parked[0].1);
    // Three by windows, of which the good rows were settled alone then, three again, and five alone.
    assert!((8..=11).contains(&lives), "{lives} lives");
    enqueue(&outbox, &[("5", "b")]);
    run(&outbox, &broker, OnPoison::ParkKey, 1).await;
    assert_eq!(broker.taken(), ["1", "2", "4", "5"]);
}

/// The relay that has parked it goes on, and does not park it again for what was; nor do those after it.
#[tokio::test(start_paused = true)]
async fn a_row_that_ended_its_relays_is_published_once_it_is_retried() {
    let rows = [("end", "a"), ("1", "a"), ("2", "b")];
    let (outbox, broker) = (outbox(&rows), Broker::new().await);
    let operated = async {
        let row = loop {
            match outbox.parked(MANY).await.unwrap().pop() {
                Some(row) => break row.entry.id,
                None => sleep(Duration::from_secs(1)).await,
            }
        };
        *broker.mended.lock().unwrap() = true;
        outbox.retry(row).await.unwrap();
    };
    tokio::join!(run(&outbox, &broker, OnPoison::ParkKey, 50), operated);
    assert_eq!(parked(&outbox).await, []);
    assert_eq!(broker.taken(), ["2", "end", "1"]);
}

/// With rows aside that are tried before it each time, and are answered.
#[tokio::test(start_paused = true)]
async fn a_row_that_ends_its_relays_is_found_behind_others() {
    let (outbox, broker) = (outbox(&[("large", "a"), ("1", "a")]), Broker::new().await);
    run(&outbox, &broker, OnPoison::ParkKey, 1).await;
    enqueue(&outbox, &[("end", "b"), ("end too", "b"), ("2", "c")]);
    for _ in 0..40 {
        let lives = run(&outbox, &broker, OnPoison::ParkEvent, 1).await;
        let bad = outbox.parked(MANY).await.unwrap();
        if lives == 0 {
            break;
        }
        // An operator who hopes for the best.
        if let Some(row) = bad.iter().find(|row| row.reason.contains("large")) {
            outbox.retry(row.entry.id).await.unwrap();
        }
    }
    let payloads: Vec<_> = parked(&outbox)
        .await
        .into_iter()
        .map(|(payload, _)| payload)
        .collect();
    assert_eq!(payloads, ["large", "end", "end too"]);
    assert_eq!(broker.taken(), ["1", "2"]);
}

/// One that waits aside, while new rows come all the time and are published.
#[tokio::test(start_paused = true)]
async fn a_row_aside_that_ends_its_relays_is_found_while_others_come() {
    let (outbox, broker) = (outbox(&[("large", "a")]), Broker::new().await);
    run(&outbox, &broker, OnPoison::ParkKey, 1).await;
    enqueue(&outbox, &[("end", "a")]);
    run(&outbox, &broker, OnPoison::ParkKey, 1).await;
    let large = outbox.parked(MANY).await.unwrap()[0].entry.id;
    outbox.discard(large).await.unwrap();
    for life in 0..20 {
        enqueue(&outbox, &[(&format!("{life}"), "b")]);
        run(&outbox, &broker, OnPoison::ParkKey, 1).await;
    }
    let parked = parked(&outbox).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].0, "end");
    assert_eq!(broker.taken().len(), 20);
}

/// While the broker is away, relays are killed and started all the time: no row is to blame.
#[tokio::test(start_paused = true)]
async fn relays_that_are_killed_in_an_outage_park_nothing() {
    let (outbox, broker) = (outbox(&[("1", "a"), ("2", "b")]), Broker::new().await);
    *broker.away.lock().unwrap() = true;
    for round in 0..40 {
        let working = relay(&outbox, &broker, OnPoison::ParkKey).run(Shutdown::new().token());
        let lived = Duration::from_millis(11_000 + 137 * round);
        assert!(timeout(lived, working).await.is_err());
    }
    *broker.away.lock().unwrap() = false;
    run(&outbox, &broker, OnPoison::ParkKey, 1).await;
    assert_eq!(broker.taken(), ["1", "2"]);
    assert_eq!(parked(&outbox).await, []);
}

/// As before, with a broker that does not even answer: who lives on with a row in hand for a third of its
/// lease does not die of it.
#[tokio::test(start_paused = true)]
async fn relays_that_are_killed_while_the_broker_hangs_park_nothing() {
    let (outbox, broker) = (outbox(&[("end", "a")]), Broker::new().await);
    for _ in 0..40 {
        let working = relay(&outbox, &broker, OnPoison::ParkKey).run(Shutdown::new().token());
        let lived = Config::LEASE + Config::LEASE / 2;
        assert!(timeout(lived, working).await.is_err());
    }
    assert_eq!(parked(&outbox).await, []);
}

/// Relays that are told to stop count for nothing, however many.
#[tokio::test(start_paused = true)]
async fn relays_that_are_stopped_calmly_are_no_crashes() {
    let (outbox, broker) = (outbox(&[("1", "a"), ("2", "b")]), Broker::new().await);
    *broker.away.lock().unwrap() = true;
    for _ in 0..10 {
        run(&outbox, &broker, OnPoison::ParkKey, 1).await;
    }
    let lease = outbox.lease("test", A_MINUTE).await.unwrap().unwrap();
    assert_eq!(lease.crashes.count, 0);
}

/// The panic is caught; of several rows the one is found, and it fails alone.
#[tokio::test(start_paused = true)]
async fn a_publisher_that_panics_does_not_end_the_relay() {
    let rows = [
        ("1", "a"),
        ("panic", "b"),
        ("2", "b"),
        ("3", "a"),
        ("panic", "c"),
        ("4", "d"),
    ];
    let (outbox, broker) = (outbox(&rows), Broker::new().await);
    assert_eq!(run(&outbox, &broker, OnPoison::ParkKey, 1).await, 0);
    let mut taken = broker.taken();
    taken.sort_unstable();
    assert_eq!(taken, ["1", "3", "4"]);
    let parked = parked(&outbox).await;
    assert_eq!(parked.len(), 2);
    assert!(
        parked[0].1.contains("panicked 5 times: cannot bear panic"),
        "{parked:?}"
    );
    assert_eq!(outbox.status().await.unwrap().aside, 1);
}
