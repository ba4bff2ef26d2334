use std::task::{Context, Poll};
use std::time::Duration;

use bowline::adaptive::{Adaptive, Aimd, Algorithm, Builder, Config, Gradient};
use bowline::breaker::{Breaker, State};
use bowline::classify::{Failure, Outcome};
use bowline::config::Ratio;
use bowline::error::{BoxError, Rejected};
use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service as _, ServiceExt, service_fn};
use tower_test::mock;

use super::{SECOND, Service, Upstream, answer, refusal};

const WINDOW: Duration = Duration::from_millis(100);
const TRANSIENT: Outcome = Outcome::Failure(Failure::Transient);

/// Ten calls, and a tenth of a second, to a window.
fn policy(initial: u32) -> Builder {
    Adaptive::builder("upstream")
        .initial(initial)
        .window(10, WINDOW)
}

fn aimd(initial: u32) -> Adaptive {
    let aimd = Algorithm::Aimd(Aimd::default());
    policy(initial)
        .algorithm(aimd)
        .build()
        .expect("a fine policy")
}

fn gradient(initial: u32) -> Adaptive {
    policy(initial).build().expect("a fine policy")
}

/// So many calls at once, which take so long and end alike.
async fn burst(limit: &Adaptive, calls: usize, took: Duration, outcome: Outcome) {
    let permits: Vec<_> = (0..calls)
        .map(|_| limit.try_acquire().expect("a place"))
        .collect();
    advance(took).await;
    permits
        .into_iter()
        .for_each(|permit| permit.record(outcome));
}

