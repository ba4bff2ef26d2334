//! Relays when something around them does not work.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod breaker;
mod counted;
mod ill;
#[cfg(feature = "postgres")]
mod log;
mod pace;
mod poison;
#[cfg(feature = "postgres")]
mod postgres;
mod stats;
mod topics;
#[cfg(feature = "postgres")]
mod wake;
#[cfg(feature = "sqlite")]
mod wake_sqlite;
