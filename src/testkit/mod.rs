//! testkit.

pub mod broker;
