//! The breaker against a model of its documentation, step by step.

mod model;

use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Cancelled, Config, Permit, RampUp, State, Window};
use bowline::classify::{Failure, Outcome};
use bowline::config::Ratio;
use bowline::error::Rejected;
use proptest::prelude::*;
use tokio::time::{Instant, advance};

use self::model::{Call, Model, View};

const PERMITS: usize = 6;
const LEASE: Duration = Duration::from_millis(400);
const CAP: Duration = Duration::from_millis(300);
const RAMP: Duration = Duration::from_millis(500);
const SLOW: Duration = Duration::from_millis(150);

#[derive(Debug, Clone)]
enum Step {
    Acquire(usize),
    Record(usize, Outcome),
    Drop(usize),
    Advance(u64),
    ForceOpen,
    Disable,
    MetricsOnly,
    Reset,
    Reconfigure(Box<Config>),
}

/// The wait after `before` others of the schedule.
fn wait(config: &Config, before: u32) -> Duration {
    let base = if config.open_for == open_for(SHORT) {
        SHORT
    } else {
        LONG
    };
    (base * 2u32.pow(before.min(8))).min(CAP)
}

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_millis(250);

fn open_for(base: Duration) -> Backoff {
    Backoff::exponential(base).cap(CAP).jitter(Jitter::None)
}

fn windows() -> impl Strategy<Value = (Window, u32)> {
    prop_oneof![
        2 => (1u32..12, 1u32..12).prop_map(|(size, minimum)| (Window::Calls(size), minimum.min(size))),
        1 => (prop_oneof![Just(200), Just(1_000)], 1u32..12)
            .prop_map(|(millis, minimum)| (Window::Time(Duration::from_millis(millis)), minimum)),
    ]
}

fn policies() -> impl Strategy<Value = Config> {
    let percent = || (1u8..=100).prop_map(Ratio::percent);
    let rules = (
        prop::option::of(percent()),
        prop::option::weighted(0.3, percent()),
        prop::option::of(1u32..6),
    );
    let rules = rules.prop_filter("a rule", |(rate, slow, row)| {
        rate.is_some() || slow.is_some() || row.is_some()
    });
    let cancelled = prop_oneof![
        Just(Cancelled::Failure),
        Just(Cancelled::FailureAfter(SLOW / 2)),
        Just(Cancelled::FailureIfSlow),
        Just(Cancelled::Ignored),
    ];
    let ramp = prop::option::weighted(0.3, percent());
    let base = prop_oneof![Just(SHORT), Just(LONG)];
    let opening = (1u32..5, percent(), ramp, base);
    (windows(), rules, opening, cancelled).prop_map(
        |((window, minimum), (rate, slow, row), (probes, ratio, ramp, base), cancelled)| {
            let mut config = Config::default();
            config.window = window;
            config.minimum_calls = minimum;
            config.failure_rate = rate;
            config.slow_call_rate = slow;
            config.slow_call = SLOW;
            config.consecutive_failures = row;
            config.probes = probes;
            config.success_ratio = ratio;
            config.probe_lease = LEASE;
            config.open_for = open_for(base);
            config.ramp_up = ramp.map(|share| RampUp::over(RAMP).from(share));
            config.cancelled = cancelled;
            config
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let permit = 0..PERMITS;
    let retry_after = Some(Duration::from_millis(200));
    let outcome = prop_oneof![
        6 => Just(Outcome::Success),
        5 => Just(Outcome::Failure(Failure::Transient)),
        1 => Just(Outcome::Failure(Failure::Throttled { retry_after })),
        2 => Just(Outcome::Ignored),
    ];
    let step = prop_oneof![
        40 => permit.clone().prop_map(Step::Acquire),
        40 => (permit.clone(), outcome).prop_map(|(at, outcome)| Step::Record(at, outcome)),
        6 => permit.prop_map(Step::Drop),
        16 => (0u64..200).prop_map(Step::Advance),
        1 => (200u64..2_000).prop_map(Step::Advance),
        2 => prop_oneof![
            Just(Step::ForceOpen),
            Just(Step::Disable),
            Just(Step::MetricsOnly),
            Just(Step::Reset),
            Just(Step::Reset),
        ],
        2 => policies().prop_map(Box::new).prop_map(Step::Reconfigure),
    ];
    prop::collection::vec(step, 500)
}

fn seen(breaker: &Breaker) -> View {
    let snapshot = breaker.snapshot();
    View {
        state: snapshot.state,
        calls: snapshot.calls as usize,
        failures: snapshot.failures as usize,
        slow_calls: snapshot.slow_calls as usize,
        consecutive: snapshot.consecutive_failures,
        reason: snapshot.reason,
        last_failure: snapshot.last_failure,
        retry_after: snapshot.retry_after,
        opened: snapshot.opened,
        rejected: snapshot.rejected,
        stale: snapshot.stale,
    }
}

/// Both are asked, with the same luck.
fn acquire(
    breaker: &Breaker,
    model: &mut Model,
    luck: u64,
) -> Result<Option<(Permit, Call)>, TestCaseError> {
    let now = Instant::now();
    fastrand::seed(luck);
    let real = breaker.try_acquire();
    fastrand::seed(luck);
    let expected = model.acquire(now, fastrand::f64());
    prop_assert_eq!(real.is_ok(), expected.is_some());
    if let Err(refused) = &real {
        let told = model.view(now);
        let Rejected::CircuitOpen {
            state,
            last_failure,
            retry_after,
            ..
        } = refused
        else {
            return Err(TestCaseError::fail("another refusal"));
        };
        prop_assert_eq!((*state, *last_failure), (told.state, told.last_failure));
        if matches!(state, State::Open | State::ForcedOpen) {
            prop_assert_eq!(*retry_after, told.retry_after);
        }
    }
    Ok(real.ok().zip(expected))
}

async fn run(policy: Config, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let breaker = Breaker::builder("oracle").config(policy.clone()).build();
    let (breaker, mut model) = (breaker.expect("a fine policy"), Model::new(policy));
    let mut calls: Vec<Option<(Permit, Call)>> = (0..PERMITS).map(|_| None).collect();
    for (luck, step) in (0..).zip(steps) {
        let now = Instant::now();
        match step {
            Step::Acquire(at) => {
                let acquired = acquire(&breaker, &mut model, luck)?;
                if let Some((_, call)) = calls[at].take() {
                    model.end(call, None, now);
                }
                calls[at] = acquired;
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
                model.force_open();
            }
            Step::Disable => {
                breaker.disable();
                model.watch(State::Disabled);
            }
            Step::MetricsOnly => {
                breaker.metrics_only();
                model.watch(State::MetricsOnly);
            }
            Step::Reset => {
                breaker.reset();
                model.reset();
            }
            Step::Reconfigure(config) => {
                breaker
                    .reconfigure((*config).clone())
                    .expect("a fine policy");
                prop_assert_eq!(&breaker.config(), &*config);
                model.reconfigure(*config);
            }
        }
        prop_assert_eq!(seen(&breaker), model.view(Instant::now()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    /// 250 schedules of 500 steps each: after each of them all that can be seen is compared.
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
