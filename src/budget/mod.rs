//! Bounds the share of calls that are retries or hedges.
//!
//! Three attempts for each call hide a blip, and make three times the load of a service that is down.
//! A [`RetryBudget`] is shared by all who call a service: calls pay in, a retry takes out. While few
//! calls fail every retry is granted; when all fail the load grows by the ratio and no more.
//!
//! # How it decides
//!
//! 1. A call that has reached the service pays in [`ratio`](Builder::ratio) of a retry, once, however it
//!    ends. What a breaker, bulkhead or limit refuses on its way pays nothing, or an outage would pay for
//!    a storm of retries after it. The ratio is kept in billionths: 0.1, 0.3 or 2.0 are exact, a third is
//!    rounded.
//! 2. Deposits expire: each can be used for at least nine tenths of the [`ttl`](Builder::ttl), and not
//!    after it. They are kept in ten slices of it, so that memory is bounded.
//! 3. At most [`capacity`](Builder::capacity) retries are saved; what comes on top replaces the oldest.
//! 4. The [`floor`](Builder::floor) comes on top: so many retries a second, continuously, of which a
//!    second's worth is kept. A new budget holds that, and no deposits.
//! 5. A retry is granted when it costs no more than deposits and floor together: one, or
//!    [`throttled_cost`](Builder::throttled_cost) when the service had asked for fewer calls. It takes the
//!    oldest deposits first, then the floor. A refusal takes nothing. All of this is one step under a
//!    lock: no two threads get the same retry.
//! 6. A deposit is not written down while it would change nothing that matters: while the deposits of the
//!    younger half of the time to live fill the capacity. One in 64, by chance, looks whether that still
//!    holds, so that young deposits take the place of old ones before those expire. What is not written
//!    down is never granted. A retry looks as a call begins.
//!
//! So over any time `t` it grants at most `ratio * deposits + floor * (t + 1 s)` retries, counting the
//! deposits from one time to live before. A ratio of 0 leaves the floor, a floor of 0 the deposits.
//!
//! Rule 6 is why a budget costs next to nothing while nothing fails: a full bucket is a fixed point, as it
//! is in gRPC's retry throttling (gRFC A6), and several threads then only read. Finagle's budget has
//! the time to live and the floor, but writes each deposit; gRPC's forgets nothing. This one counts at most
//! `capacity / ratio` deposits for each half of the time to live, whatever the traffic.
//!
//! # When not to use it
//!
//! For a single caller that tries for ever with long pauses, as at a start: it has nobody to share with.
//! One budget for services that have nothing to do with each other: those that work would pay for the one
//! that fails.
//!
//! # Order in a stack
//!
//! It is no layer: it is given to [`retry`](crate::retry), and the same one to all who repeat calls to the
//! same service. Only the outermost of several layers that repeat should.
//!
//! # State shared between clones
//!
//! Clones are the same budget, and so is what a retry made with it uses.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `ratio` | 0.2 retries for each call | 0 to 100 |
//! | `floor` | 10 retries a second | 0 to 1,000,000; not 0 together with a ratio of 0 |
//! | `ttl` | 10 s | 10 ms to 1 h |
//! | `capacity` | 1,000 retries | 1 to 1,000,000 |
//! | `throttled_cost` | 2 retries | 1 to 100, and no more than `capacity` and `floor` together; with a ratio of 0 no more than `floor` |
//!
//! # Telemetry
//!
//! With the feature `metrics`, in the recorder that stands when the budget is built, each with the label
//! `budget`:
//!
//! | metric | kind |
//! |---|---|
//! | `bowline.budget.balance` | gauge: retries that all budgets of this name would grant |
//! | `bowline.budget.withdrawn` | counter: retries that it has granted |
//! | `bowline.budget.refused` | counter: retries that it has refused |
//!
//! The budgets of retries that were given none are all named `retry`: to see them one by one, give each a
//! budget with a name of its own. The gauge changes with what is paid in and asked for, and not by time alone;
//! [`RetryBudget::snapshot`] tells the balance of this moment.
//!
//! # Examples
//!
//! ```
//! use bowline::budget::RetryBudget;
//!
//! let budget = RetryBudget::builder("billing").ratio(0.5).floor(0).build()?;
//! for _ in 0..3 {
//!     budget.deposit();
//! }
//! assert!(budget.try_withdraw());
//! assert!(!budget.try_withdraw(), "half a retry is none");
//! assert_eq!(budget.snapshot().balance, 0.5);
//! # Ok::<_, bowline::config::ConfigError>(())
//! ```

mod account;
mod builder;
mod config;
mod core;
mod meters;
mod snapshot;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use config::Config;
pub use core::RetryBudget;
pub use snapshot::Snapshot;