#[tokio::test(start_paused = true)]
async fn serial_traffic_leaves_the_limit_alone() {
    for limit in [aimd(20), gradient(20)] {
        for took in [WINDOW, WINDOW / 10, 5 * WINDOW] {
            for _ in 0..1_000 {
                burst(&limit, 1, took, Outcome::Success).await;
            }
        }
        assert_eq!(limit.limit(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_take_no_time_say_nothing_about_a_queue() {
    let limit = gradient(20);
    let busy = async |calls: u32, took, rounds| {
        for _ in 0..rounds {
            let calls = calls.min(limit.limit()) as usize;
            burst(&limit, calls, took, Outcome::Success).await;
            advance(WINDOW).await;
        }
    };
    // Whether they need the limit or not.
    busy(20, Duration::ZERO, 1_000).await;
    busy(1, Duration::ZERO, 1_000).await;
    let snapshot = limit.snapshot();
    assert_eq!((snapshot.limit, snapshot.baseline), (20, None));
    // Nor do they take away what others have shown, or what is being measured.
    busy(4, SECOND, 100).await;
    busy(20, Duration::ZERO, 1_000).await;
    let snapshot = limit.snapshot();
    assert_eq!((snapshot.limit, snapshot.baseline), (20, Some(SECOND)));
    busy(u32::MAX, SECOND, 1).await;
    while !limit.snapshot().measuring {
        busy(u32::MAX, SECOND, 1).await;
    }
    let before = limit.limit();
    busy(u32::MAX, Duration::ZERO, 1_000).await;
    assert!(!limit.snapshot().measuring && limit.limit() > before);
}

#[tokio::test(start_paused = true)]
async fn times_too_short_to_tell_apart_are_no_queue() {
    let limit = gradient(20);
    let mut nanos = [1, 3, 2, 40, 7, 900, 25].into_iter().cycle();
    // Alone they are the shortest that can be measured; together they take many times as long.
    for _ in 0..100 {
        burst(&limit, 1, Duration::from_nanos(1), Outcome::Success).await;
        advance(WINDOW / 5).await;
    }
    assert_eq!(limit.snapshot().baseline, Some(Duration::from_nanos(1)));
    for _ in 0..2_000 {
        let took = Duration::from_nanos(nanos.next().unwrap_or(1));
        let calls = limit.limit() as usize;
        burst(&limit, calls, took, Outcome::Success).await;
        advance(WINDOW).await;
    }
    assert!(limit.limit() >= 20, "{limit:?}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_grows_when_at_least_half_of_it_is_used() {
    let limit = aimd(20);
    burst(&limit, 9, WINDOW, Outcome::Success).await;
    burst(&limit, 9, WINDOW, Outcome::Success).await;
    assert_eq!(limit.limit(), 20);
    burst(&limit, 10, WINDOW, Outcome::Success).await;
    assert_eq!(limit.limit(), 21);
}

#[tokio::test(start_paused = true)]
async fn one_window_is_one_cut_however_many_failures_it_holds() {
    for limit in [aimd(100), gradient(100)] {
        burst(&limit, 12, WINDOW, TRANSIENT).await;
        assert_eq!((limit.limit(), limit.snapshot().cuts), (90, 1));
        // The cut has answered for all that began before it, however late that ends.
        let early: Vec<_> = (0..40).map(|_| limit.try_acquire().unwrap()).collect();
        burst(&limit, 12, WINDOW, TRANSIENT).await;
        assert_eq!(limit.snapshot().cuts, 2);
        advance(10 * WINDOW).await;
        early
            .into_iter()
            .for_each(|permit| permit.record(TRANSIENT));
        assert_eq!((limit.limit(), limit.snapshot().cuts), (81, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_failures_among_many_calls_are_no_overload() {
    let aimd = Algorithm::Aimd(Aimd::default());
    let limit = policy(100).window(100, WINDOW).algorithm(aimd);
    let limit = limit.build().unwrap();
    for _ in 0..20 {
        let failing: Vec<_> = (0..5).map(|_| limit.try_acquire().unwrap()).collect();
        failing
            .into_iter()
            .for_each(|permit| permit.record(TRANSIENT));
        burst(&limit, 95, WINDOW, Outcome::Success).await;
    }
    assert_eq!(limit.snapshot().cuts, 0);
}

#[tokio::test(start_paused = true)]
async fn it_never_falls_below_its_minimum_nor_below_one_call() {
    for (min, limit) in [
        (1, aimd(20)),
        (1, gradient(20)),
        (5, policy(20).min(5).build().unwrap()),
    ] {
        for _ in 0..2_000 {
            burst(&limit, 1, WINDOW, TRANSIENT).await;
        }
        assert_eq!(limit.limit(), min);
    }
}

#[tokio::test(start_paused = true)]
async fn it_never_grows_above_its_maximum() {
    let limit = policy(2).max(3).algorithm(Algorithm::Aimd(Aimd::default()));
    let limit = limit.build().unwrap();
    for _ in 0..200 {
        burst(&limit, 2, WINDOW, Outcome::Success).await;
    }
    assert_eq!(limit.limit(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_about_the_load_does_not_move_it() {
    let limit = aimd(10);
    for outcome in [Outcome::Ignored, Outcome::Failure(Failure::Permanent)] {
        for _ in 0..20 {
            burst(&limit, 10, WINDOW, outcome).await;
        }
    }
    for _ in 0..200 {
        let refused =
            limit.call(|| async { Err::<(), BoxError>(Rejected::bulkhead_full("inner").into()) });
        assert!(refused.await.is_err());
        advance(WINDOW).await;
    }
    assert_eq!((limit.limit(), limit.snapshot().running), (10, 0));

    for _ in 0..10 {
        let late = limit.call(|| async { Err::<(), BoxError>(Rejected::elapsed(SECOND).into()) });
        assert!(late.await.is_err());
        advance(WINDOW).await;
    }
    assert_eq!(limit.snapshot().cuts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_counts_when_it_took_too_long_already() {
    let limit = gradient(20);
    // Nine at once are less than half: the time they take is what a call takes alone.
    for _ in 0..4 {
        burst(&limit, 9, WINDOW, Outcome::Success).await;
    }
    assert_eq!(limit.snapshot().baseline, Some(WINDOW));
    let give_up = async |after: Duration| {
        let given_up: Vec<_> = (0..limit.limit()).map(|_| limit.try_acquire()).collect();
        advance(after).await;
        drop(given_up);
        assert_eq!(limit.snapshot().running, 0);
    };
    for _ in 0..10 {
        give_up(WINDOW).await;
    }
    assert_eq!(limit.limit(), 20);
    for _ in 0..4 {
        give_up(2 * WINDOW).await;
    }
    assert!(limit.limit() <= 12, "{limit:?}");
}

#[tokio::test(start_paused = true)]
async fn to_measure_it_lowers_itself_for_a_moment_and_goes_back() {
    let limit = gradient(20);
    let mut lowered = 0;
    for _ in 0..2_000 {
        let before = limit.snapshot();
        burst(&limit, before.limit as usize, WINDOW, Outcome::Success).await;
        if before.measuring {
            lowered += 1;
        } else if limit.snapshot().measuring {
            let half = limit.limit() * 2;
            assert!(
                half.abs_diff(before.limit) <= before.limit / 10,
                "{before:?}"
            );
        }
    }
    // 200 s, in which it measures every 30 s for four bursts.
    assert!((15..60).contains(&lowered), "{lowered}");
    assert_eq!(limit.snapshot().baseline, Some(WINDOW));
    assert!(
        limit.limit() >= 500,
        "no queue ever held it back: {limit:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_reached_asks_nobody_and_says_so() {
    let limit = gradient(1);
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let mut service = mock::Spawn::new(limit.layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut first = spawn(service.call("first"));
    assert_pending!(first.poll());
    assert_ready_ok!(service.poll_ready());
    let mut second = spawn(service.call("second"));
    let error = assert_ready_err!(second.poll());
    assert_eq!(*refusal(&error), Rejected::limit_exceeded("upstream", 1));
    assert_eq!(error.to_string(), "limit upstream of 1 calls is reached");
    answer!(upstream, "first", Ok("hello"));
    assert_eq!(assert_ready_ok!(first.poll()), "hello");
    let snapshot = limit.snapshot();
    assert_eq!((snapshot.running, snapshot.rejected), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn its_rejections_are_no_evidence_against_the_service() {
    let limit = gradient(1);
    let breaker = Breaker::builder("upstream").consecutive_failures(1);
    let breaker = breaker.build().unwrap();
    let _permit = limit.try_acquire().unwrap();
    for _ in 0..1_000 {
        let refused = breaker.call(|| limit.call(|| async { Ok::<_, BoxError>(()) }));
        assert!(refused.await.is_err());
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn ready_clones_hold_nothing_and_all_layers_are_one() {
    let limit = gradient(1);
    let service = service_fn(|_: ()| async { Ok::<_, BoxError>(()) });
    let mut idle = vec![limit.layer().layer(service); 100];
    for service in &mut idle {
        service.ready().await.unwrap();
    }
    assert!(idle[0].call(()).await.is_ok());
    let permit = limit.try_acquire().unwrap();
    assert!(limit.clone().layer().layer(service).call(()).await.is_err());
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_clone_can_be_protected() {
    struct NotClone;
    impl tower::Service<()> for NotClone {
        type Response = ();
        type Error = BoxError;
        type Future = std::future::Ready<Result<(), BoxError>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }
    assert!(gradient(1).layer().layer(NotClone).call(()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_falls_under_running_calls_leaves_a_debt() {
    let limit = aimd(20);
    let mut held: Vec<_> = (0..20).map(|_| limit.try_acquire().unwrap()).collect();
    let config: Config = serde_json::from_str(r#"{"initial": 18, "max": 18}"#).unwrap();
    limit.reconfigure(config).unwrap();
    let snapshot = limit.snapshot();
    assert_eq!((snapshot.limit, snapshot.running), (18, 20));
    for left in (18..20).rev() {
        held.pop();
        assert_eq!(limit.snapshot().running, left);
        assert!(limit.try_acquire().is_err());
    }
    held.pop();
    assert!(limit.try_acquire().is_ok());
    let config: Config = serde_json::from_str(r#"{"min": 0, "samples": 0}"#).unwrap();
    assert_eq!(limit.reconfigure(config).unwrap_err().problems().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_policy_forgets_nothing_that_still_holds() {
    let limit = gradient(20);
    for _ in 0..20 {
        burst(&limit, 10, WINDOW, Outcome::Success).await;
        burst(&limit, 2, WINDOW, Outcome::Success).await;
    }
    while limit.snapshot().cuts == 0 {
        burst(&limit, 10, WINDOW, TRANSIENT).await;
    }
    let learned = limit.snapshot();
    assert!(
        learned.baseline == Some(WINDOW) && learned.limit > 15,
        "{learned:?}"
    );
    let _running = limit.try_acquire().unwrap();
    let taken_on = |change: fn(&mut Config)| {
        let mut config = limit.config();
        change(&mut config);
        limit.reconfigure(config).unwrap();
        assert_eq!(limit.config(), config);
        let snapshot = limit.snapshot();
        assert_eq!((snapshot.running, snapshot.cuts), (1, learned.cuts));
        (snapshot.limit, snapshot.baseline)
    };
    let kept = (learned.limit, learned.baseline);
    assert_eq!(taken_on(|config| config.max = 500), kept);
    let tolerant = |config: &mut Config| {
        let gradient = Gradient::default().tolerance(Ratio::HALF);
        config.algorithm = Algorithm::Gradient(gradient);
    };
    assert_eq!(taken_on(tolerant), kept);
    assert_eq!(
        taken_on(|config| (config.initial, config.max) = (15, 15)),
        (15, learned.baseline)
    );
    let other = |config: &mut Config| config.algorithm = Algorithm::Aimd(Aimd::default());
    assert_eq!(taken_on(other), (15, None));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_read_again_and_again_does_not_stop_it() {
    let limit = aimd(20);
    for _ in 0..20 {
        burst(&limit, 5, WINDOW / 4, TRANSIENT).await;
        limit.reconfigure(limit.config()).unwrap();
    }
    assert!(limit.limit() < 20);
}

#[tokio::test(start_paused = true)]
async fn a_permit_may_outlive_its_limit_and_moves_no_other() {
    let permits: Vec<_> = (0..100).map(|_| aimd(1).try_acquire().unwrap()).collect();
    let others: Vec<_> = (0..200).map(|_| aimd(1)).collect();
    advance(WINDOW).await;
    permits
        .into_iter()
        .for_each(|permit| permit.record(TRANSIENT));
    for other in others {
        let snapshot = other.snapshot();
        assert_eq!((snapshot.limit, snapshot.running, snapshot.cuts), (1, 0, 0));
    }
}
