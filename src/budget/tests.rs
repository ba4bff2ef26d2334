use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::account::{Account, Cost, RETRY};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn config(ratio: f64, floor: u32) -> Config {
    Config {
        ratio,
        floor,
        ..Config::default()
    }
}

fn granted(account: &mut Account, now: Instant) -> u64 {
    (0..)
        .take_while(|_| account.withdraw(Cost::Retry, now))
        .count() as u64
}

#[test]
fn the_ratio_is_exact() {
    // 0.3 and 0.6 added up in floating point miss their whole numbers.
    for (ratio, deposits, expected) in [
        (0.1, 10, 1),
        (0.1, 9, 0),
        (0.1, 1_000, 100),
        (0.2, 5, 1),
        (0.3, 9, 2),
        (0.3, 10, 3),
        (0.3, 1_000, 300),
        (0.6, 4, 2),
        (0.6, 5, 3),
        // In floating point a little less.
        (1.001, 1_000, 1_001),
        (2.0, 1, 2),
        (2.0, 500, 1_000),
    ] {
        let now = Instant::now();
        let config = Config {
            capacity: 10_000,
            ..config(ratio, 0)
        };
        let mut account = Account::new(&config, now);
        for _ in 0..deposits {
            account.deposit(now);
        }
        assert_eq!(
            granted(&mut account, now),
            expected,
            "{ratio} of {deposits}"
        );
    }
}

#[test]
fn the_floor_comes_on_top_and_comes_again() {
    let now = Instant::now();
    let mut account = Account::new(&config(0.5, 3), now);
    assert_eq!(granted(&mut account, now), 3);
    account.deposit(now);
    assert_eq!(granted(&mut account, now), 0, "half a retry is none");
    // A sixth of a second makes the other half.
    let later = now + SECOND / 6 + Duration::from_nanos(1);
    assert_eq!(granted(&mut account, later), 1);
    assert_eq!(granted(&mut account, later + 100 * SECOND), 3);
}

#[test]
fn deposits_expire_and_none_is_older_than_its_time() {
    let now = Instant::now();
    let mut account = Account::new(&config(1.0, 0), now);
    account.deposit(now);
    account.deposit(now + 5 * SECOND);
    let just_before = now + 9 * SECOND;
    assert_eq!(account.sight(just_before).balance, 2 * RETRY);
    assert_eq!(account.sight(now + 10 * SECOND).balance, RETRY);
    assert_eq!(account.sight(now + 15 * SECOND).balance, 0);
    assert_eq!(granted(&mut account, now + 15 * SECOND), 0);
}

#[test]
fn a_full_budget_stays_full_while_it_is_used_and_empties_when_it_is_not() {
    let config = Config {
        capacity: 100,
        ..config(1.0, 0)
    };
    let mut now = Instant::now();
    let mut account = Account::new(&config, now);
    for _ in 0..100 {
        assert!(!account.is_settled());
        account.deposit(now);
    }
    assert!(account.is_settled(), "one more would change nothing");
    for _ in 0..100 {
        now += SECOND;
        assert_eq!(
            account.sight(now).balance,
            100 * RETRY,
            "never for a moment"
        );
        // One deposit looks at the clock; the others are written down only if that is needed.
        account.deposit(now);
        for _ in 0..1_000 {
            if !account.is_settled() {
                account.deposit(now);
            }
        }
    }
    assert_eq!(account.sight(now + 10 * SECOND).balance, 0);
}

#[test]
fn a_throttled_failure_costs_more() {
    let now = Instant::now();
    let mut account = Account::new(&config(0.0, 5), now);
    assert!(account.withdraw(Cost::Throttled, now));
    assert!(account.withdraw(Cost::Throttled, now));
    assert!(!account.withdraw(Cost::Throttled, now));
    assert!(account.withdraw(Cost::Retry, now));
}

