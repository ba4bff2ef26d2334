//! The places and the queue together, in every interleaving.

use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;
use std::time::Duration;

use loom::sync::atomic::AtomicU64;
use loom::sync::{Arc, Mutex};
use loom::thread;
use tokio::time::Instant;

use super::Config;
use super::queue::{Joined, Queue, Waited};
use crate::place::{Left, Occupancy};

/// What [`Shared`](super::shared::Shared) does, with an atomic word and a lock that loom watches.
struct Tried {
    occupancy: Occupancy<AtomicU64>,
    queue: Mutex<Queue>,
    /// How often it was given back.
    vacated: AtomicU32,
}

impl Tried {
    /// One place, which is taken, and one may wait.
    fn full() -> Arc<Self> {
        let config = Config {
            limit: 1,
            queue: 1,
            max_wait: Duration::from_secs(3_600),
            ..Config::default()
        };
        let tried = Self {
            occupancy: Occupancy::new(config.limit),
            queue: Mutex::new(Queue::new(config)),
            vacated: AtomicU32::new(0),
        };
        assert!(tried.occupancy.enter());
        Arc::new(tried)
    }

    fn with<T>(&self, using: impl FnOnce(&mut Queue) -> T) -> T {
        using(&mut self.queue.lock().expect("not poisoned"))
    }

    fn join(&self) -> Joined {
        let join = |queue: &mut Queue| queue.join(&self.occupancy, Waker::noop(), Instant::now());
        self.with(join).0
    }

    fn hand_out(&self) {
        self.with(|queue| queue.hand_out(&self.occupancy, Instant::now()));
    }

    fn leave(&self) {
        match self.occupancy.leave() {
            Left::Quietly => {}
            Left::Awaited => self.hand_out(),
            Left::Vacant => self.vacate(),
        }
    }

    fn give_up(&self, id: u64) {
        match self.with(|queue| queue.give_up(id)).0 {
            Waited::Granted => self.leave(),
            Waited::InVain | Waited::Still => self.hand_out(),
        }
    }

    fn abandon(&self) {
        if self.occupancy.abandon() {
            self.vacate();
        }
    }

    fn vacate(&self) {
        self.vacated.fetch_add(1, Ordering::Relaxed);
    }
}

/// The permit ends on another thread while this one does `what`.
fn while_the_permit_ends<T>(tried: &Arc<Tried>, what: impl FnOnce(&Tried) -> T) -> T {
    let ending = Arc::clone(tried);
    let ended = thread::spawn(move || ending.leave());
    let done = what(tried);
    ended.join().expect("no panic");
    done
}

fn queued(tried: &Tried) -> u64 {
    match tried.join() {
        Joined::Waits(id, _) => id,
        joined => panic!("it waits, and is not {joined:?}"),
    }
}

#[test]
fn no_place_comes_free_unseen_by_one_who_begins_to_wait() {
    loom::model(|| {
        let tried = Tried::full();
        match while_the_permit_ends(&tried, Tried::join) {
            Joined::Waits(id, _) => {
                let (waited, _) = tried.with(|queue| queue.look(id, Waker::noop()));
                assert_eq!(waited, Waited::Granted);
            }
            joined => assert_eq!(joined, Joined::Entered),
        }
        assert_eq!(tried.occupancy.read(), (1, 1));
        // Nobody waits any more, so the next one may come as soon as this one leaves.
        tried.leave();
        assert!(tried.occupancy.enter());
    });
}

#[test]
fn a_bulkhead_is_given_back_once_when_the_last_who_waits_gives_up_while_a_permit_ends() {
    loom::model(|| {
        let tried = Tried::full();
        let id = queued(&tried);
        while_the_permit_ends(&tried, |tried| {
            tried.give_up(id);
            tried.abandon();
        });
        assert_eq!(tried.vacated.load(Ordering::Relaxed), 1);
    });
}

/// Why whoever waits holds a handle.
#[test]
#[should_panic(expected = "given back twice")]
fn a_bulkhead_that_is_abandoned_while_somebody_waits_may_be_given_back_twice() {
    loom::model(|| {
        let tried = Tried::full();
        let id = queued(&tried);
        while_the_permit_ends(&tried, |tried| {
            tried.abandon();
            tried.give_up(id);
        });
        assert!(
            tried.vacated.load(Ordering::Relaxed) < 2,
            "given back twice"
        );
    });
}
