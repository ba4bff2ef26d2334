//! The bucket against the textbook algorithm, in plain integers and the slow way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::bucket::{Bucket, ORIGIN, Place, Refused};
use super::{Config, Rate};

const YEARS: u64 = 200 * 365 * 86_400 * 1_000_000_000;

fn config(interval: u64, burst: u32) -> Config {
    Config::new(Rate::new(1, Duration::from_nanos(interval))).burst(burst)
}

/// The virtual scheduling algorithm of ITU-T I.371, with the arrival time of one permit less as the
/// mark: a call conforms when the theoretical arrival time is at most the burst away.
#[derive(Debug)]
struct Textbook {
    interval: u128,
    burst: u128,
    theoretical_arrival: u128,
}

impl Textbook {
    fn take(&mut self, permits: u32, now: u64, longest: u64) -> Result<u64, Refused> {
        if u128::from(permits) > self.burst {
            return Err(Refused::TooMany);
        }
        let now = u128::from(now);
        let next = self.theoretical_arrival.max(now) + u128::from(permits) * self.interval;
        let wait = next.saturating_sub(now + self.burst * self.interval);
        if wait > u128::from(longest) {
            return Err(Refused::For(u64::try_from(wait).expect("fits")));
        }
        self.theoretical_arrival = next;
        Ok(u64::try_from(wait).expect("fits"))
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Advance(u64),
    Take(u32, u64),
    GiveBack(usize),
}

fn advance() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0u64), 12 => 1u64..40, 3 => 40u64..400]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => advance().prop_map(Step::Advance),
        5 => (1u32..5, prop_oneof![Just(0u64), 0u64..300]).prop_map(|(n, wait)| Step::Take(n, wait)),
        3 => any::<usize>().prop_map(Step::GiveBack),
    ];
    prop::collection::vec(step, 0..300)
}

/// What was let through: when it went ahead, and how much time it cost.
fn conforms(mut calls: Vec<(u64, u64)>, fill: u64) -> Result<(), String> {
    calls.sort_unstable();
    let (mut level, mut last) = (fill, 0);
    for (at, cost) in calls {
        level = fill.min(level + (at - last));
        last = at;
        level = level.checked_sub(cost).ok_or(format!("too many at {at}"))?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn it_decides_as_the_textbook_does(
        interval in 1u64..30,
        burst in 1u32..6,
        steps in steps(),
        leap in 0usize..300,
    ) {
        let bucket = Bucket::new(config(interval, burst));
        let mut oracle = Textbook {
            interval: u128::from(interval),
            burst: u128::from(burst),
            theoretical_arrival: 0,
        };
        let mut now = ORIGIN;
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Advance(by) => now += if index == leap { YEARS } else { by },
                Step::Take(permits, longest) => {
                    let taken = bucket.take(permits, now, longest);
                    let taken = taken.map(|place| place.end.saturating_sub(now));
                    prop_assert_eq!(taken, oracle.take(permits, now, longest));
                }
                Step::GiveBack(_) => {}
            }
        }
    }

    /// Whatever is given back, in whatever order: the calls that were made keep to the bucket.
    #[test]
    fn what_is_given_back_is_never_given_out_twice(
        interval in 1u64..30,
        burst in 1u32..6,
        steps in steps(),
    ) {
        let bucket = Bucket::new(config(interval, burst));
        let mut now = ORIGIN;
        let mut held: Vec<(u64, Place)> = Vec::new();
        for step in steps {
            match step {
                Step::Advance(by) => now += by,
                Step::Take(permits, longest) => {
                    if let Ok(place) = bucket.take(permits, now, longest) {
                        prop_assert!(place.end <= now + longest);
                        prop_assert_eq!(place.end - place.start, u64::from(permits) * interval);
                        held.push((now.max(place.end), place));
                    }
                }
                Step::GiveBack(which) => {
                    let is_waiting = |(_, (at, _)): &(usize, &(u64, Place))| *at > now;
                    let waiting: Vec<_> = held.iter().enumerate().filter(is_waiting).collect();
                    if !waiting.is_empty() {
                        let (index, _) = waiting[which % waiting.len()];
                        bucket.give_back(held.remove(index).1, now);
                    }
                }
            }
        }
        let calls = held.iter().map(|(at, place)| (at - ORIGIN, place.end - place.start));
        prop_assert_eq!(conforms(calls.collect(), interval * u64::from(burst)), Ok(()));
    }

    /// When all who wait give up, in whatever order, it is as if nobody had asked.
    #[test]
    fn nothing_is_lost_when_all_give_up(
        interval in 1u64..30,
        burst in 1u32..6,
        waiting in prop::collection::vec((1u32..6, any::<u32>()), 1..60),
    ) {
        let bucket = Bucket::new(config(interval, burst));
        bucket.take(burst, ORIGIN, 0).expect("a full bucket");
        let mut held = Vec::new();
        for (permits, order) in waiting {
            held.extend(bucket.take(permits, ORIGIN, u64::MAX).map(|place| (order, place)));
        }
        held.sort_by_key(|(order, _)| *order);
        for (_, place) in held {
            bucket.give_back(place, ORIGIN);
        }
        let levels = bucket.levels(ORIGIN);
        prop_assert_eq!((levels.available, levels.next_in), (0, interval));
        prop_assert_eq!(bucket.take(1, ORIGIN, 0), Err(Refused::For(interval)));
        prop_assert!(bucket.take(burst, ORIGIN + interval * u64::from(burst), 0).is_ok());
    }
}

