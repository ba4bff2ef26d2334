//! The consumer against a subscriber that does what the test says, in paused time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker_errors;
mod handlers;
mod keys;
mod lag;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
mod order;
mod rebalance;
mod retry_topics;
mod room;
mod script;
mod shutdown;
