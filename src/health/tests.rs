use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::discovery::{Instance, Memory, Registry, Ttl, register};
use crate::error::BoxError;
use crate::shutdown::Shutdown;

async fn fine() -> Result<(), BoxError> {
    Ok(())
}

async fn broken() -> Result<(), BoxError> {
    Err("password=hunter2".into())
}

#[tokio::test(start_paused = true)]
async fn a_hanging_and_a_panicking_check_are_down_and_the_others_are_not() {
    let health = Health::builder()
        .critical("fine", fine)
        .degraded("hangs", || async {
            pending::<()>().await;
            Ok(())
        })
        .degraded("panics", || async { panic!("no") })
        .build()
        .expect("valid");
    health.refresh().await;
    health.refresh().await;
    let report = health.report();
    let reasons: Vec<_> = report.checks.iter().map(|check| check.reason).collect();
    assert_eq!(
        reasons,
        [None, Some(Reason::TimedOut), Some(Reason::Panicked)]
    );
    assert_eq!(report.status, Status::Degraded);
    assert!(report.checks[0].up && !report.checks[1].up && !report.checks[2].up);
}

#[tokio::test(start_paused = true)]
async fn a_critical_check_decides_and_the_report_keeps_the_error_to_itself() {
    let health = Health::builder()
        .critical("db", broken)
        .build()
        .expect("valid");
    health.refresh().await;
    assert!(!health.is_ready());
    assert_eq!(health.phase(), Phase::Starting);
    let shown = serde_json::to_string(&health.report()).expect("json");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn nobody_checking_is_not_ready_and_draining_is_final() {
    let health = Health::builder()
        .critical("db", fine)
        .build()
        .expect("valid");
    health.refresh().await;
    assert!(health.is_ready());
    tokio::time::advance(Duration::from_secs(22)).await;
    assert_eq!(health.report().checks[0].reason, Some(Reason::Stale));
    assert!(!health.is_ready());
    health.refresh().await;
    assert!(health.is_ready());
    health.set_draining();
    health.refresh().await;
    assert!(!health.is_ready());
}

#[test]
fn all_problems_of_a_list_are_told() {
    let error = Health::builder()
        .critical("db", fine)
        .degraded("db", fine)
        .timeout(Duration::ZERO)
        .build()
        .expect_err("refused");
    assert_eq!(error.problems().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_in_order() {
    let registry = Memory::new();
    let instance = Instance::new("tasks", "127.0.0.1:1");
    let registration = register(&registry, instance, Ttl::DEFAULT)
        .await
        .expect("listed");
    let health = Health::builder().build().expect("valid");
    let shutdown = Shutdown::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let part = |name: &'static str| {
        let (log, health, registry) = (log.clone(), health.clone(), registry.clone());
        move |token: Token| async move {
            token.stopped().await;
            assert_eq!(health.phase(), Phase::Draining);
            let listed = registry.list("tasks", None).await?.expect("a listing");
            assert!(listed.instances.is_empty());
            log.lock().expect("alone").push((name, Instant::now()));
            Ok::<_, crate::Error>(())
        }
    };
    let lifecycle = Lifecycle::new(shutdown.clone())
        .health(health.clone())
        .registration(registration)
        .task("relay", part("relay"))
        .server("http", part("http"));
    let began = Instant::now();
    let trigger = async {
        sleep(Duration::from_secs(1)).await;
        shutdown.trigger();
    };
    let (ended, ()) = tokio::join!(lifecycle.run(), trigger);
    ended.expect("calm");
    let log = log.lock().expect("alone");
    let names: Vec<_> = log.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["http", "relay"]);
    let settled = Duration::from_secs(1) + Lifecycle::DEFAULT_SETTLE;
    assert!(
        log[0].1 - began >= settled,
        "served on until callers had new lists"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_part_ends_the_others_and_its_error_is_returned() {
    let shutdown = Shutdown::new();
    let error = Lifecycle::new(shutdown.clone())
        .task("relay", |_| async {
            Err::<(), BoxError>("disk full".into())
        })
        .task("consumer", |token: Token| async move {
            token.stopped().await;
            Ok::<_, BoxError>(())
        })
        .run()
        .await
        .expect_err("failed");
    assert!(shutdown.token().is_stopped());
    assert_eq!(
        crate::error::Chain(&error).to_string(),
        "relay failed: disk full"
    );
}

#[tokio::test(start_paused = true)]
async fn a_part_that_does_not_end_is_named_and_given_up() {
    let shutdown = Shutdown::new();
    shutdown.trigger();
    let began = Instant::now();
    let error = Lifecycle::new(shutdown)
        .task("stuck", |_| async {
            pending::<Result<(), BoxError>>().await
        })
        .run()
        .await
        .expect_err("given up");
    assert_eq!(error.to_string(), "not finished in time: stuck");
    assert!(began.elapsed() < Duration::from_secs(25));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_end_leaves_the_tasks_their_time() {
    let shutdown = Shutdown::new();
    shutdown.trigger();
    let stuck = |_| async { pending::<Result<(), BoxError>>().await };
    let (told, drained) = (Arc::new(Mutex::new(false)), Duration::from_secs(4));
    let done = told.clone();
    let error = Lifecycle::new(shutdown)
        .server("http", stuck)
        .task("hangs", stuck)
        .task("relay", move |token: Token| async move {
            token.stopped().await;
            sleep(drained).await;
            *done.lock().expect("alone") = true;
            Ok::<_, BoxError>(())
        })
        .run()
        .await
        .expect_err("given up");
    assert!(*told.lock().expect("alone"), "the relay had no time");
    assert_eq!(error.to_string(), "not finished in time: http, hangs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_blocks_its_thread_holds_nobody_up() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let blocking = move || {
        let gate = gate.clone();
        async move {
            // Until the test ends and drops the other side.
            let _closed = gate.lock().expect("alone").recv();
            Ok::<_, BoxError>(())
        }
    };
    let health = Health::builder()
        .critical("fine", fine)
        .degraded("blocks", blocking)
        .timeout(Duration::from_millis(20))
        .interval(Duration::from_millis(20))
        .build()
        .expect("valid");
    for _ in 0..3 {
        health.refresh().await;
        let report = health.report();
        assert!(report.checks[0].up, "{report:?}");
        assert_eq!(report.checks[1].reason, Some(Reason::TimedOut));
    }
    assert_eq!(health.report().status, Status::Degraded);
    drop(open);
}

#[cfg(feature = "axum")]
#[tokio::test(start_paused = true)]
async fn a_dead_database_makes_not_ready_and_stays_alive() {
    use tower::ServiceExt;

    let health = Health::builder()
        .critical("db", broken)
        .build()
        .expect("valid");
    health.refresh().await;
    let routes: axum::Router = health.routes();
    for (path, status) in [
        ("/health", 503),
        ("/health/live", 200),
        ("/health/ready", 503),
    ] {
        let request = http::Request::get(path).body(axum::body::Body::empty());
        let response = routes.clone().oneshot(request.expect("a request")).await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), status, "{path}");
        let body = axum::body::to_bytes(response.into_body(), 4096)
            .await
            .expect("a body");
        assert!(
            !String::from_utf8_lossy(&body).contains("hunter2"),
            "{path}"
        );
    }
}
