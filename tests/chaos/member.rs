use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bowline::Error;
use bowline::broker::Subscriber;
use bowline::consumer::{Config, Consumer};
use bowline::shutdown::Shutdown;
use bowline_test_history::{Effort, Log, Watched, What, handler};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// One running consumer.
pub(crate) struct Member {
    life: u32,
    log: Log,
    shutdown: Shutdown,
    frozen: watch::Sender<bool>,
    running: JoinHandle<Result<(), Error>>,
}

impl Member {
    pub(crate) fn start<S: Subscriber>(
        subscriber: S,
        life: u32,
        log: &Log,
        topics: &[Arc<str>],
        session: Duration,
        (config, effort): (Config, Effort),
    ) -> Self {
        if config.drain_timeout < session {
            log.note(life, What::Hasty);
        }
        let subscriber = Watched::new(subscriber, life, log.clone());
        let consumer = Consumer::builder(subscriber, handler(log.clone(), life, effort))
            .group("group")
            .topics(topics.iter().cloned())
            .config(config)
            .build()
            .unwrap();
        let shutdown = Shutdown::new();
        let (frozen, mut freezing) = watch::channel(false);
        let token = shutdown.token();
        let running = tokio::spawn(async move {
            let mut run = pin!(consumer.run(token));
            loop {
                tokio::select! {
                    biased;
                    Ok(_) = freezing.wait_for(|frozen| *frozen) => {}
                    ended = &mut run => return ended,
                }
                drop(freezing.wait_for(|frozen| !frozen).await);
            }
        });
        Self {
            life,
            log: log.clone(),
            shutdown,
            frozen,
            running,
        }
    }

    /// Stops it for as long; it does not know.
    pub(crate) fn freeze(&self, time: Duration) {
        self.log.note(self.life, What::Frozen);
        self.frozen.send_replace(true);
        let frozen = self.frozen.clone();
        tokio::spawn(async move {
            sleep(time).await;
            frozen.send_replace(false);
        });
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(self) {
        self.log.note(self.life, What::Killed);
        self.running.abort();
        drop(self.running.await);
    }

    /// Lets it end calmly.
    pub(crate) async fn leave(self) -> Result<(), Error> {
        self.frozen.send_replace(false);
        self.log.note(self.life, What::Stopping);
        self.shutdown.trigger();
        self.running.await.expect("no panic")
    }
}
