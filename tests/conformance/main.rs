//! Every back-end passes the suite of its port.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod bad_input;
mod broker;
mod discovery;
mod dlq;
mod idempotency;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod inbox;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "sqlite")]
mod migrations;
mod outbox;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod pools;
#[cfg(feature = "redis")]
mod redis_broker;