#[test]
fn a_place_that_is_given_up_goes_to_the_next_who_asks() {
    let bucket = Bucket::new(config(10, 1));
    let take = |now| {
        bucket
            .take(1, ORIGIN + now, 1_000)
            .map(|place| place.end - ORIGIN)
    };
    assert_eq!(take(0), Ok(0));
    let places: Vec<Place> = (0..5)
        .map(|_| bucket.take(1, ORIGIN, 1_000).expect("a place"))
        .collect();
    // At 20 and 30, which are next to each other.
    bucket.give_back(places[2], ORIGIN);
    bucket.give_back(places[1], ORIGIN);
    assert_eq!(bucket.levels(ORIGIN).next_in, 20);
    assert_eq!(bucket.take(1, ORIGIN, 19), Err(Refused::For(20)));
    assert_eq!((take(0), take(0), take(0)), (Ok(20), Ok(30), Ok(60)));
    // Nobody asks in time: with a burst of one it is lost at the moment at which the next one comes.
    bucket.give_back(places[3], ORIGIN + 35);
    assert_eq!(take(40), Ok(40));
    bucket.give_back(places[4], ORIGIN + 45);
    assert_eq!(take(51), Ok(70));
}

#[test]
fn what_is_given_back_lies_in_the_bucket_until_that_runs_over() {
    let place = |bucket: &Bucket| bucket.take(1, ORIGIN, u64::MAX).expect("a place");
    for (asked, taken) in [(9, false), (10, true), (20, true), (21, false)] {
        let bucket = Bucket::new(config(10, 2));
        bucket.take(2, ORIGIN, 0).expect("a full bucket");
        let (first, _second, _third) = (place(&bucket), place(&bucket), place(&bucket));
        bucket.give_back(first, ORIGIN);
        assert_eq!(
            bucket.take(1, ORIGIN + asked, 0).is_ok(),
            taken,
            "at {asked}"
        );
    }
}

