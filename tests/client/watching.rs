use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bowline::discovery::{
    Balance, Balancer, Freshness, Instance, Memory, Registry, Ttl, WatchOptions, register, watch,
};
use tokio::time::sleep;

use crate::support::Flaky;

const SECOND: Duration = Duration::from_secs(1);

fn instance(port: u16) -> Instance {
    Instance::new("tasks", format!("127.0.0.1:{port}"))
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_fails_takes_no_instance_away() {
    let registry = Flaky::default();
    let _kept = register(&registry, instance(1), Ttl::DEFAULT)
        .await
        .expect("listed");
    let watch = watch(&registry, "tasks", WatchOptions::default())
        .await
        .expect("a watch");
    registry.down.store(true, Ordering::SeqCst);
    sleep(SECOND * 600).await;
    let snapshot = watch.snapshot();
    assert_eq!(snapshot.instances().len(), 1);
    assert_eq!(snapshot.freshness(), Freshness::Unreachable);
    assert!(snapshot.age() > SECOND * 590);

    // The registry is back, but the instance has expired in it: first it is held, then it is back.
    registry.down.store(false, Ordering::SeqCst);
    sleep(SECOND * 2).await;
    assert_eq!(watch.snapshot().instances().len(), 1);
    sleep(SECOND * 6).await;
    assert_eq!(watch.snapshot().instances().len(), 1);
    assert_eq!(watch.snapshot().freshness(), Freshness::Fresh);
}

#[tokio::test(start_paused = true)]
async fn an_empty_listing_is_believed_after_the_grace_time() {
    let registry = Memory::new();
    registry
        .announce(&instance(1), SECOND * 3600)
        .await
        .expect("announced");
    let watch = watch(&registry, "tasks", WatchOptions::default())
        .await
        .expect("a watch");
    registry.clear();
    sleep(SECOND * 29).await;
    assert_eq!(watch.snapshot().instances().len(), 1);
    assert_eq!(watch.snapshot().freshness(), Freshness::Vanished);
    sleep(SECOND * 3).await;
    assert!(watch.snapshot().instances().is_empty());
    assert_eq!(watch.snapshot().freshness(), Freshness::Fresh);
}

#[tokio::test(start_paused = true)]
async fn a_change_arrives_without_waiting_for_the_poll() {
    let registry = Memory::new();
    let options = WatchOptions::default()
        .with_interval(SECOND * 60)
        .expect("valid");
    let watch = watch(&registry, "tasks", options).await.expect("a watch");
    sleep(SECOND).await;
    registry
        .announce(&instance(1), SECOND * 3600)
        .await
        .expect("announced");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(watch.snapshot().instances().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_spread_stays_even_while_the_set_changes() {
    let registry = Memory::new();
    for port in 1..=3 {
        registry
            .announce(&instance(port), SECOND * 3600)
            .await
            .expect("announced");
    }
    let watch = watch(&registry, "tasks", WatchOptions::default())
        .await
        .expect("a watch");
    let balancer = Balancer::new(watch, Balance::RoundRobin);
    let mut counts: HashMap<_, u32> = HashMap::new();
    for _ in 0..300 {
        let picked = balancer.pick(&[]).expect("an instance");
        *counts.entry(picked.address.clone()).or_default() += 1;
        let restless = instance(9).with_metadata("n", counts.len().to_string());
        registry
            .announce(&restless, SECOND)
            .await
            .expect("announced");
        registry
            .withdraw("tasks", restless.id)
            .await
            .expect("withdrawn");
        sleep(Duration::from_millis(1)).await;
    }
    for port in 1..=3 {
        let count = counts[format!("127.0.0.1:{port}").as_str()];
        assert!((95..=105).contains(&count), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_lost_beat_drops_nobody() {
    let registry = Flaky::default();
    let _kept = register(&registry, instance(1), Ttl::DEFAULT)
        .await
        .expect("listed");
    let before = registry
        .inner
        .list("tasks", None)
        .await
        .expect("a list")
        .expect("one");
    for _ in 0..20 {
        registry.down.store(true, Ordering::SeqCst);
        sleep(Ttl::DEFAULT.beat()).await;
        registry.down.store(false, Ordering::SeqCst);
        sleep(Ttl::DEFAULT.beat() * 2).await;
        let known = Some(before.version);
        assert_eq!(
            registry.inner.list("tasks", known).await.expect("a list"),
            None
        );
    }
}
