use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Instance, InstanceId, Registry, Ttl};
use crate::backoff::{Backoff, Delays};
use crate::error::{Chain, Error, Kind};
use crate::shutdown::{Shutdown, Token};

/// Lists `instance` in `registry` and keeps it listed until the [`Registration`] ends.
///
/// A task of its own beats at a third of `ttl`, with 10 % of jitter either way. When the registry has
/// lost the instance it is announced anew at the next beat; while the registry cannot be reached the
/// task tries again for ever, at most a beat apart.
///
/// # Errors
///
/// When the first announcement fails; nothing runs then.
///
/// # Panics
///
/// Outside a Tokio runtime.
///
/// # Cancel safety
///
/// Dropped before it returned, the instance may stay listed for up to `ttl`.
pub async fn register<R: Registry>(
    registry: &R,
    instance: Instance,
    ttl: Ttl,
) -> Result<Registration, Error> {
    registry.announce(&instance, ttl.get()).await?;
    let stop = Shutdown::new();
    let instance = Arc::new(instance);
    let beats = Beats {
        registry: registry.clone(),
        instance: instance.clone(),
        ttl,
    };
    let task = tokio::spawn(beats.run(stop.token()));
    Ok(Registration {
        instance,
        stop,
        task: Some(task),
    })
}

/// A listed instance and the task that keeps it so.
///
/// Dropping it stops the beats and withdraws the instance in the background, as well as it can;
/// [`deregister`](Self::deregister) waits for that. After a crash the instance is gone within its time
/// to live.
#[must_use = "dropping a registration withdraws the instance"]
#[derive(Debug)]
pub struct Registration {
    instance: Arc<Instance>,
    stop: Shutdown,
    task: Option<JoinHandle<Result<(), Error>>>,
}

impl Registration {
    /// The instance that is listed.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The id of the instance.
    #[must_use]
    pub fn id(&self) -> InstanceId {
        self.instance.id
    }

    /// Stops the beats and takes the instance off the list.
    ///
    /// # Errors
    ///
    /// When the registry does not answer well; the instance then goes with its time to live.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned, the rest happens in the background.
    pub async fn deregister(mut self) -> Result<(), Error> {
        self.stop.trigger();
        match self.task.take() {
            Some(task) => task.await.unwrap_or_else(|panic| {
                Err(Error::new(Kind::Other, "registry", "withdraw").with_source(panic))
            }),
            None => Ok(()),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}

struct Beats<R> {
    registry: R,
    instance: Arc<Instance>,
    ttl: Ttl,
}

impl<R: Registry> Beats<R> {
    /// An answer that takes longer than a beat is no answer.
    fn patience(&self) -> Duration {
        self.ttl.beat()
    }

    async fn run(self, stop: Token) -> Result<(), Error> {
        tokio::select! {
            () = stop.stopped() => {}
            never = self.beat_for_ever() => match never {},
        }
        // One connection keeps its commands in order, so a beat that was given up half-way cannot
        // overtake this.
        let (service, id) = (&self.instance.service, self.instance.id);
        self.bounded("withdraw", self.registry.withdraw(service, id))
            .await
    }

    async fn beat_for_ever(&self) -> std::convert::Infallible {
        let mut delays: Option<Delays> = None;
        let mut wait = self.jittered();
        loop {
            sleep(wait).await;
            let begun = Instant::now();
            wait = match self.beat().await {
                Ok(()) => {
                    delays = None;
                    self.jittered().saturating_sub(begun.elapsed())
                }
                Err(error) => {
                    let delays = delays.get_or_insert_with(|| self.retry().delays());
                    tracing::warn!(
                        service = %self.instance.service,
                        instance = %self.instance.id,
                        error = %Chain(&error),
                        "could not reach the registry, trying again"
                    );
                    delays.next().unwrap_or_else(|| self.patience())
                }
            };
        }
    }

    async fn beat(&self) -> Result<(), Error> {
        let Instance { service, id, .. } = &*self.instance;
        let known = self.registry.beat(service, *id, self.ttl.get());
        if self.bounded("beat", known).await? {
            return Ok(());
        }
        tracing::info!(%service, instance = %id, "the registry had lost the instance");
        let again = self.registry.announce(&self.instance, self.ttl.get());
        self.bounded("announce", again).await
    }

    async fn bounded<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match timeout(self.patience(), call).await {
            Ok(answer) => answer,
            Err(elapsed) => {
                Err(Error::new(Kind::Timeout, "registry", operation).with_source(elapsed))
            }
        }
    }

    fn retry(&self) -> Backoff {
        let base = Duration::from_millis(100).min(self.patience());
        Backoff::exponential(base).cap(self.patience())
    }

    fn jittered(&self) -> Duration {
        self.ttl.beat().mul_f64(0.9 + 0.2 * fastrand::f64())
    }
}
