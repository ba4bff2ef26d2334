//! Relays when something around them does not work.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod foreign;
mod ill;
#[cfg(feature = "postgres")]
mod lanes;
#[cfg(feature = "postgres")]
mod log;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod restore;
mod scheduled;
#[cfg(feature = "postgres")]
mod schema;
#[cfg(feature = "postgres")]
mod sleep;
#[cfg(feature = "postgres")]
mod tidy;
mod topics;
#[cfg(feature = "postgres")]
mod writers;
