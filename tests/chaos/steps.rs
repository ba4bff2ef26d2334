//! A fault at each step of a consumer's work over a small log.

use std::future::pending;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Memory, Polled, Publisher, Record, Start, Subscriber, Topics};
use bowline::consumer::{Config, Order};
use bowline::testkit::faults::{Fault, Faults};
use bowline_test_history::{Effort, Log, Rules, Watched, What, judge};
use tokio::time::{sleep, timeout};

use crate::member::Member;

const SESSION: Duration = Duration::from_secs(6);
const PARTITIONS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn whatever_fails_at_whatever_step_loses_nothing_and_keeps_the_order() {
    let counted = Faults::none();
    run(&counted, None).await;
    let steps = counted.steps();
    assert!(steps > 20, "{steps}");
    for step in 1..=steps {
        for fault in [
            Fault::Fail,
            Fault::Drop,
            Fault::Delay(SESSION / 2),
            Fault::Delay(SESSION * 2),
            Fault::Hang,
        ] {
            run(&Faults::at(step, fault), Some((step, fault))).await;
        }
    }
}

/// One member works behind the fault, and another joins it in the middle; when the first hangs it is
/// killed.
async fn run(faults: &Faults, case: Option<(u64, Fault)>) {
    let broker = Memory::new().with_session_timeout(SESSION);
    let partitions = NonZeroU32::new(PARTITIONS).unwrap();
    broker.create("t", partitions).await.unwrap();
    let log = Log::new();
    let topics: Vec<Arc<str>> = vec!["t".into()];
    publish(&broker, &log).await;
    let first = faults.wrap(broker.subscriber());
    let first = Member::start(first, 1, &log, &topics, SESSION, how());
    sleep(SESSION / 10).await;
    let second = broker.subscriber();
    let second = Member::start(second, 2, &log, &topics, SESSION, how());
    publish(&broker, &log).await;
    let hangs = async {
        faults.struck().await;
        if !matches!(case, Some((_, Fault::Hang))) {
            pending::<()>().await;
        }
    };
    if timeout(SESSION, hangs).await.is_ok() {
        first.kill().await;
    } else {
        // What hangs while it ends is given up by itself.
        let left = timeout(PATIENCE, first.leave()).await;
        let left = left.unwrap_or_else(|_| panic!("{case:?}: it does not end"));
        left.unwrap();
    }
    let rules = Rules {
        order: Order::Key,
        sessions_last: false,
        brokers_answer: false,
        epochs_grow: true,
    };
    let done = async {
        while !judge(&log.events(), rules).unfinished.is_empty() {
            sleep(SESSION / 4).await;
        }
    };
    let done = timeout(PATIENCE, done).await;
    second.leave().await.unwrap();
    look(&broker, &log, &topics).await;
    let verdict = judge(&log.events(), rules);
    assert!(done.is_ok() && verdict.is_fine(), "{case:?}: {verdict}");
}

fn how() -> (Config, Effort) {
    let mut config = Config::default();
    config.queue = NonZeroUsize::new(4).unwrap();
    config.commit_interval = SESSION / 20;
    config.drain_timeout = SESSION;
    let effort = Effort {
        seed: 1,
        millis: 20..200,
        failures: 10,
    };
    (config, effort)
}

async fn publish(broker: &Memory, log: &Log) {
    let batch = (0..12).map(|n: u32| Record::new("t", "x").with_key((n % 5).to_string()));
    for result in broker.publish(batch.collect()).await {
        let at = result.unwrap().position().unwrap();
        log.note(0, What::Acknowledged(at));
    }
}

async fn look(broker: &Memory, log: &Log, topics: &[Arc<str>]) {
    let mut last = Watched::new(broker.subscriber(), 3, log.clone());
    last.subscribe("group", topics, Start::Earliest)
        .await
        .unwrap();
    let mut found = 0;
    while found < PARTITIONS as usize {
        if let Polled::Assigned(new) = last.poll(NonZeroUsize::MIN).await.unwrap() {
            found += new.len();
        }
    }
}
