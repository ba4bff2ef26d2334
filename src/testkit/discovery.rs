//! The suite of [`Registry`]: every rule of its contract, and a registration that outlives the loss of
//! all data.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a suite reports a broken contract by panicking"
)]

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use crate::discovery::{Instance, Listing, Registry, Ttl, register};

/// Runs the whole suite on `registry`. `forget` makes the registry lose all its data.
///
/// It waits by Tokio's clock: pause it for a registry that lives by it.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn all<R, Forget>(registry: R, forget: Forget)
where
    R: Registry,
    Forget: AsyncFn(),
{
    lists_from_announcement_to_withdrawal(&registry).await;
    lists_every_instance_of_a_service(&registry).await;
    only_the_silent_expire(&registry).await;
    a_late_beat_brings_nobody_back(&registry).await;
    the_version_follows_the_set(&registry).await;
    a_dropped_registration_withdraws(&registry).await;
    a_registration_survives_the_loss_of_all_data(&registry, &forget).await;
    a_version_never_comes_back(&registry, &forget).await;
}

/// An instance is listed until it is withdrawn, with all that it said about itself.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn lists_from_announcement_to_withdrawal<R: Registry>(registry: &R) {
    let service = unique();
    assert!(listing(registry, &service).await.instances.is_empty());
    let instance = Instance::new(service.as_str(), "127.0.0.1:1")
        .with_zone("a")
        .with_metadata("version", "7");
    announce(registry, &instance).await;
    let listed = listing(registry, &service).await.instances;
    assert_eq!(listed, std::slice::from_ref(&instance));
    withdraw(registry, &instance).await;
    withdraw(registry, &instance).await;
    assert!(listing(registry, &service).await.instances.is_empty());
}

/// Instances are told apart by id, and services by name.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn lists_every_instance_of_a_service<R: Registry>(registry: &R) {
    let (service, other) = (unique(), unique());
    let one = Instance::new(service.as_str(), "127.0.0.1:1");
    let two = Instance::new(service.as_str(), "127.0.0.1:1");
    announce(registry, &two).await;
    announce(registry, &one).await;
    announce(registry, &Instance::new(other.as_str(), "127.0.0.1:2")).await;
    let listed = listing(registry, &service).await.instances;
    assert_eq!(listed, [one.clone(), two.clone()], "ordered by id");
    withdraw(registry, &one).await;
    assert_eq!(listing(registry, &service).await.instances, [two]);
}

/// Who beats stays, who does not goes within its time to live.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn only_the_silent_expire<R: Registry>(registry: &R) {
    let service = unique();
    let ttl = Duration::from_secs(1);
    let alive = Instance::new(service.as_str(), "127.0.0.1:1");
    let dead = Instance::new(service.as_str(), "127.0.0.1:2");
    announce(registry, &alive).await;
    announce(registry, &dead).await;
    let before = listing(registry, &service).await.version;
    for _ in 0..4 {
        sleep(ttl * 3 / 10).await;
        assert!(beat(registry, &alive).await);
    }
    let after = listing(registry, &service).await;
    assert_eq!(after.instances, [alive]);
    assert_ne!(after.version, before, "the set changed");
}

/// A beat says that it found nobody, and changes nothing.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn a_late_beat_brings_nobody_back<R: Registry>(registry: &R) {
    let service = unique();
    let instance = Instance::new(service.as_str(), "127.0.0.1:1");
    assert!(!beat(registry, &instance).await, "never announced");
    announce(registry, &instance).await;
    assert!(beat(registry, &instance).await);
    withdraw(registry, &instance).await;
    assert!(!beat(registry, &instance).await, "withdrawn");
    assert!(listing(registry, &service).await.instances.is_empty());
    announce(registry, &instance).await;
    sleep(Duration::from_millis(1100)).await;
    assert!(!beat(registry, &instance).await, "expired");
    assert!(listing(registry, &service).await.instances.is_empty());
}

