//! Tries again what failed for a reason that may pass.
//!
//! Most failures in a network are short: a restart, a lost connection, a full queue. Trying again
//! after a moment hides them. Tried again at once, without bound, or by everybody at the same time,
//! it makes an outage out of them; so attempts, time and rhythm are bounded here by default.
//!
//! # How it decides
//!
//! 1. The first attempt runs at once.
//! 2. Its outcome is judged by a [`Classify`]. A success, a permanent failure, and an ignored outcome
//!    are returned as they are. A transient or throttled failure is tried again.
//! 3. The wait before the next attempt comes from the [`Backoff`]; a service that asked for a longer
//!    one (`Retry-After`) gets it, and never less.
//! 4. When all attempts are spent, or the wait would end at or after the deadline, the last result is
//!    returned as it is.
//! 5. The deadline counts from when the first attempt did not answer at once. It also ends an attempt
//!    that is still running: the call then fails with [`Rejected::Elapsed`]. When it comes between
//!    two attempts, because a timer was late or the service was not ready, no further one begins
//!    and the last error is returned. An answer that was judged a failure is not kept while waiting,
//!    so that it holds no connection: in its place stands [`Rejected::Elapsed`].
//! 6. A [`Rejected`] by an inner pattern is ignored by the default classifier and so not retried,
//!    but for [`Rejected::Elapsed`]: an open breaker is not hammered.
//!
//! # When not to use it
//!
//! For an effect that must not happen twice, unless it carries an idempotency key. In more than one
//! layer of a system: three attempts at three layers are 27 calls.
//!
//! # Order in a stack
//!
//! Outside the breaker and the timeout of the attempt: `retry > breaker > timeout > service`.
//! Inside out, a breaker would see three failures as one.
//!
//! # State shared between clones
//!
//! None: each call has its own attempts.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `attempts` | 3, the first one included | 1 to 100 |
//! | `backoff` | exponential from 50 ms to 20 s, full jitter | base above 0 |
//! | `deadline` | 30 s for all attempts and waits together | above 0 |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.retry.attempt` | debug | `attempt`, `wait` |
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::error::BoxError;
//! use bowline::retry::Retry;
//!
//! let retry = Retry::builder().attempts(3).build()?;
//! let answer = retry
//!     .run(|attempt| async move {
//!         if attempt < 2 { Err(BoxError::from("not yet")) } else { Ok(attempt) }
//!     })
//!     .await?;
//! assert_eq!(answer, 2);
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod builder;
mod config;
mod core;
pub mod future;
mod layer;
mod schedule;
mod service;

pub use builder::Builder;
pub use config::Config;
pub use core::Retry;
pub use layer::RetryLayer;
pub use service::RetryService;

pub use crate::request::{CloneAll, CloneRequest};

#[cfg(doc)]
use crate::{backoff::Backoff, classify::Classify, error::Rejected};
