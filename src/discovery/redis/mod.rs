//! The registry in Redis.

mod scripts;

use std::fmt;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::ConnectionManager;
use ::redis::{Script, ScriptInvocation};

use super::{Instance, InstanceId, Listing, Registry};
use crate::driver::redis::{BACKEND, connect, error};
use crate::error::{Error, Kind};

/// A registry in Redis, 6 or later. Clones share one connection.
///
/// One command per step, no matter how many services there are; expiry by the server's own clock;
/// works with Redis Cluster's slots, since all keys of a service share a hash tag. When Redis loses
/// its data, instances that are registered reappear with their next beat.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    scripts: Arc<Scripts>,
}

struct Scripts {
    announce: Script,
    beat: Script,
    withdraw: Script,
    list: Script,
}

impl Redis {
    /// How long a connection or an answer may take: short of a beat of the shortest time to live.
    const PATIENCE: Duration = Duration::from_millis(300);

    /// Connects to `url`, e.g. `redis://localhost:6379`. Lost connections are made anew.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] for a URL that cannot be read, [`Kind::Unavailable`] or [`Kind::Timeout`]
    /// when there is no server.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Ok(Self {
            connection: connect(url, Self::PATIENCE).await?,
            scripts: Arc::new(Scripts {
                announce: Script::new(scripts::ANNOUNCE),
                beat: Script::new(scripts::BEAT),
                withdraw: Script::new(scripts::WITHDRAW),
                list: Script::new(scripts::LIST),
            }),
        })
    }

    async fn run<T: ::redis::FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
        operation: &'static str,
    ) -> Result<T, Error> {
        let mut connection = self.connection.clone();
        call.invoke_async(&mut connection)
            .await
            .map_err(error(operation))
    }
}

impl Registry for Redis {
    async fn announce(&self, instance: &Instance, ttl: Duration) -> Result<(), Error> {
        let json = serde_json::to_string(instance)
            .map_err(|error| Error::new(Kind::Invalid, BACKEND, "announce").with_source(error))?;
        let mut call = on(&self.scripts.announce, &instance.service);
        call.arg(instance.id.to_string()).arg(json).arg(millis(ttl));
        self.run::<u8>(&call, "announce").await.map(drop)
    }

    async fn beat(&self, service: &str, id: InstanceId, ttl: Duration) -> Result<bool, Error> {
        let mut call = on(&self.scripts.beat, service);
        call.arg(id.to_string()).arg(millis(ttl));
        self.run(&call, "beat").await
    }

    async fn withdraw(&self, service: &str, id: InstanceId) -> Result<(), Error> {
        let mut call = on(&self.scripts.withdraw, service);
        call.arg(id.to_string());
        self.run::<u8>(&call, "withdraw").await.map(drop)
    }

    async fn list(&self, service: &str, known: Option<u64>) -> Result<Option<Listing>, Error> {
        let mut call = on(&self.scripts.list, service);
        call.arg(known.map(|known| known.to_string()).unwrap_or_default());
        let answer: Vec<String> = self.run(&call, "list").await?;
        let Some((version, instances)) = answer.split_first() else {
            return Ok(None);
        };
        let version = version
            .parse()
            .map_err(|error| Error::new(Kind::Corrupt, BACKEND, "list").with_source(error))?;
        Ok(Some(Listing::new(version, readable(service, instances))))
    }

    async fn changed(&self, _service: &str) {
        future::pending().await
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

/// One entry that cannot be read, e.g. of a later version, must not hide the others.
fn readable(service: &str, entries: &[String]) -> Vec<Instance> {
    let read = |entry: &String| match serde_json::from_str(entry) {
        Ok(instance) => Some(instance),
        Err(error) => {
            tracing::warn!(service, %error, "an entry of the registry cannot be read");
            None
        }
    };
    entries.iter().filter_map(read).collect()
}

fn on<'a>(script: &'a Script, service: &str) -> ScriptInvocation<'a> {
    let mut call = script.prepare_invoke();
    for suffix in ["i", "x", "v"] {
        call.key(format!("{{bowline:{service}}}:{suffix}"));
    }
    call
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}
