//! The service client as its callers see it, on the in-memory registry with the clock paused.

mod calls;
mod support;
mod watching;

#[cfg(feature = "hyper")]
mod over_http;
