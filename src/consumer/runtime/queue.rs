use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use super::executor::{Ended, How};
use super::lane::LaneId;
use super::scheduler::{Job, Scheduler};

/// What the loop and the executors share: the loop puts records in, and an executor that has room takes
/// the next by itself. One that had to ask the loop would wait for two trips from thread to thread.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    executors: Vec<AtomicWaker>,
}

#[derive(Debug)]
struct State {
    scheduler: Scheduler,
    /// The executors that have found nothing to take. The others look again before they sleep.
    idle: Vec<bool>,
}

/// How many records an executor takes at once: enough that the lock costs little for each, few enough
/// that the others find some too.
const TAKE: usize = 16;

impl Queue {
    pub(super) fn new(scheduler: Scheduler, executors: usize) -> Self {
        Self {
            state: Mutex::new(State {
                scheduler,
                idle: vec![false; executors],
            }),
            executors: (0..executors).map(|_| AtomicWaker::new()).collect(),
        }
    }

    /// Lets `change` have the scheduler, and wakes executors for what can begin then.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Scheduler) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state.scheduler);
        self.wake(state);
        result
    }

    /// Begins no more records of `lane`. All executors look again, as one may have taken some and wait for
    /// its service.
    pub(super) fn forget(&self, lane: LaneId) {
        self.lock().scheduler.forget(lane);
        self.executors.iter().for_each(AtomicWaker::wake);
    }

    /// An executor is to be woken by `waker` from now on.
    pub(super) fn register(&self, executor: usize, waker: &Waker) {
        if let Some(known) = self.executors.get(executor) {
            known.register(waker);
        }
    }

    /// An executor gives back the room of what has `ended`, and takes some of what runs next when it
    /// `wants` to. Says whether there was any; if not, it is woken when there is.
    pub(super) fn exchange(
        &self,
        executor: usize,
        ended: &[Ended],
        wants: bool,
        jobs: &mut impl Extend<Job>,
    ) -> bool {
        let mut state = self.lock();
        for Ended { job, how } in ended {
            state.scheduler.ended(job);
            // The loop knows whether what has failed is tried again.
            if !matches!(how, How::Failed(_)) {
                state.scheduler.settled(job);
            }
        }
        let mut taken = 0;
        if wants {
            let share = state.scheduler.startable().div_ceil(self.executors.len());
            while taken < share.min(TAKE)
                && let Some(job) = state.scheduler.next()
            {
                jobs.extend([job]);
                taken += 1;
            }
        }
        if let Some(idle) = state.idle.get_mut(executor) {
            *idle = wants && taken == 0;
        }
        self.wake(state);
        taken > 0
    }

    /// Wakes as many idle executors as there are records for them.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let mut startable = state.scheduler.startable();
        let mut woken = Vec::new();
        for (idle, executor) in state.idle.iter_mut().zip(&self.executors) {
            if startable > 0 && *idle {
                *idle = false;
                startable -= 1;
                woken.extend(executor.take());
            }
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::broker::{
        Assigned, Assignment, Delivery, Position, Received, Record, TopicPartition,
    };
    use crate::consumer::Order;
    use crate::consumer::meters::PartitionMeters;
    use crate::consumer::runtime::lane::Lane;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A lane's records in a queue, and the executors that are to take them.
    struct Fixture {
        queue: Queue,
        lane: Lane,
        next: u64,
        woken: Vec<Arc<Woken>>,
    }

    impl Fixture {
        fn new(order: Order, limit: usize, executors: usize) -> Self {
            let queue = Queue::new(Scheduler::new(order, limit), executors);
            let assignment = Assignment::new(TopicPartition::new("tasks", 0), 1);
            let woken: Vec<Arc<Woken>> = (0..executors).map(|_| Arc::default()).collect();
            for (executor, woken) in woken.iter().enumerate() {
                queue.register(executor, &Arc::clone(woken).into());
                assert!(!queue.exchange(executor, &[], true, &mut Vec::new()));
            }
            Self {
                queue,
                lane: Lane::new(
                    Assigned::new(assignment, None),
                    Arc::default(),
                    PartitionMeters::none(),
                ),
                next: 0,
                woken,
            }
        }

        fn push(&mut self, keys: &[&str]) {
            for key in keys {
                let number = self.lane.begin(self.next).unwrap();
                let partition = self.lane.assignment.partition.clone();
                let position = Position::new(partition, self.next);
                let record = Record::new("tasks", "{}").with_key((*key).to_owned());
                let received = Received::new(record, position, 1);
                let delivery = Delivery::new("group", received);
                let lane = (LaneId(1), Arc::clone(&self.lane.handling));
                self.queue
                    .with(|scheduler| scheduler.push(lane, number, delivery, None));
                self.next += 1;
            }
        }

        fn take(&self, executor: usize, ended: &[Ended]) -> Vec<Job> {
            let mut jobs = Vec::new();
            self.queue.exchange(executor, ended, true, &mut jobs);
            jobs
        }

        fn woken(&self) -> Vec<usize> {
            let woken = self.woken.iter();
            woken.map(|one| one.0.load(Ordering::SeqCst)).collect()
        }
    }

    fn offsets(jobs: &[Job]) -> Vec<u64> {
        let offsets = jobs.iter().map(|job| job.delivery.position().offset);
        offsets.collect()
    }

    fn ended(jobs: Vec<Job>, how: fn() -> How) -> Vec<Ended> {
        let ended = jobs.into_iter().map(|job| Ended { job, how: how() });
        ended.collect()
    }

    #[test]
    fn the_later_records_of_a_key_follow_without_the_loop() {
        let mut fixture = Fixture::new(Order::Key, 8, 1);
        fixture.push(&["a", "a", "b", "a"]);
        let first = fixture.take(0, &[]);
        assert_eq!(offsets(&first), [0, 2]);
        let second = fixture.take(0, &ended(first, || How::Done));
        assert_eq!(offsets(&second), [1]);
        let third = fixture.take(0, &ended(second, || How::Done));
        assert_eq!(offsets(&third), [3]);
    }

    #[test]
    fn a_record_that_failed_frees_its_room_and_not_its_key() {
        let mut fixture = Fixture::new(Order::Key, 1, 1);
        fixture.push(&["a", "a", "b"]);
        let first = fixture.take(0, &[]);
        let next = fixture.take(0, &ended(first, || How::Failed("no".into())));
        assert_eq!(offsets(&next), [2]);
        assert_eq!(
            offsets(&fixture.take(0, &ended(next, || How::Done))),
            [0; 0]
        );
    }

    #[test]
    fn a_key_with_many_records_lets_the_others_go_before_its_next() {
        let mut fixture = Fixture::new(Order::Key, 1, 1);
        fixture.push(&["a", "a", "a", "b", "c"]);
        let mut order = Vec::new();
        let mut jobs = fixture.take(0, &[]);
        while !jobs.is_empty() {
            order.extend(offsets(&jobs));
            jobs = fixture.take(0, &ended(jobs, || How::Done));
        }
        assert_eq!(order, [0, 3, 4, 1, 2]);
    }

    #[test]
    fn a_lane_that_is_stopped_lets_nothing_more_be_taken_and_all_executors_look() {
        let mut fixture = Fixture::new(Order::Key, 8, 2);
        fixture.push(&["a", "a"]);
        let first = fixture.take(0, &[]);
        let before = fixture.woken();
        for (executor, woken) in fixture.woken.iter().enumerate() {
            fixture.queue.register(executor, &Arc::clone(woken).into());
        }
        fixture.lane.stop(tokio::time::Instant::now());
        fixture.queue.forget(LaneId(1));
        assert_eq!(fixture.woken(), [before[0] + 1, before[1] + 1]);
        assert!(first.iter().all(|job| job.handling.is_stopped()));
        assert_eq!(
            offsets(&fixture.take(0, &ended(first, || How::Done))),
            [0; 0]
        );
    }

    #[test]
    fn no_more_executors_are_woken_than_there_are_records_and_none_that_is_awake() {
        let mut fixture = Fixture::new(Order::None, 8, 2);
        fixture.push(&["a"]);
        assert_eq!(fixture.woken(), [1, 0]);
        fixture.push(&["b"]);
        assert_eq!(fixture.woken(), [1, 1]);
        fixture.push(&["c", "d"]);
        assert_eq!(fixture.woken(), [1, 1]);
        assert_eq!(offsets(&fixture.take(0, &[])), [0, 1], "half of them");
        assert_eq!(offsets(&fixture.take(1, &[])), [2]);
    }

    #[test]
    fn room_is_never_given_twice() {
        let mut fixture = Fixture::new(Order::None, 3, 2);
        fixture.push(&["a"; 10]);
        let first = fixture.take(0, &[]);
        let second = fixture.take(1, &[]);
        assert_eq!((first.len(), second.len()), (2, 1));
        assert!(fixture.take(1, &[]).is_empty());
        assert_eq!(fixture.take(1, &ended(second, || How::Done)).len(), 1);
        assert!(fixture.take(0, &[]).is_empty());
    }
}
