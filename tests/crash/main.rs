//! Processes that are killed at any moment, and what must be there afterwards.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test reports by panicking, a child process by printing"
)]
#![cfg(unix)]

#[cfg(feature = "sqlite")]
mod sqlite_broker;
