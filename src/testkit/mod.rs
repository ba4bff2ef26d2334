//! testkit.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a suite reports a broken contract by panicking"
)]

pub mod discovery;
