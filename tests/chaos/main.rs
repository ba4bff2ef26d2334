//! Consumers that are killed, stopped for longer than their session, added and removed, and brokers
//! that do not answer, under load and in an order that a seed decides.
//!
//! `BOWLINE_SEEDS=from..to` runs other seeds than the usual ones. A seed decides what is done and when;
//! which of two tasks that are ready goes first is for the runtime to say, so a rare failure may need
//! its seed more than once.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod member;
mod memory;
mod plan;
mod run;
#[cfg(feature = "sqlite")]
mod sqlite;
mod steps;
mod unreliable;
