//! What happened to a group of consumers, and whether it was what bowline promises.
//!
//! A [`Log`] holds every [`Event`] in the order in which it happened, across tasks or processes.
//! [`Watched`] and [`handler`] write it, [`judge`] reads it.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test reports by panicking"
)]

mod event;
mod handler;
mod judge;
mod log;
mod seeds;
mod watched;

pub use event::{Event, What};
pub use handler::{Effort, handler};
pub use judge::{Rules, Verdict, judge};
pub use log::Log;
pub use seeds::{all_fine, seeds};
pub use watched::Watched;
