//! Relays when something around them does not work.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod bad_input;
mod breaker;
mod counted;
#[cfg(feature = "postgres")]
mod crash;
mod exactly_once;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod foreign;
mod ill;
#[cfg(all(feature = "kafka", feature = "postgres"))]
mod kafka;
#[cfg(feature = "postgres")]
mod lanes;
#[cfg(feature = "postgres")]
mod log;
mod meanwhile;
mod pace;
#[cfg(feature = "postgres")]
mod parked;
mod poison;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod queue;
mod restore;
mod scheduled;
#[cfg(feature = "postgres")]
mod schema;
#[cfg(feature = "postgres")]
mod sleep;
mod stats;
#[cfg(feature = "postgres")]
mod tidy;
mod topics;
#[cfg(feature = "postgres")]
mod wake;
#[cfg(feature = "sqlite")]
mod wake_sqlite;
#[cfg(feature = "postgres")]
mod writers;
