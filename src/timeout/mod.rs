//! Bounds how long a call may take: one attempt, or all of them together.
//!
//! A service that does not answer is worse than one that says no: its callers wait, hold connections
//! and memory, and soon do not answer either. A [`Timeout`] gives up one attempt, so that another one
//! can be made. A [`Deadline`] gives up the whole call, and tells everything inside how much time is
//! left.
//!
//! # How it decides
//!
//! 1. The call is made at once, and polled before any clock is read: an answer at once costs nothing.
//! 2. The time counts from when the call did not answer at once. For a [`Deadline`] it may begin
//!    earlier: when somebody inside asks for [`deadline::current`].
//! 3. When the time is over the call is dropped, and then fails with [`Rejected::Elapsed`]. An answer
//!    that is there at the same instant wins.
//! 4. A [`Timeout`] inside a [`Deadline`], or inside [`deadline::within`], does not look at it: each ends at
//!    its own time. The deadline, when it is earlier, drops the attempt, and the error names the deadline.
//!    To a breaker between the two that is a call which its caller [gave up](crate::breaker::Cancelled), and
//!    by default no failure of the service: a caller in a hurry opens nothing for others. At the same
//!    instant it is the attempt that ends, as too slow.
//! 5. A limit comes from the policy, or for each request from [`with_limits`](TimeoutLayer::with_limits).
//!    One of zero that comes from there gives up whatever does not answer at once. What a caller has asked
//!    for belongs into a deadline, as by 4: taken for the limit of a timeout, it judges the service.
//! 6. The timer fires also while the call is busy without end, as long as it yields to its runtime.
//!
//! # When not to use it
//!
//! [`Timeout`]: for an effect that must not be given up half way, as the service may go on after its
//! caller has gone. For streams: only the time until the response is bounded, not its body.
//! [`Deadline`]: around work that blocks its thread; nothing can be dropped that does not yield.
//!
//! # Order in a stack
//!
//! The deadline outside everything that waits or repeats, the timeout of the attempt inside the
//! breaker: `deadline > retry > breaker > timeout > service`. A timeout outside of retry is a deadline
//! that nobody inside knows of. A timeout outside the breaker drops its calls unseen.
//!
//! The call that was made ready is the one that is made: neither holds a place of the inner service
//! while it waits, and a call that is dropped gives its place back before the error is returned.
//!
//! # State shared between clones
//!
//! The policy: [`reconfigure`](Timeout::reconfigure) holds for the calls that all of them make from then on.
//! Each call has its own time.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `limit` | none, it must be given | above 0, at most 10 years |
//! | `with_limits` | the same limit for each request | any, also 0 |
//! | `named` | `timeout`, `deadline` | any |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.timeout.elapsed` | debug | `timeout`, `limit` |
//! | `bowline.deadline.elapsed` | debug | `deadline`, `limit` |
//!
//! With the feature `metrics`, in the recorder that stands when the timeout or deadline is built:
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `bowline.timeout.elapsed` | counter: calls that were given up | `timeout` |
//! | `bowline.deadline.elapsed` | counter: calls that were given up | `deadline` |
//!
//! What [`deadline::within`] gives up has an event without a name, and is not counted.
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use std::time::Duration;
//!
//! use bowline::deadline;
//! use bowline::error::{BoxError, Rejected, rejected};
//! use bowline::timeout::{Deadline, Timeout};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let attempt = Duration::from_millis(10);
//! let slow = service_fn(|_: ()| async {
//!     assert!(deadline::remaining().is_some());
//!     std::future::pending::<Result<(), BoxError>>().await
//! });
//! let service = ServiceBuilder::new()
//!     .layer(Deadline::new(Duration::from_secs(3))?.layer())
//!     .layer(Timeout::new(attempt)?.layer())
//!     .service(slow);
//! let late = service.oneshot(()).await.unwrap_err();
//! assert_eq!(rejected(&late), Some(&Rejected::elapsed(attempt)));
//!
//! let answer = Timeout::new(attempt)?.call(|| async { Ok::<_, BoxError>(7) }).await?;
//! assert_eq!(answer, 7);
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod config;
mod core;
pub mod future;
mod layer;
mod limits;
mod service;
mod total;

pub use config::Config;
pub(crate) use config::check_limit;
pub use core::Timeout;
pub use layer::{DeadlineLayer, TimeoutLayer};
pub use limits::{Fixed, Limits};
pub use service::{DeadlineService, TimeoutService};
pub use total::Deadline;

#[cfg(doc)]
use crate::{deadline, error::Rejected};
