use std::time::Duration;

use tokio::time::Instant;

use super::Config;

/// The parts in which the time to live is counted: a deposit lives for between nine tenths of it and all
/// of it.
const SLICES: usize = 10;
/// A budget is settled when the younger half of them fills it.
const YOUNG: usize = SLICES / 2;
/// One retry. In billionths a floor of so many a second is as many for each nanosecond: nothing is
/// ever rounded but the ratio, once.
pub(super) const RETRY: u64 = 1_000_000_000;

/// What a budget holds; all of it moves by the time it is given.
#[derive(Debug)]
pub(super) struct Account {
    rates: Rates,
    /// The begin of slice 0.
    origin: Instant,
    /// The number of the newest slice.
    newest: u64,
    /// What was deposited in the newest slices and not withdrawn.
    slices: [u64; SLICES],
    /// Their sum.
    saved: u64,
    /// What the floor allows now.
    credit: u64,
    /// When the floor was last paid out.
    credited: Instant,
    withdrawn: u64,
    refused: u64,
    /// As of the last change; see [`is_settled`](Self::is_settled).
    is_settled: bool,
}

/// A configuration in the units of the account.
#[derive(Debug, Clone, Copy)]
struct Rates {
    deposit: u64,
    floor: u64,
    capacity: u64,
    slice: Duration,
    throttled: u64,
}

/// What a retry costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    Retry,
    Throttled,
}

/// What there is to see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) balance: u64,
    pub(super) withdrawn: u64,
    pub(super) refused: u64,
}

impl Rates {
    fn new(config: &Config) -> Self {
        let slices = u32::try_from(SLICES).unwrap_or(u32::MAX);
        Self {
            deposit: deposit(config.ratio),
            floor: u64::from(config.floor),
            capacity: u64::from(config.capacity) * RETRY,
            slice: (config.ttl / slices).max(Duration::from_nanos(1)),
            throttled: u64::from(config.throttled_cost) * RETRY,
        }
    }
}

/// What a call pays in at so many retries for each.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a checked ratio is from 0 to 100"
)]
pub(super) fn deposit(ratio: f64) -> u64 {
    (ratio * RETRY as f64).round() as u64
}

impl Account {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let rates = Rates::new(config);
        let mut account = Self {
            rates,
            origin: now,
            newest: 0,
            slices: [0; SLICES],
            saved: 0,
            credit: rates.floor * RETRY,
            credited: now,
            withdrawn: 0,
            refused: 0,
            is_settled: false,
        };
        account.settle();
        account
    }

    pub(super) fn deposit(&mut self, now: Instant) {
        self.advance(now);
        let slice = self.slot(0);
        self.slices[slice] += self.rates.deposit;
        self.saved += self.rates.deposit;
        let more = self.saved.saturating_sub(self.rates.capacity);
        self.take_saved(more);
        self.settle();
    }

    pub(super) fn withdraw(&mut self, cost: Cost, now: Instant) -> bool {
        let cost = match cost {
            Cost::Retry => RETRY,
            Cost::Throttled => self.rates.throttled,
        };
        self.advance(now);
        let granted = cost <= self.saved + self.credit;
        if granted {
            // What was saved goes first: it expires, the floor comes again.
            let saved = cost.min(self.saved);
            self.take_saved(saved);
            self.credit -= cost - saved;
            self.withdrawn += 1;
        } else {
            self.refused += 1;
        }
        self.settle();
        granted
    }

    pub(super) fn sight(&mut self, now: Instant) -> Sight {
        self.advance(now);
        self.settle();
        Sight {
            balance: self.balance(),
            withdrawn: self.withdrawn,
            refused: self.refused,
        }
    }

    /// What there is, as of the last change.
    pub(super) const fn balance(&self) -> u64 {
        self.saved + self.credit
    }

    /// Goes on by other rates. What was saved stays, up to the new capacity, and expires as if it had been
    /// deposited now.
    pub(super) fn reconfigure(&mut self, config: &Config, now: Instant) {
        self.advance(now);
        let next = Self::new(config, now);
        let saved = self.saved.min(next.rates.capacity);
        *self = Self {
            saved,
            credit: self.credit.min(next.credit),
            withdrawn: self.withdrawn,
            refused: self.refused,
            ..next
        };
        self.slices[0] = saved;
        self.settle();
    }

    /// Lets what is too old expire, and pays out the floor.
    fn advance(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_nanos();
        let slice = since / self.rates.slice.as_nanos();
        let slice = u64::try_from(slice).unwrap_or(u64::MAX);
        let gone = slice.saturating_sub(self.newest);
        for _ in 0..gone.min(SLICES as u64) {
            self.newest += 1;
            let oldest = self.slot(0);
            self.saved -= std::mem::take(&mut self.slices[oldest]);
        }
        self.newest = self.newest.max(slice);

        let since = now.saturating_duration_since(self.credited).as_nanos();
        let since = u64::try_from(since).unwrap_or(u64::MAX).min(RETRY);
        let most = self.rates.floor * RETRY;
        self.credit = most.min(self.credit + since * self.rates.floor);
        self.credited = self.credited.max(now);
    }

    /// Takes the oldest first.
    fn take_saved(&mut self, mut amount: u64) {
        self.saved -= amount;
        for age in (0..SLICES).rev() {
            if amount == 0 {
                break;
            }
            let slice = self.slot(age);
            let taken = amount.min(self.slices[slice]);
            self.slices[slice] -= taken;
            amount -= taken;
        }
    }

    /// Whether one more deposit changes nothing that matters: what is young fills the budget.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    fn settle(&mut self) {
        let young = (0..YOUNG).map(|age| self.slices[self.slot(age)]);
        self.is_settled = self.rates.deposit == 0 || young.sum::<u64>() >= self.rates.capacity;
    }

    /// Where the slice stands that is so many slices older than the newest.
    fn slot(&self, age: usize) -> usize {
        let newest = usize::try_from(self.newest % SLICES as u64).unwrap_or(0);
        (newest + SLICES - age) % SLICES
    }
}
