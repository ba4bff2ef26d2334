//! The service client as its callers see it, on the in-memory registry with the clock paused.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod around;
mod calls;
mod support;
mod watching;

#[cfg(feature = "hyper")]
mod over_http;
