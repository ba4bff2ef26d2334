//! The queue of a bulkhead against a model that does everything the slow and obvious way.

use std::time::Duration;

use bowline::bulkhead::future::Acquire;
use bowline::bulkhead::{Bulkhead, Order, Permit};
use bowline::error::Rejected;
use proptest::prelude::*;
use tokio::time::{Instant, advance};
use tokio_test::task::{Spawn, spawn};

const CALLS: usize = 8;
const WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Begins to wait, unless the call is on its way.
    Acquire(usize),
    TryAcquire(usize),
    Poll(usize),
    /// Ends the call, or gives up waiting.
    Drop(usize),
    Resize(u32),
    Advance(u64),
}

enum Call<'a> {
    Idle,
    Waits(Spawn<Acquire<'a>>),
    Runs(#[expect(dead_code, reason = "holds a place")] Permit),
}

#[derive(Debug)]
struct Model {
    limit: u32,
    bound: usize,
    order: Order,
    running: u32,
    rejected: u64,
    /// Who waits, and until when, oldest first.
    waiting: Vec<(usize, Instant)>,
    granted: Vec<usize>,
}

impl Call<'_> {
    fn ended(result: Result<Permit, Rejected>) -> Self {
        result.map_or(Call::Idle, Call::Runs)
    }
}

impl Model {
    /// Whose time is over is out; who comes next gets what is free.
    fn settle(&mut self, now: Instant) {
        self.waiting.retain(|(_, until)| now < *until);
        while self.running < self.limit && !self.waiting.is_empty() {
            let crowded = 2 * self.waiting.len() > self.bound;
            let next = match self.order {
                Order::AdaptiveLifo if crowded => self.waiting.len() - 1,
                _ => 0,
            };
            self.granted.push(self.waiting.remove(next).0);
            self.running += 1;
        }
    }

    fn enter(&mut self) -> bool {
        let enters = self.waiting.is_empty() && self.running < self.limit;
        self.running += u32::from(enters);
        enters
    }

    /// What a poll of a call that has just come finds.
    fn acquire(&mut self, call: usize, now: Instant) -> Option<bool> {
        if self.enter() {
            return Some(true);
        }
        if self.waiting.len() >= self.bound {
            self.rejected += 1;
            return Some(false);
        }
        self.waiting.push((call, now + WAIT));
        None
    }

    /// What a poll of a call that waits finds.
    fn poll(&mut self, call: usize) -> Option<bool> {
        if let Some(at) = self.granted.iter().position(|granted| *granted == call) {
            self.granted.remove(at);
            return Some(true);
        }
        let waits = self.waiting.iter().any(|(waiting, _)| *waiting == call);
        (!waits).then_some(false)
    }

    fn drop_waiting(&mut self, call: usize) {
        self.waiting.retain(|(waiting, _)| *waiting != call);
        let before = self.granted.len();
        self.granted.retain(|granted| *granted != call);
        self.running -= u32::from(self.granted.len() < before);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let call = 0..CALLS;
    let step = prop_oneof![
        8 => call.clone().prop_map(Step::Acquire),
        3 => call.clone().prop_map(Step::TryAcquire),
        6 => call.clone().prop_map(Step::Poll),
        6 => call.prop_map(Step::Drop),
        1 => (1u32..5).prop_map(Step::Resize),
        2 => (1u64..60).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 300)
}

/// What a future of [`Bulkhead::acquire`] says: a place or none, or nothing yet.
fn poll(waits: &mut Spawn<Acquire<'_>>) -> Option<Result<Permit, Rejected>> {
    match waits.poll() {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}

fn go<'a>(
    bulkhead: &'a Bulkhead,
    model: &mut Model,
    calls: &mut [Call<'a>],
    step: Step,
) -> Result<(), TestCaseError> {
    match step {
        Step::Acquire(at) if matches!(calls[at], Call::Idle) => {
            let mut waits = spawn(bulkhead.acquire());
            let (real, expected) = (poll(&mut waits), model.acquire(at, Instant::now()));
            prop_assert_eq!(real.as_ref().map(Result::is_ok), expected);
            calls[at] = real.map_or(Call::Waits(waits), Call::ended);
        }
        Step::TryAcquire(at) if matches!(calls[at], Call::Idle) => {
            let (real, expected) = (bulkhead.try_acquire(), model.enter());
            model.rejected += u64::from(!expected);
            prop_assert_eq!(real.is_ok(), expected);
            calls[at] = Call::ended(real);
        }
        Step::Poll(at) => {
            let Call::Waits(waits) = &mut calls[at] else {
                return Ok(());
            };
            let expected = model.poll(at);
            prop_assert!(expected.is_none() || waits.is_woken(), "forgotten");
            let real = poll(waits);
            prop_assert_eq!(real.as_ref().map(Result::is_ok), expected);
            if let Some(real) = real {
                calls[at] = Call::ended(real);
            }
        }
        Step::Drop(at) => match std::mem::replace(&mut calls[at], Call::Idle) {
            Call::Idle => {}
            Call::Waits(_) => model.drop_waiting(at),
            Call::Runs(_) => model.running -= 1,
        },
        Step::Resize(limit) => {
            bulkhead.resize(limit).unwrap();
            model.limit = limit;
        }
        Step::Acquire(_) | Step::TryAcquire(_) | Step::Advance(_) => {}
    }
    Ok(())
}

async fn run(mut model: Model, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let queue = u32::try_from(model.bound).unwrap();
    let bulkhead = Bulkhead::builder("model").limit(model.limit).queue(queue);
    let bulkhead = bulkhead.max_wait(WAIT).order(model.order).build().unwrap();
    let mut calls: Vec<Call<'_>> = (0..CALLS).map(|_| Call::Idle).collect();
    for step in steps {
        if let Step::Advance(millis) = step {
            advance(Duration::from_millis(millis)).await;
        }
        model.settle(Instant::now());
        go(&bulkhead, &mut model, &mut calls, step)?;
        model.settle(Instant::now());
        let snapshot = bulkhead.snapshot();
        prop_assert_eq!(snapshot.limit, model.limit);
        prop_assert_eq!(snapshot.running, model.running);
        prop_assert_eq!(snapshot.queued, model.waiting.len());
        prop_assert_eq!(snapshot.rejected, model.rejected);
    }
    drop(calls);
    let snapshot = bulkhead.snapshot();
    prop_assert_eq!((snapshot.running, snapshot.queued), (0, 0));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// 300 schedules of 300 steps each.
    #[test]
    fn the_queue_does_what_the_model_does(
        limit in 1u32..4,
        bound in 0usize..5,
        lifo in any::<bool>(),
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let order = if lifo { Order::AdaptiveLifo } else { Order::Fifo };
        let model = Model {
            limit,
            bound,
            order,
            running: 0,
            rejected: 0,
            waiting: Vec::new(),
            granted: Vec::new(),
        };
        runtime.block_on(run(model, steps))?;
    }
}
