//! What the tests and the processes that they kill have in common.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test reports by panicking"
)]

use std::num::NonZeroUsize;

mod check;
pub mod consume;
pub mod fire;
pub mod many;
pub mod work;

pub use check::{Seen, drain};

/// The topic of all tests.
pub const TOPIC: &str = "events";
/// How many keys the messages of the outbox tests have.
pub const KEYS: u32 = 5;
/// How many rows a relay publishes together.
pub const WINDOW: NonZeroUsize = NonZeroUsize::new(20).unwrap();
/// What a process prints once it works.
pub const WORKS: &str = "works";
