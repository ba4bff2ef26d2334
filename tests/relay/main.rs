//! Relays when something around them does not work.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod ill;
#[cfg(feature = "postgres")]
mod log;
#[cfg(feature = "postgres")]
mod postgres;
mod scheduled;
#[cfg(feature = "postgres")]
mod sleep;
mod topics;
#[cfg(feature = "postgres")]
mod writers;
