//! What happened to a group of consumers, or came out of an outbox, and whether it was what bowline promises.
//!
//! A [`Log`] holds every [`Event`] in the order in which it happened, across tasks or processes.
//! [`Watched`] and [`handler`] write it, [`judge`] reads it. What relays published is read by
//! [`judge_published`].
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test reports by panicking"
)]

mod event;
mod handler;
mod judge;
mod log;
mod outbox;
mod seeds;
mod watched;

pub use event::{Event, What};
pub use handler::{Effort, handler};
pub use judge::{Rules, Verdict, judge};
pub use log::Log;
pub use outbox::{Answer, Row, Step, judge_published};
pub use seeds::{all_fine, seeds};
pub use watched::Watched;
