use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::broker::{self, TopicPartition};
use bowline::outbox::relay::{Delivery, ExactlyOnce};
use bowline::outbox::{Relay, Store};
use bowline::shutdown::{Shutdown, Token};
use fastrand::Rng;
use tokio::time::{Instant, sleep, sleep_until};

use super::broker::Broker;
use super::plan::{Blow, Plan};
use super::process::lane;
use super::{Engine, Ground, History, LARGE, LEASE, TOPICS, relay};

/// One relay after the other, each of which comes to an end that the seed decides; a task of this process
/// that is dropped is one that was killed, and one that is not polled is one that was stopped.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) engine: Engine,
    pub(super) lane: u32,
    pub(super) ground: Ground,
    pub(super) to: To,
    pub(super) history: History,
    pub(super) random: Rng,
    pub(super) lives: Arc<AtomicU32>,
    /// From here on nothing happens any more.
    pub(super) calm: Token,
    pub(super) end: Token,
}

/// Where its relays publish.
#[derive(Debug, Clone)]
pub(super) enum To {
    /// At least once.
    Fire(Broker),
    /// Exactly once.
    Memory(broker::Memory),
}

/// What becomes of a life when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Die,
    Freeze,
    Stop,
}

impl Fate {
    pub(super) fn of(random: &mut Rng) -> Self {
        let fates = [Self::Die, Self::Freeze, Self::Stop];
        random.choice(fates).expect("not empty")
    }
}

/// For how long somebody stands still who is to lose his lease.
pub(super) fn past_the_lease(random: &mut Rng) -> Duration {
    LEASE * random.u32(105..170) / 100
}

impl Slot {
    pub(super) async fn run(mut self) {
        while !self.end.is_stopped() {
            Box::pin(self.life()).await;
            let pause = self.random.u64(0..100);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn life(&mut self) {
        let life = self.lives.fetch_add(1, Ordering::SeqCst) + 1;
        let plan = Plan::new(&mut self.random, self.history.clone(), life);
        let is_calm = self.calm.is_stopped();
        if is_calm {
            plan.disarm();
        }
        let outbox = lane(&self.ground.outbox(2), self.lane, self.engine.lanes());
        match (self.engine, &self.to) {
            (Engine::Queue, To::Fire(broker)) => {
                let broker = plan.around(broker.of(life));
                let relay = relay(plan.around(outbox.queue()), broker);
                Box::pin(self.follow(relay, plan, life, is_calm)).await;
            }
            (_, To::Fire(broker)) => {
                let broker = plan.around(broker.of(life));
                let relay = relay(plan.around(outbox), broker);
                Box::pin(self.follow(relay, plan, life, is_calm)).await;
            }
            (_, To::Memory(broker)) => {
                let mut broker = broker.clone();
                if !is_calm {
                    broker = broker.with_max_record(LARGE);
                }
                let place = TopicPartition::new(TOPICS[0], 0);
                let name = format!("lane-{}", self.lane);
                let delivery = ExactlyOnce::new(plan.around(broker), name, place);
                let relay = relay(plan.around(outbox), delivery);
                Box::pin(self.follow(relay, plan, life, is_calm)).await;
            }
        }
    }

    async fn follow<S: Store, D: Delivery>(
        &mut self,
        relay: Relay<S, D>,
        plan: Plan,
        life: u32,
        mut is_calm: bool,
    ) {
        let mut fate = Some(Fate::of(&mut self.random));
        let due = Instant::now() + Duration::from_millis(self.random.u64(200..3_000));
        let stop = Shutdown::new();
        let mut relay = pin!(relay.run(stop.token()));
        loop {
            // Who is struck is polled no more.
            tokio::select! {
                biased;
                blow = plan.struck() => match blow {
                    Blow::Die => return,
                    Blow::Freeze => sleep(past_the_lease(&mut self.random)).await,
                    Blow::Fail => {}
                },
                () = self.end.stopped(), if !stop.token().is_stopped() => stop.trigger(),
                () = self.calm.stopped(), if !is_calm => {
                    plan.disarm();
                    is_calm = true;
                    // The next one has a broker that is well.
                    if matches!(self.to, To::Memory(_)) {
                        stop.trigger();
                    }
                }
                () = sleep_until(due), if !is_calm && fate.is_some() => match fate.take() {
                    Some(Fate::Die) => return self.history.trouble(Some(life)),
                    Some(Fate::Freeze) => {
                        self.history.trouble(Some(life));
                        sleep(past_the_lease(&mut self.random)).await;
                    }
                    Some(Fate::Stop) | None => stop.trigger(),
                },
                ended = &mut relay => {
                    if let Err(error) = ended {
                        self.history.problem(format!("life {life} ended by itself: {error:?}"));
                    }
                    return;
                }
            }
        }
    }
}