#[test]
fn a_clock_that_jumps_wedges_nothing() {
    let now = Instant::now() + 100 * SECOND;
    let mut account = Account::new(&config(1.0, 1), now);
    account.deposit(now);
    let backwards = now.checked_sub(50 * SECOND).expect("an instant");
    assert_eq!(granted(&mut account, backwards), 2);
    let far = now + Duration::from_secs(200 * 365 * 24 * 60 * 60);
    assert_eq!(granted(&mut account, far), 1);
    account.deposit(far);
    assert_eq!(granted(&mut account, far), 1);
}

#[test]
fn another_policy_keeps_what_fits_and_what_was_counted() {
    let now = Instant::now();
    let mut account = Account::new(&config(1.0, 5), now);
    for _ in 0..20 {
        account.deposit(now);
    }
    assert!(account.withdraw(Cost::Retry, now));
    let smaller = Config {
        capacity: 4,
        ..config(1.0, 2)
    };
    account.reconfigure(&smaller, now);
    assert_eq!(account.sight(now).balance, 6 * RETRY);
    assert_eq!(account.sight(now).withdrawn, 1);
    assert!(account.is_settled(), "it is full");
}

/// Each deposit with the number of its slice, oldest first.
#[derive(Debug)]
struct Model {
    config: Config,
    saved: VecDeque<(u128, u64)>,
    credit: u64,
    credited: u64,
}

impl Model {
    const SLICE_MS: u64 = 1_000;

    fn at(&mut self, ms: u64) {
        let slice = u128::from(ms / Self::SLICE_MS);
        self.saved.retain(|(of, _)| slice < of + 10);
        let most = u64::from(self.config.floor) * RETRY;
        let paid = (ms - self.credited) * 1_000_000 * u64::from(self.config.floor);
        self.credit = most.min(self.credit + paid);
        self.credited = ms;
    }

    fn saved(&self) -> u64 {
        self.saved.iter().map(|(_, amount)| amount).sum()
    }

    fn take(&mut self, mut amount: u64) {
        while amount > 0 {
            let oldest = self.saved.front_mut().expect("something saved");
            let taken = amount.min(oldest.1);
            oldest.1 -= taken;
            amount -= taken;
            if oldest.1 == 0 {
                self.saved.pop_front();
            }
        }
    }

    fn deposit(&mut self, ms: u64, amount: u64) {
        self.at(ms);
        self.saved
            .push_back((u128::from(ms / Self::SLICE_MS), amount));
        let most = u64::from(self.config.capacity) * RETRY;
        let more = self.saved().saturating_sub(most);
        self.take(more);
    }

    fn withdraw(&mut self, ms: u64, cost: u64) -> bool {
        self.at(ms);
        if self.saved() + self.credit < cost {
            return false;
        }
        let saved = cost.min(self.saved());
        self.take(saved);
        self.credit -= cost - saved;
        true
    }
}

proptest! {
    #[test]
    fn it_does_as_the_model_of_its_rules(
        tenths in 1u32..30, floor in 0u32..4, capacity in 1u32..20,
        steps in proptest::collection::vec((0u64..1_500, 0u8..8), 1..400),
    ) {
        let config = Config { capacity, ..config(f64::from(tenths) / 10.0, floor) };
        let origin = Instant::now();
        let mut account = Account::new(&config, origin);
        let credit = u64::from(floor) * RETRY;
        let mut model = Model { config, saved: VecDeque::new(), credit, credited: 0 };
        let amount = u64::from(tenths) * RETRY / 10;
        let mut ms = 0;
        for (wait, step) in steps {
            // Mostly at once, now and then after a while.
            ms += if wait < 1_000 { wait / 100 } else { (wait - 1_000) * 40 };
            let now = origin + Duration::from_millis(ms);
            match step {
                0..=4 => {
                    model.deposit(ms, amount);
                    account.deposit(now);
                }
                5 => {
                    let granted = account.withdraw(Cost::Throttled, now);
                    prop_assert_eq!(granted, model.withdraw(ms, 2 * RETRY));
                }
                _ => {
                    let granted = account.withdraw(Cost::Retry, now);
                    prop_assert_eq!(granted, model.withdraw(ms, RETRY));
                }
            }
            prop_assert_eq!(account.sight(now).balance, model.saved() + model.credit);
        }
    }
}
