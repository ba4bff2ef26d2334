use std::fmt;
use std::future::Future;
use std::time::Duration;

use super::{Instance, InstanceId};
use crate::error::Error;

/// Knows which instances of which service are alive.
///
/// # Contract
///
/// 1. An instance is listed from [`announce`](Self::announce) until [`withdraw`](Self::withdraw), or
///    until its time to live has passed without a [`beat`](Self::beat). Each of the three is one
///    atomic step; there is no state in which an instance is listed for ever.
/// 2. Time is measured by the registry's own clock, never by the instance's.
/// 3. A beat for an instance that is unknown (expired, withdrawn, or lost by the registry) does not
///    bring it back: it says so, and the owner announces it anew.
/// 4. The version of a service's listing changes when its set of instances changes, and not with
///    beats.
pub trait Registry: fmt::Debug + Clone + Send + Sync + 'static {
    /// Lists `instance` for `ttl`; announcing it again renews it.
    ///
    /// # Errors
    ///
    /// `Unavailable` or `Timeout` when the registry cannot be reached, `ReadOnly` when it is a fixed
    /// list, and others of the back-end. After a `Timeout` the instance may be listed.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the instance may be listed; it then goes after `ttl`.
    fn announce(
        &self,
        instance: &Instance,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Keeps an instance listed for another `ttl`; `false` when the registry does not know it.
    ///
    /// # Errors
    ///
    /// `Unavailable` or `Timeout` when the registry cannot be reached, and others of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the instance may have got another `ttl`.
    fn beat(
        &self,
        service: &str,
        id: InstanceId,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Takes an instance off the list at once; nothing happens when it is not there.
    ///
    /// # Errors
    ///
    /// `Unavailable` or `Timeout` when the registry cannot be reached, `ReadOnly` when it is a fixed
    /// list, and others of the back-end. The instance then goes with its time to live.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the instance may be listed still; it goes with its time to live, or when it is
    /// withdrawn again.
    fn withdraw(
        &self,
        service: &str,
        id: InstanceId,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The instances of `service`, or `None` when the listing still has version `known`.
    ///
    /// # Errors
    ///
    /// `Unavailable` or `Timeout` when the registry cannot be reached, `Corrupt` when its answer
    /// cannot be read, and others of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed but that expired instances may be dropped.
    fn list(
        &self,
        service: &str,
        known: Option<u64>,
    ) -> impl Future<Output = Result<Option<Listing>, Error>> + Send;

    /// Returns when the listing of `service` may have changed. It is a hint that may be lost; a
    /// watcher polls besides. A registry that cannot tell never returns.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    fn changed(&self, service: &str) -> impl Future<Output = ()> + Send;
}

/// The instances of one service at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// Changes when the set changes.
    pub version: u64,
    /// The instances, ordered by id.
    pub instances: Vec<Instance>,
}

impl Listing {
    /// The set `instances` in `version`.
    #[must_use]
    pub fn new(version: u64, mut instances: Vec<Instance>) -> Self {
        instances.sort_by_key(|instance| instance.id);
        Self { version, instances }
    }
}
