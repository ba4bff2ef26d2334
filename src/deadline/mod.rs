//! The time by which a call must have ended, seen by everything inside it.
//!
//! A caller waits only for so long. Attempts, waits and queries that go on after that are work for
//! nobody. A deadline is set once around the whole call, and every part inside can ask how much time
//! is left, without any change of the request.
//!
//! # How it decides
//!
//! 1. [`within`] and the layer of [`timeout::Deadline`](crate::timeout::Deadline) set a deadline while
//!    they poll what is inside them. [`current`] and [`remaining`] tell it to whoever asks there.
//! 2. The time counts from when the call did not answer at once, or from when somebody asked for the
//!    first time, whichever was earlier. Until then no clock is read and no timer is armed.
//! 3. Inside two of them [`current`] is the earlier one. Each ends at its own time and names itself; at the
//!    same instant it is the inner one.
//! 4. Each poll sets it anew, on whatever thread, and puts back what was there before, also when the
//!    call panics.
//! 5. It belongs to the `tokio` task that is polled. Another task that runs meanwhile on the same thread, as
//!    a call that drives a [`LocalSet`](tokio::task::LocalSet) lets it, does not see it. Executors without
//!    `tokio`'s tasks cannot be told apart: what one drives inside a call is inside of it.
//! 6. When the time is over the call is dropped, and fails with [`Rejected::Elapsed`]. An answer that
//!    is there at the same instant wins.
//!
//! # When not to use it
//!
//! For what is spawned inside: a task of its own has no deadline, as it may outlive the call. Hand it
//! what [`remaining`] says, as `within(remaining, work)`. Across processes send the remaining time,
//! never the instant: no two machines agree on it.
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use std::time::Duration;
//!
//! use bowline::deadline;
//! use bowline::error::{BoxError, Rejected, rejected};
//!
//! let limit = Duration::from_millis(20);
//! let query = async {
//!     let left = deadline::remaining().expect("somebody waits");
//!     assert!(left <= limit);
//!     std::future::pending::<Result<(), BoxError>>().await
//! };
//! let late = deadline::within(limit, query).await.unwrap_err();
//! assert_eq!(rejected(&late), Some(&Rejected::elapsed(limit)));
//! assert_eq!(deadline::current(), None);
//! # });
//! ```

use std::time::Duration;

use tokio::time::Instant;

mod scope;
mod shared;
mod timer;
mod within;

use scope::enter;
pub(crate) use shared::{Listener, Shared};
pub(crate) use timer::Timer;
pub use within::{Within, within};

/// When the call that is polled on this thread must have ended; `None` when nobody has said so.
#[must_use]
pub fn current() -> Option<Instant> {
    scope::current(Instant::now)
}

/// How much time is left until [`current`]; zero when it has passed.
#[must_use]
pub fn remaining() -> Option<Duration> {
    // Without a deadline no clock is read; with one it is read once.
    let mut now = None;
    let mut clock = || *now.get_or_insert_with(Instant::now);
    let end = scope::current(&mut clock)?;
    Some(end.saturating_duration_since(clock()))
}

#[cfg(doc)]
use crate::error::Rejected;
