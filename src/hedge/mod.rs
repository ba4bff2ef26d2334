//! Makes a second attempt when the first is slow, and takes the answer that comes first.
//!
//! One call in a hundred is slow for no reason of its own: a pause, a lost packet, a busy disk. Whoever
//! makes a hundred calls to answer one question waits for it each time. A second attempt, somewhere
//! else, most often answers at once. Sent too early, or while everything is slow, it doubles the load
//! of a service that has too much of it; so hedges are late, few, and paid for by a [`Budget`].
//!
//! # How it decides
//!
//! 1. The first attempt runs at once. If it has not answered after [`delay`](Builder::delay), counted
//!    from when it did not answer at once, the next one begins beside it; and so on, a delay after the
//!    one before, until there are [`attempts`](Builder::attempts) of them.
//! 2. [`Delay::Fixed`] is always the same; zero begins all attempts together. [`Delay::Percentile`] is
//!    a percentile of the latest 500 to 1,000 calls, `initial` until 100 of them are known, and never
//!    less than a millisecond. It is not below the exact percentile, and above it by at most a
//!    sixteenth and 100 us, up to 13 minutes.
//! 3. What is measured is the time of a call that succeeded, until its answer, unless its first attempt
//!    failed; never that of an attempt or a call that was dropped. A call that a hedge has won took
//!    longer than the delay all the same, so hedges do not pull the percentile down.
//! 4. The first answer wins: a success, a permanent failure, and an ignored outcome are returned as
//!    they are. All other attempts are dropped before that.
//! 5. A transient failure begins the next attempt at once, without the delay. A throttled one begins
//!    none any more: the service asked for fewer calls. Those that run may still win.
//! 6. An error of a hedge that is ignored, e.g. because a bulkhead inside refused it, or one of its
//!    readiness, ends this hedge and begins no further one. It never ends the first attempt.
//! 7. When all attempts have failed, what the first attempt said is returned: it was asked first and had
//!    the most time. It is kept until then.
//! 8. Each hedge is paid for with [`Budget::try_withdraw`]. If that is refused the call goes on with
//!    the attempts it has. A call that succeeds pays in once, by [`Budget::deposit`]; one that fails, or is
//!    refused by a pattern inside, pays nothing.
//! 9. A request that cannot be copied goes once.
//!
//! # When not to use it
//!
//! For an effect that must not happen twice: a dropped attempt may have had it. Where all attempts end
//! at the same slow place, as with a lock. [Without a budget](Builder::without_budget) in front of a
//! service that is slow because it is overloaded.
//!
//! # Order in a stack
//!
//! In the place of retry, or just inside it: `deadline > hedge > breaker > timeout > service`, so that
//! each attempt is counted; a dropped one counts with the breaker as its rule for cancelled calls
//! says. An instance is chosen inside of the hedge, or it sends all attempts to the same one.
//!
//! The service that was made ready makes the first attempt. Each hedge is made by a clone of its own,
//! which is asked for its readiness only when it is due: no place is held for what may never be sent.
//!
//! # State shared between clones
//!
//! The policy, the latencies, the counters and the budget. Layers and services made from one [`Hedge`]
//! share them, also when it is [reconfigured](Hedge::reconfigure).
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `delay` | the 95th percentile, 1 s until it is known | percentile above 0 and below 1, initial above 0 |
//! | `attempts` | 2, the first one included | 1 to 4 |
//! | `budget` | one of its own: 0.1 hedges for each call that succeeds and 10 a second | see [`budget`](crate::budget) |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.hedge.attempt` | debug | `hedge`, `attempt`, `reason` |
//! | `bowline.hedge.refused` | debug | `hedge` |
//!
//! With the feature `metrics`, in the recorder that stands when the hedge is built, each with the label
//! `hedge`:
//!
//! | metric | kind |
//! |---|---|
//! | `bowline.hedge.started` | counter: further attempts |
//! | `bowline.hedge.won` | counter: calls that a further attempt has won |
//! | `bowline.hedge.refused` | counter: further attempts that the budget has refused |
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use std::time::Duration;
//!
//! use bowline::error::BoxError;
//! use bowline::hedge::{Delay, Hedge};
//!
//! let hedge = Hedge::builder("search")
//!     .delay(Delay::fixed(Duration::from_millis(5)))
//!     .build()?;
//! let winner = hedge
//!     .run(|attempt| async move {
//!         if attempt == 1 {
//!             std::future::pending::<()>().await;
//!         }
//!         Ok::<_, BoxError>(attempt)
//!     })
//!     .await?;
//! assert_eq!(winner, 2);
//! assert_eq!((hedge.snapshot().started, hedge.snapshot().won), (1, 1));
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod attempts;
mod budget;
mod builder;
mod config;
mod core;
mod delay;
pub mod future;
mod latencies;
mod layer;
mod meters;
mod service;
mod shared;
mod snapshot;

pub use budget::Budget;
pub use builder::Builder;
pub use config::Config;
pub use core::Hedge;
pub use delay::Delay;
pub use layer::HedgeLayer;
pub use service::HedgeService;
pub use snapshot::Snapshot;
