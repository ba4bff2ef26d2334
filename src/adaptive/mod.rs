//! Bounds how many calls run at once by what the service bears now, and finds that out by itself.
//!
//! The right number of calls is not known and does not stay: it changes with each release, each
//! neighbour, each slow disk. A number that is too high lets a queue grow in front of the service until
//! all calls are late; one that is too low turns calls away that could be served. An [`Adaptive`] limit
//! watches how long calls take and how they fail, and moves.
//!
//! # How it decides
//!
//! 1. A call that finds fewer calls running than the limit passes; any other is rejected at once with
//!    [`Rejected::LimitExceeded`]. None waits.
//! 2. A success is a sample of the latency. A transient or throttled failure is a drop, and so is
//!    [`Rejected::Elapsed`]. A permanent failure and an ignored outcome say nothing.
//! 3. A call that is dropped before it ends, or panics, says nothing, but for one that the gradient finds too long
//!    already: that is a sample of the time it took, as it would have taken at least that.
//! 4. Samples and drops go into a [`window`](Builder::window), which closes when it holds enough of them
//!    and was open for long enough. Only then the limit moves, once. For the gradient it stays open
//!    until the mean latency is known to within half of the tolerance, or it holds six times as many.
//!    A success that ends in the same moment as another one, on another thread, may be left out.
//! 5. When more than [`drop_rate`](Builder::drop_rate) of a window are drops, the limit is cut to
//!    [`cut_to`](Builder::cut_to) of it. A drop of a call that began before the last cut is not counted.
//!    A share of exactly `drop_rate` is no reason for a cut.
//! 6. Else [`Algorithm::Gradient`] multiplies it by `(baseline + allowance) / mean latency`, by 1.1 at
//!    most and 0.5 at least, and by 1.05 either way when the difference may be chance. The allowance is
//!    [`tolerance`](Gradient::tolerance) of the baseline, two standard errors of the two times, or a
//!    microsecond, whichever is most. Calls that take no time at all, as under a clock that stands still,
//!    move nothing. In front of a service that works on `n` calls at once the limit comes to rest at
//!    `n × (1 + tolerance)`, and somewhat above when calls differ much in time. The next window opens when
//!    calls have had the time to show the change. [`Algorithm::Aimd`] adds [`increase`](Aimd::increase).
//! 7. Neither moves it when in no moment of the window at least half of it was used: traffic that does
//!    not need a limit says nothing about it.
//! 8. The baseline is how long calls take without a queue. A window in which less than half of the
//!    limit was used shows it, and so does one that is faster by more than chance. When the former has not
//!    come for [`measure_every`](Gradient::measure_every), and when the limit has fallen by half, it is
//!    measured: the limit is halved for one window and then goes back. What was measured is doubted, and
//!    measured once more, if it is far from what was known or shows that there was a queue.
//! 9. It stays between [`min`](Builder::min) and [`max`](Builder::max), whatever comes. A limit that falls
//!    under running calls takes nobody's place; none passes until enough have ended.
//!
//! Samples in windows, drops as loss and the rule of half are those of Netflix's
//! `concurrency-limits`, the ratio to a baseline that is measured at a lowered limit that of Envoy's
//! adaptive concurrency filter. One cut for all that was on its way is TCP's.
//!
//! # When not to use it
//!
//! Where the number is known and stays: [`bulkhead`](crate::bulkhead) costs less and has a queue. For
//! calls that differ in time by orders of magnitude and change their mix: use one limit for each kind.
//! For a few calls a minute: a window takes too long to fill.
//!
//! # Order in a stack
//!
//! Where a bulkhead would stand, inside retry and breaker and outside the timeout of the attempt, so
//! that a timeout counts as a drop: `retry > breaker > adaptive > timeout > service`. Its rejections
//! say nothing about the service, and a breaker or retry outside ignores them. Latency is the time to
//! the response, not to the end of its body.
//!
//! # State shared between clones
//!
//! Clones of a limit, and all layers and services made from it, are the same limit. A permit may outlive
//! them, and moves no other limit then. For one limit per host use a [`Registry`] and a [`KeyedLayer`].
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `initial` | 20 calls | `min` to `max` |
//! | `min` | 1 call | 1 to `max` |
//! | `max` | 1,000 calls | 1 to 1,000,000 |
//! | `algorithm` | `Gradient` | `Gradient`, `Aimd` |
//! | `Gradient::tolerance` | 0.1 | above 0 to 1 |
//! | `Gradient::measure_every` | 30 s, a quarter more or less by chance; at most a twentieth of the time | above 0 |
//! | `Aimd::increase` | 1 call | 1 to 1,000,000 |
//! | `window` | 50 calls and 100 ms | 1 to 100,000 calls, above 0 |
//! | `drop_rate` | 0.05 | 0 to 1 |
//! | `cut_to` | 0.9 | above 0 to below 1 |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.adaptive.exceeded` | debug | `adaptive`, `limit` |
//! | `bowline.adaptive.limit` | debug | `adaptive`, `from`, `to` |
//!
//! With the feature `metrics`, in the recorder that stands when the limit is built:
//!
//! | metric | kind | labels beside `adaptive` |
//! |---|---|---|
//! | `bowline.adaptive.calls` | counter | `outcome`: success, dropped, ignored, cancelled, rejected |
//! | `bowline.adaptive.running` | gauge | |
//! | `bowline.adaptive.limit` | gauge, 0 once it is gone | |
//!
//! Limits of one name add up, in both gauges.
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use std::time::Duration;
//!
//! use bowline::adaptive::Adaptive;
//! use bowline::classify::{Failure, Outcome};
//! use bowline::error::BoxError;
//!
//! let limit = Adaptive::builder("search").initial(20).window(10, Duration::from_nanos(1)).build()?;
//! let found = limit.call(|| async { Ok::<_, BoxError>(3) }).await?;
//! assert_eq!((found, limit.limit()), (3, 20));
//!
//! // The service refuses what comes at once: one cut, however many calls were refused.
//! let permits: Vec<_> = (0..20).filter_map(|_| limit.try_acquire().ok()).collect();
//! for permit in permits {
//!     permit.record(Outcome::Failure(Failure::Throttled { retry_after: None }));
//! }
//! assert_eq!(limit.limit(), 18);
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod builder;
mod config;
mod core;
pub mod future;
mod gradient;
mod layer;
mod meters;
mod permit;
mod service;
mod shared;
mod snapshot;
mod state;

pub use builder::Builder;
pub use config::{Aimd, Algorithm, Config, Gradient};
pub use core::Adaptive;
pub use layer::AdaptiveLayer;
pub use permit::Permit;
pub use service::AdaptiveService;
pub use snapshot::Snapshot;

#[cfg(doc)]
use crate::{
    error::Rejected,
    keyed::{KeyedLayer, Registry},
};
