use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Instance, InstanceId, Listing, Registry};
use crate::error::Error;

/// A registry in this process. Clones share it.
///
/// It keeps the whole contract: instances expire by Tokio's clock, which a test can pause.
#[derive(Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    services: HashMap<Arc<str>, Service>,
    /// One counter for all services, so that a version never comes back after [`Memory::clear`].
    versions: u64,
}

#[derive(Default)]
struct Service {
    version: u64,
    members: BTreeMap<InstanceId, Member>,
}

struct Member {
    instance: Instance,
    expires: Instant,
}

impl Memory {
    /// A registry that knows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, as a registry does that loses its data.
    pub fn clear(&self) {
        self.lock().services.clear();
        self.0.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, instance: &Instance, ttl: Duration) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        state.prune(&instance.service, now);
        let service = state.services.entry(instance.service.clone()).or_default();
        let member = Member {
            instance: instance.clone(),
            expires: now + ttl,
        };
        let before = service.members.insert(instance.id, member);
        let changed = before.is_none_or(|before| before.instance != *instance);
        if changed {
            state.bump(&instance.service);
        }
        changed
    }
}

impl Registry for Memory {
    async fn announce(&self, instance: &Instance, ttl: Duration) -> Result<(), Error> {
        if self.put(instance, ttl) {
            self.0.changed.notify_waiters();
        }
        Ok(())
    }

    async fn beat(&self, service: &str, id: InstanceId, ttl: Duration) -> Result<bool, Error> {
        let now = Instant::now();
        let mut state = self.lock();
        state.prune(service, now);
        let member = state
            .services
            .get_mut(service)
            .and_then(|service| service.members.get_mut(&id));
        Ok(match member {
            Some(member) => {
                member.expires = now + ttl;
                true
            }
            None => false,
        })
    }

    async fn withdraw(&self, service: &str, id: InstanceId) -> Result<(), Error> {
        let gone = {
            let mut state = self.lock();
            let gone = state
                .services
                .get_mut(service)
                .and_then(|service| service.members.remove(&id))
                .is_some();
            if gone {
                state.bump(service);
            }
            gone
        };
        if gone {
            self.0.changed.notify_waiters();
        }
        Ok(())
    }

    async fn list(&self, service: &str, known: Option<u64>) -> Result<Option<Listing>, Error> {
        let mut state = self.lock();
        state.prune(service, Instant::now());
        let listing = match state.services.get(service) {
            Some(service) => {
                let members = service.members.values();
                Listing::new(
                    service.version,
                    members.map(|member| member.instance.clone()).collect(),
                )
            }
            None => Listing::new(0, Vec::new()),
        };
        Ok((known != Some(listing.version)).then_some(listing))
    }

    async fn changed(&self, _service: &str) {
        self.0.changed.notified().await;
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let sizes = state
            .services
            .iter()
            .map(|(name, service)| (name, service.members.len()));
        f.debug_map().entries(sizes).finish()
    }
}

impl State {
    fn prune(&mut self, name: &str, now: Instant) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        let before = service.members.len();
        service.members.retain(|_, member| member.expires > now);
        if service.members.len() < before {
            self.bump(name);
        }
    }

    fn bump(&mut self, name: &str) {
        self.versions += 1;
        if let Some(service) = self.services.get_mut(name) {
            service.version = self.versions;
        }
    }
}
