//! The breaker against a model that does everything the slow and obvious way.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Permit, State, Window};
use bowline::classify::{Failure, Outcome};
use bowline::config::Ratio;
use proptest::prelude::*;
use tokio::time::{Instant, advance};

const PERMITS: usize = 6;
const LEASE: Duration = Duration::from_millis(400);
const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy)]
struct Policy {
    window: u32,
    minimum: u32,
    rate: Option<u8>,
    consecutive: Option<u32>,
    probes: u32,
    ratio: u8,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Acquire(usize),
    Record(usize, Outcome),
    Drop(usize),
    Advance(u64),
    ForceOpen,
    Disable,
    MetricsOnly,
    Reset,
}

/// What the model knows of one state of the breaker.
#[derive(Debug, Clone)]
enum Phase {
    Calls(State, Vec<bool>),
    Open(Instant),
    Forced,
    HalfOpen {
        held: BTreeMap<u64, Instant>,
        good: u32,
        bad: u32,
    },
}

#[derive(Debug)]
struct Model {
    policy: Policy,
    phase: Phase,
    /// Which state of the breaker this is, counted from its making.
    phase_id: u64,
    next_probe: u64,
    opened_in_a_row: u32,
}

/// What the model remembers of a call.
type Call = (u64, Option<u64>);