#[test]
fn a_new_policy_gives_nothing_away() {
    // However long the bucket had been full.
    const LATER: u64 = ORIGIN + 1_000_000;
    let at_hand = |old: Config, used: u32, new: Config| {
        let bucket = Bucket::new(old);
        if used > 0 {
            bucket.take(used, LATER, 0).expect("permits");
        }
        bucket.reconfigure(new, || LATER);
        let levels = bucket.levels(LATER);
        let taken = (0..200)
            .take_while(|_| bucket.take(1, LATER, 0).is_ok())
            .count();
        assert_eq!(u32::try_from(taken).ok(), Some(levels.available));
        levels.available
    };
    // A larger burst is not full at once, and a smaller one holds no more than it can.
    assert_eq!(at_hand(config(10, 20), 0, config(10, 100)), 20);
    assert_eq!(at_hand(config(10, 20), 5, config(10, 100)), 15);
    assert_eq!(at_hand(config(10, 20), 5, config(10, 10)), 10);
    // Permits are what is kept, not the time that they took.
    assert_eq!(at_hand(config(1_000, 20), 15, config(7, 20)), 5);
    assert_eq!(at_hand(config(7, 20), 15, config(1_000, 20)), 5);
    assert_eq!(at_hand(config(7, 20), 20, config(1, 20)), 0);

    // Who waits keeps the time; who comes later comes after.
    let bucket = Bucket::new(config(100, 1));
    bucket.take(1, ORIGIN, 0).expect("a full bucket");
    let last = (bucket.take(1, ORIGIN, 500), bucket.take(1, ORIGIN, 500))
        .1
        .expect("a place");
    assert_eq!(last.end, ORIGIN + 200);
    bucket.reconfigure(config(10, 1), || ORIGIN + 50);
    let next = bucket.take(1, ORIGIN + 50, 500).expect("a place");
    assert_eq!(next.end, ORIGIN + 210);

    // What came at the old rate is not given back at the new one.
    let bucket = Bucket::new(config(1_000, 1));
    let place = bucket.take(1, ORIGIN, 0).expect("a full bucket");
    bucket.reconfigure(config(1, 500), || ORIGIN);
    bucket.give_back(place, ORIGIN);
    assert_eq!(bucket.levels(ORIGIN).available, 0);
}

#[test]
fn threads_never_get_more_than_the_burst_and_what_comes() {
    const THREADS: u64 = 8;
    const INTERVAL: u64 = 50;
    const BURST: u32 = 20;
    let bucket = Bucket::new(config(INTERVAL, BURST));
    let clock = AtomicU64::new(ORIGIN);
    let granted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..20_000u64 {
                    let now = clock.fetch_add(round % 3, Ordering::AcqRel);
                    if round % 4 > 0 {
                        let taken = u64::from(bucket.take(1, now, 0).is_ok());
                        granted.fetch_add(taken, Ordering::Relaxed);
                    } else if let Ok(place) = bucket.take(1, now, 400) {
                        bucket.give_back(place, now);
                    }
                }
            });
        }
    });
    let (end, granted) = (clock.into_inner(), granted.into_inner());
    let most = u64::from(BURST) + (end - ORIGIN) / INTERVAL;
    assert!(granted <= most, "{granted} of {most}");
    assert!(granted > most / 2, "{granted} of {most}");
    // All that is left is what nobody took.
    bucket
        .take(BURST, end + INTERVAL * u64::from(BURST), 0)
        .expect("it fills again");
}

/// A policy is changed while others take permits: none is read in halves.
#[test]
fn no_call_sees_half_a_policy() {
    // Two permits are always within the burst, but not with the interval of one and the burst of the
    // other.
    let (slow, fast) = (config(1_000_000, 2), config(10, 5));
    let bucket = Bucket::new(slow);
    let granted = AtomicU64::new(0);
    let (running, halves) = (AtomicU64::new(4), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000_000 {
                    match bucket.take(2, ORIGIN, 0) {
                        Ok(_) => granted.fetch_add(2, Ordering::Relaxed),
                        Err(Refused::TooMany) => halves.fetch_add(1, Ordering::Relaxed),
                        Err(Refused::For(_)) => 0,
                    };
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            while running.load(Ordering::Relaxed) > 0 {
                bucket.reconfigure(fast, || ORIGIN);
                bucket.reconfigure(slow, || ORIGIN);
            }
        });
    });
    // Time stood still: what was there at first is all there is.
    assert_eq!((halves.into_inner(), granted.into_inner()), (0, 2));
}

#[test]
fn no_step_of_the_clock_harms_it() {
    let bucket = Bucket::new(config(10, 2));
    let take = |now: u64| bucket.take(1, now, 0);
    let late = ORIGIN + YEARS;
    assert!(take(late).is_ok());
    // Back to the begin: nothing is there until the clock is where it was.
    assert!(matches!(take(ORIGIN), Err(Refused::For(wait)) if wait > YEARS - 100));
    assert!((take(late).is_ok(), take(late).is_err()) == (true, true));
    assert!(take(late + 10).is_ok());
    // The end of time.
    assert!(take(u64::MAX - 1).is_ok());
    assert!(bucket.take(2, u64::MAX - 1, u64::MAX).is_ok());
}
