//! What tests of services and of back-ends need: one conformance suite per port.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a suite reports a broken contract by panicking"
)]

pub mod broker;
pub mod discovery;
pub mod dlq;
pub mod faults;
pub mod idempotency;
pub mod outbox;