impl Model {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            phase: Phase::Calls(State::Closed, Vec::new()),
            phase_id: 0,
            next_probe: 0,
            opened_in_a_row: 0,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_id += 1;
    }

    fn close(&mut self) {
        self.opened_in_a_row = 0;
        self.enter(Phase::Calls(State::Closed, Vec::new()));
    }

    fn open(&mut self, now: Instant) {
        let wait = BASE * 2u32.pow(self.opened_in_a_row.min(8));
        self.opened_in_a_row += 1;
        self.enter(Phase::Open(now + wait.min(CAP)));
    }

    fn state(&self, now: Instant) -> State {
        match &self.phase {
            Phase::Calls(state, _) => *state,
            Phase::Open(until) if now >= *until => State::HalfOpen,
            Phase::Open(_) => State::Open,
            Phase::Forced => State::ForcedOpen,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    fn acquire(&mut self, now: Instant) -> Option<Call> {
        if matches!(self.phase, Phase::Open(until) if now >= until) {
            self.enter(Phase::HalfOpen {
                held: BTreeMap::new(),
                good: 0,
                bad: 0,
            });
        }
        let id = self.phase_id;
        match &mut self.phase {
            Phase::Calls(..) => Some((id, None)),
            Phase::Open(_) | Phase::Forced => None,
            Phase::HalfOpen { held, good, bad } => {
                held.retain(|_, until| now < *until);
                if u32::try_from(held.len()).unwrap() + *good + *bad >= self.policy.probes {
                    return None;
                }
                let probe = self.next_probe;
                self.next_probe += 1;
                held.insert(probe, now + LEASE);
                Some((id, Some(probe)))
            }
        }
    }

    fn end(&mut self, (id, probe): Call, outcome: Option<Outcome>, now: Instant) {
        if id != self.phase_id {
            return;
        }
        let failed = match outcome {
            Some(Outcome::Success) => Some(false),
            Some(Outcome::Failure(_)) => Some(true),
            Some(Outcome::Ignored) | None => None,
        };
        let policy = self.policy;
        match (&mut self.phase, probe) {
            (Phase::Calls(State::Disabled, _), _) => {}
            (Phase::Calls(state, calls), _) => {
                calls.extend(failed);
                if *state == State::Closed && failed.is_some() && breaks(policy, calls) {
                    self.open(now);
                }
            }
            (Phase::HalfOpen { held, good, bad }, Some(probe)) => {
                let in_time = held.remove(&probe).is_some_and(|until| now < until);
                match failed {
                    Some(failed) if in_time => {
                        *(if failed { bad } else { good }) += 1;
                        self.decide(now);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn decide(&mut self, now: Instant) {
        let Phase::HalfOpen { good, bad, .. } = self.phase else {
            return;
        };
        let needed = f64::from(self.policy.ratio) / 100.0 * f64::from(self.policy.probes);
        if f64::from(good) >= needed {
            self.close();
        } else if f64::from(self.policy.probes - bad) < needed {
            self.open(now);
        }
    }
}

fn breaks(policy: Policy, calls: &[bool]) -> bool {
    let in_a_row = calls.iter().rev().take_while(|failed| **failed).count();
    if policy
        .consecutive
        .is_some_and(|most| in_a_row >= most as usize)
    {
        return true;
    }
    let window = &calls[calls.len().saturating_sub(policy.window as usize)..];
    let failures = window.iter().filter(|failed| **failed).count();
    policy.rate.is_some_and(|rate| {
        failures > 0
            && window.len() >= policy.minimum as usize
            && failures as f64 >= f64::from(rate) / 100.0 * window.len() as f64
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let rates = (prop::option::of(1u8..=100), prop::option::of(1u32..6));
    let rates = rates.prop_filter("a rule", |(rate, row)| rate.is_some() || row.is_some());
    ((1u32..12, 1u32..12), rates, 1u32..5, 1u8..=100).prop_map(
        |((window, minimum), (rate, consecutive), probes, ratio)| Policy {
            window,
            minimum: minimum.min(window),
            rate,
            consecutive,
            probes,
            ratio,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let permit = 0..PERMITS;
    let outcome = prop_oneof![
        3 => Just(Outcome::Success),
        3 => Just(Outcome::Failure(Failure::Transient)),
        1 => Just(Outcome::Ignored),
    ];
    let step = prop_oneof![
        20 => permit.clone().prop_map(Step::Acquire),
        20 => (permit.clone(), outcome).prop_map(|(at, outcome)| Step::Record(at, outcome)),
        3 => permit.prop_map(Step::Drop),
        8 => (0u64..200).prop_map(Step::Advance),
        1 => prop_oneof![
            Just(Step::ForceOpen),
            Just(Step::Disable),
            Just(Step::MetricsOnly),
            Just(Step::Reset),
            Just(Step::Reset),
        ],
    ];
    prop::collection::vec(step, 500)
}

fn breaker(policy: Policy) -> Breaker {
    let mut builder = Breaker::builder("oracle")
        .without_failure_rate()
        .window(Window::Calls(policy.window))
        .minimum_calls(policy.minimum)
        .open_for(Backoff::exponential(BASE).cap(CAP).jitter(Jitter::None))
        .probes(policy.probes)
        .success_ratio(Ratio::percent(policy.ratio))
        .probe_lease(LEASE);
    if let Some(rate) = policy.rate {
        builder = builder.failure_rate(Ratio::percent(rate));
    }
    if let Some(failures) = policy.consecutive {
        builder = builder.consecutive_failures(failures);
    }
    builder.build().expect("a fine policy")
}

async fn run(policy: Policy, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (breaker, mut model) = (breaker(policy), Model::new(policy));
    let mut calls: Vec<Option<(Permit, Call)>> = (0..PERMITS).map(|_| None).collect();
    for step in steps {
        let now = Instant::now();
        match step {
            Step::Acquire(at) => {
                let (real, expected) = (breaker.try_acquire(), model.acquire(now));
                prop_assert_eq!(real.is_ok(), expected.is_some());
                if let Some((_, call)) = calls[at].take() {
                    model.end(call, None, now);
                }
                calls[at] = real.ok().zip(expected);
            }
            Step::Record(at, outcome) => {
                if let Some((permit, call)) = calls[at].take() {
                    permit.record(outcome);
                    model.end(call, Some(outcome), now);
                }
            }
            Step::Drop(at) => {
                if let Some((_, call)) = calls[at].take() {
                    model.end(call, None, now);
                }
            }
            Step::Advance(millis) => advance(Duration::from_millis(millis)).await,
            Step::ForceOpen => {
                breaker.force_open();
                if !matches!(model.phase, Phase::Forced) {
                    model.enter(Phase::Forced);
                }
            }
            Step::Disable => {
                breaker.disable();
                watch(&mut model, State::Disabled);
            }
            Step::MetricsOnly => {
                breaker.metrics_only();
                watch(&mut model, State::MetricsOnly);
            }
            Step::Reset => {
                breaker.reset();
                model.close();
            }
        }
        prop_assert_eq!(breaker.state(), model.state(Instant::now()));
    }
    Ok(())
}

/// Neither opens; what they see is not looked at here.
fn watch(model: &mut Model, state: State) {
    if !matches!(model.phase, Phase::Calls(current, _) if current == state) {
        model.enter(Phase::Calls(state, Vec::new()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    /// 250 schedules of 500 steps each.
    #[test]
    fn it_does_what_the_model_does(policy in policies(), steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(policy, steps))?;
    }
}
