//! A fault at each step of a relay's work.

use std::num::NonZeroU32;

use bowline::broker::{Memory, Topics as _};
use bowline::outbox::Store as _;
use bowline::testkit::faults::{Fault, Faults};
use tokio::time::{Duration, sleep};

use super::{LOOK, WINDOW, drain, large, memory, outbox, payloads};
use crate::topics::enqueue;

/// Two that have parked rows in them, before a topic that is missing for a while.
async fn run(faults: &Faults, case: Option<(u64, Fault)>) {
    let (outbox, broker) = (outbox(), memory().await);
    for number in 0..6 {
        enqueue(&outbox, "here.event", number);
        enqueue(&outbox, "late.event", number);
    }
    large(&outbox, "here.event", "1");
    for number in 6..12 {
        enqueue(&outbox, "here.event", number);
        enqueue(&outbox, "late.event", number);
    }
    let (store, faulty) = (faults.wrap(outbox.clone()), faults.wrap(broker.clone()));
    let mended = async {
        sleep(10 * LOOK).await;
        broker.create("late", NonZeroU32::MIN).await.unwrap();
        // The operator does away with what was parked.
        loop {
            let parked = outbox.parked(WINDOW).await.unwrap();
            if let Some(parked) = parked.first() {
                return outbox.discard(parked.entry.id).await.unwrap();
            }
            sleep(LOOK).await;
        }
    };
    let crashed = async {
        faults.struck().await;
        if !matches!(case, Some((_, Fault::Hang))) {
            std::future::pending::<()>().await;
        }
    };
    let relayed = async {
        tokio::select! {
            () = drain(&store, faulty) => {}
            () = crashed => drain(&outbox, broker.clone()).await,
        }
    };
    tokio::join!(relayed, mended);
    // What was behind the parked row, if it was discarded last.
    drain(&outbox, broker.clone()).await;
    check(&broker, case).await;
}

async fn check(broker: &Memory, case: Option<(u64, Fault)>) {
    for topic in ["here", "late"] {
        let seen = payloads(broker, topic).await;
        let mut sorted: Vec<u32> = seen.iter().map(|one| one.parse().unwrap()).collect();
        for key in 0..3 {
            let of_key = sorted.iter().filter(|number| *number % 3 == key);
            assert!(of_key.is_sorted(), "{case:?}, {topic}: {seen:?}");
        }
        sorted.sort_unstable();
        assert_eq!(sorted, Vec::from_iter(0..12), "{case:?}, {topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_whatever_step_a_relay_fails_or_dies_each_row_is_seen_once() {
    let counted = Faults::none();
    run(&counted, None).await;
    assert!(counted.steps() > 40, "{}", counted.steps());
    let late = Fault::Delay(Duration::from_secs(5));
    for step in 1..=counted.steps() {
        for fault in [Fault::Fail, Fault::Drop, Fault::Hang, late] {
            run(&Faults::at(step, fault), Some((step, fault))).await;
        }
    }
}