/// Beats and repeated announcements leave the version alone; every change of the set moves it.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn the_version_follows_the_set<R: Registry>(registry: &R) {
    let service = unique();
    let instance = Instance::new(service.as_str(), "127.0.0.1:1");
    let mut known = listing(registry, &service).await.version;
    announce(registry, &instance).await;
    known = moved(registry, &service, known).await;
    announce(registry, &instance).await;
    assert!(beat(registry, &instance).await);
    let unmoved = registry.list(&service, Some(known)).await.expect("a list");
    assert_eq!(unmoved, None);
    announce(registry, &instance.clone().with_metadata("version", "8")).await;
    known = moved(registry, &service, known).await;
    withdraw(registry, &instance).await;
    moved(registry, &service, known).await;
}

/// Dropping a registration withdraws it without waiting for its time to live.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn a_dropped_registration_withdraws<R: Registry>(registry: &R) {
    let service = unique();
    let instance = Instance::new(service.as_str(), "127.0.0.1:1");
    let registration = register(registry, instance, Ttl::DEFAULT).await;
    let registration = registration.expect("listed");
    assert_eq!(listing(registry, &service).await.instances.len(), 1);
    drop(registration);
    let within = Ttl::DEFAULT.beat();
    until(registry, &service, within, |listing| {
        listing.instances.is_empty()
    })
    .await;
}

/// A registered instance is back within two beats, and `deregister` ends that.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn a_registration_survives_the_loss_of_all_data<R: Registry>(
    registry: &R,
    forget: &impl AsyncFn(),
) {
    let service = unique();
    let instance = Instance::new(service.as_str(), "127.0.0.1:1");
    let ttl = Ttl::MIN;
    let registration = register(registry, instance.clone(), ttl).await;
    let registration = registration.expect("listed");
    forget().await;
    assert!(listing(registry, &service).await.instances.is_empty());
    until(registry, &service, ttl.beat() * 2, |listing| {
        listing.instances == std::slice::from_ref(&instance)
    })
    .await;
    sleep(ttl.get() * 2).await;
    assert_eq!(
        listing(registry, &service).await.instances,
        [instance],
        "kept"
    );
    registration.deregister().await.expect("withdrawn");
    assert!(listing(registry, &service).await.instances.is_empty());
}

/// A client that knows a version from before the loss is not told that nothing changed.
///
/// # Panics
///
/// When the registry breaks its contract.
pub async fn a_version_never_comes_back<R: Registry>(registry: &R, forget: &impl AsyncFn()) {
    let service = unique();
    announce(registry, &Instance::new(service.as_str(), "127.0.0.1:1")).await;
    let known = listing(registry, &service).await.version;
    forget().await;
    let other = Instance::new(service.as_str(), "127.0.0.1:2");
    announce(registry, &other).await;
    let listing = registry.list(&service, Some(known)).await.expect("a list");
    assert_eq!(listing.expect("another version").instances, [other]);
}

fn unique() -> String {
    format!("service-{}", Uuid::now_v7())
}

async fn announce<R: Registry>(registry: &R, instance: &Instance) {
    let ttl = Duration::from_secs(1);
    registry.announce(instance, ttl).await.expect("announced");
}

async fn beat<R: Registry>(registry: &R, instance: &Instance) -> bool {
    let ttl = Duration::from_secs(1);
    let known = registry.beat(&instance.service, instance.id, ttl).await;
    known.expect("an answer")
}

async fn withdraw<R: Registry>(registry: &R, instance: &Instance) {
    let done = registry.withdraw(&instance.service, instance.id).await;
    done.expect("withdrawn");
}

async fn listing<R: Registry>(registry: &R, service: &str) -> Listing {
    let listing = registry.list(service, None).await.expect("a list");
    listing.expect("a listing for who knows none")
}

async fn moved<R: Registry>(registry: &R, service: &str, known: u64) -> u64 {
    let listing = registry.list(service, Some(known)).await.expect("a list");
    listing.expect("the version moved").version
}

async fn until<R: Registry>(
    registry: &R,
    service: &str,
    within: Duration,
    holds: impl Fn(&Listing) -> bool,
) {
    let step = within / 50;
    for _ in 0..50 {
        if holds(&listing(registry, service).await) {
            return;
        }
        sleep(step).await;
    }
    panic!(
        "not within {within:?}: {:?}",
        listing(registry, service).await
    );
}
