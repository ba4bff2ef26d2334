use std::ops::Range;
use std::panic::catch_unwind;
use std::time::Duration;

use bowline::broker::{Memory, MemorySubscriber};
use bowline_test_history::{Verdict, all_fine, seeds};
use tokio::runtime;

use crate::plan::Plan;
use crate::run::{World, run};

const SEEDS: Range<u64> = 0..300;
const SESSION: Duration = Duration::from_secs(6);

struct InMemory(Memory);

impl World for InMemory {
    type Broker = Memory;
    type Subscriber = MemorySubscriber;

    fn broker(&self) -> &Memory {
        &self.0
    }

    fn subscriber(&self) -> MemorySubscriber {
        self.0.subscriber()
    }

    /// It would forget everything.
    async fn restart(&mut self) {}

    fn is_virtual(&self) -> bool {
        true
    }
}

/// Runs one seed in time that passes only when everybody waits.
fn in_virtual_time(seed: u64) -> Verdict {
    // What the consumers draw for their delays.
    fastrand::seed(seed);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let world = InMemory(Memory::new().with_session_timeout(SESSION));
    runtime.block_on(run(world, Plan::new(seed, SESSION)))
}

#[test]
fn a_group_in_memory_keeps_its_promises() {
    let verdicts = seeds(SEEDS).map(|seed| {
        let verdict = catch_unwind(|| in_virtual_time(seed));
        (
            seed,
            verdict.unwrap_or_else(|_| Verdict::panicked("see above")),
        )
    });
    let all = all_fine("cargo test --test chaos a_group_in_memory", verdicts);
    assert!(all.lost > 0 && all.repeated > 0 && all.fenced > 0, "{all}");
}
