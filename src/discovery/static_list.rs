use std::collections::BTreeMap;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use super::{Instance, InstanceId, Listing, Registry};
use crate::error::{Error, Kind};

/// A fixed list of instances, e.g. from a configuration file.
///
/// Nobody can be announced in it; a beat says that the instance is unknown unless it is on the list.
#[derive(Debug, Clone, Default)]
pub struct StaticList(Arc<BTreeMap<Arc<str>, Vec<Instance>>>);

impl StaticList {
    /// The given instances.
    #[must_use]
    pub fn new(instances: impl IntoIterator<Item = Instance>) -> Self {
        let mut services: BTreeMap<Arc<str>, Vec<Instance>> = BTreeMap::new();
        for instance in instances {
            services
                .entry(instance.service.clone())
                .or_default()
                .push(instance);
        }
        Self(Arc::new(services))
    }
}

impl Registry for StaticList {
    async fn announce(&self, _instance: &Instance, _ttl: Duration) -> Result<(), Error> {
        Err(Error::new(Kind::ReadOnly, "static", "announce"))
    }

    async fn beat(&self, service: &str, id: InstanceId, _ttl: Duration) -> Result<bool, Error> {
        let listed = self.0.get(service);
        Ok(listed.is_some_and(|listed| listed.iter().any(|instance| instance.id == id)))
    }

    async fn withdraw(&self, _service: &str, _id: InstanceId) -> Result<(), Error> {
        Err(Error::new(Kind::ReadOnly, "static", "withdraw"))
    }

    async fn list(&self, service: &str, known: Option<u64>) -> Result<Option<Listing>, Error> {
        const VERSION: u64 = 1;
        let listed = || self.0.get(service).cloned().unwrap_or_default();
        Ok((known != Some(VERSION)).then(|| Listing::new(VERSION, listed())))
    }

    async fn changed(&self, _service: &str) {
        future::pending().await
    }
}
