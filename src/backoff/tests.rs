use proptest::prelude::*;

use super::*;

const GROWTHS: [fn(Duration) -> Backoff; 4] = [
    Backoff::constant,
    Backoff::exponential,
    Backoff::fibonacci,
    Backoff::linear,
];
const JITTERS: [Jitter; 4] = [
    Jitter::Decorrelated,
    Jitter::Equal,
    Jitter::Full,
    Jitter::None,
];

fn seeded(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Short and long, and as long as there are.
fn any_duration() -> impl Strategy<Value = Duration> {
    let nanos = 0u32..1_000_000_000;
    prop_oneof![
        (1u64..100_000_000).prop_map(Duration::from_micros),
        (any::<u64>(), nanos).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
        Just(Duration::MAX),
        Just(Duration::from_nanos(1)),
    ]
}

proptest! {
    #[test]
    fn no_delay_is_longer_than_the_cap_and_nothing_overflows(
        base in any_duration(), cap in any_duration(), seed: u64, growth in 0usize..4, jitter in 0usize..4,
    ) {
        let backoff = GROWTHS[growth](base).cap(cap).jitter(JITTERS[jitter]);
        let delays = backoff.delays_from(seeded(seed));
        for (attempt, delay) in (0u32..10_000).zip(delays) {
            prop_assert!(delay <= cap);
            prop_assert!(backoff.delay(attempt) <= cap);
        }
        prop_assert!(backoff.delay(u32::MAX) <= cap);
    }

    #[test]
    fn a_delay_before_jitter_never_falls_and_reaches_the_cap(
        base in 1u64..1_000_000_000, growth in 1usize..4,
    ) {
        let base = Duration::from_nanos(base);
        let cap = base.saturating_mul(10_000);
        let backoff = GROWTHS[growth](base).cap(cap);
        for attempt in 1..10_000 {
            prop_assert!(backoff.delay(attempt) >= backoff.delay(attempt - 1));
        }
        prop_assert_eq!(backoff.delay(0), base);
        prop_assert_eq!(backoff.delay(10_000), cap);
    }

    #[test]
    fn jitter_stays_in_its_range(seed: u64, growth in 0usize..4) {
        let backoff = GROWTHS[growth](ms(100));
        let grown = (0u32..).map(|attempt| backoff.delay(attempt));
        let equal = backoff.jitter(Jitter::Equal).delays_from(seeded(seed));
        for (grown, delay) in grown.zip(equal).take(30) {
            prop_assert!((grown / 2..=grown).contains(&delay));
        }
        let decorrelated = backoff.cap(Backoff::DEFAULT_CAP).jitter(Jitter::Decorrelated);
        let mut previous = ms(100);
        for delay in decorrelated.delays_from(seeded(seed)).take(100) {
            prop_assert!((ms(100)..=previous * 3).contains(&delay));
            previous = delay;
        }
    }
}

#[test]
fn each_growth_follows_its_formula() {
    let first = |backoff: Backoff| -> Vec<_> {
        let delays = backoff.cap(ms(900)).jitter(Jitter::None).delays();
        delays.take(7).map(|delay| delay.as_millis()).collect()
    };
    assert_eq!(first(Backoff::constant(ms(100))), [100; 7]);
    let linear = [100, 200, 300, 400, 500, 600, 700];
    assert_eq!(first(Backoff::linear(ms(100))), linear);
    let fibonacci = [100, 100, 200, 300, 500, 800, 900];
    assert_eq!(first(Backoff::fibonacci(ms(100))), fibonacci);
    let doubled = [100, 200, 400, 800, 900, 900, 900];
    assert_eq!(first(Backoff::exponential(ms(100))), doubled);
}

#[test]
fn a_cap_below_the_base_is_refused_by_name() {
    let mut problems = Problems::default();
    Backoff::exponential(Duration::from_secs(2))
        .cap(Duration::from_secs(1))
        .check("backoff", &mut problems);
    let error = problems.into_result().expect_err("refused");
    assert_eq!(
        error.to_string(),
        "1 problem in the configuration: backoff.cap is 1s, allowed: at least the base, 2s"
    );
}

#[test]
fn every_kind_reads_back_from_text() {
    for growth in GROWTHS {
        for jitter in JITTERS {
            let backoff = growth(ms(100)).jitter(jitter);
            let text = serde_json::to_string(&backoff).expect("writable");
            assert_eq!(
                serde_json::from_str::<Backoff>(&text).expect("readable"),
                backoff
            );
        }
    }
}
