//! testkit.

pub mod broker;
pub mod discovery;
