//! testkit.

pub mod broker;
pub mod dlq;
pub mod idempotency;
