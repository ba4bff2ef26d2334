use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One running copy of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Instance {
    /// Its id: new for every start.
    pub id: InstanceId,
    /// The service it is a copy of.
    pub service: Arc<str>,
    /// Where it listens, `host:port`.
    pub address: Arc<str>,
    /// The zone it runs in, if that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
    /// Free pairs, e.g. a version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// The id of an instance, unique to one start of one process: also the fencing epoch of its
/// registration, since a later start has a greater id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(Uuid);

impl Instance {
    /// A new instance of `service` at `address` (`host:port`).
    #[must_use]
    pub fn new(service: impl Into<Arc<str>>, address: impl fmt::Display) -> Self {
        Self {
            id: InstanceId(Uuid::now_v7()),
            service: service.into(),
            address: address.to_string().into(),
            zone: None,
            metadata: BTreeMap::new(),
        }
    }

    /// Sets the zone.
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Adds a free pair.
    #[must_use]
    pub fn with_metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
