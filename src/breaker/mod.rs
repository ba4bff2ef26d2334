//! Stops calling a service that is failing, and finds out gently whether it works again.
//!
//! A service that fails is often one that is overloaded. Callers that keep trying hold their own
//! threads and connections, and give it no chance to recover. A [`Breaker`] watches the outcomes of
//! calls and, when too many fail, rejects further ones at once for a while.
//!
//! # How it decides
//!
//! 1. **Closed**: calls pass. Each outcome that is not ignored goes into a window of the last
//!    [`window`](Builder::window) calls; the oldest leaves as the newest comes.
//! 2. It opens when [`consecutive_failures`](Builder::consecutive_failures) calls in a row have
//!    failed, or when the window holds at least [`minimum_calls`](Builder::minimum_calls) and the
//!    share of failures is at or above [`failure_rate`](Builder::failure_rate). Consecutive failures
//!    are looked at first; a success is looked at too, since it can be the call that makes the
//!    minimum.
//! 3. **Open**: calls are rejected with [`Rejected::CircuitOpen`] and the time that is left. The wait
//!    follows [`open_for`](Builder::open_for), one step further for each time it opened without
//!    having been closed in between.
//! 4. **Half-open**: when the wait is over, up to [`probes`](Builder::probes) calls pass at a time.
//!    As many successes close it and clear the window; one failure opens it again. A probe that gives
//!    no answer within [`probe_lease`](Builder::probe_lease) no longer holds its place.
//! 5. An outcome counts only in the state in which its call was let through: what was started before
//!    a change of state and ends after it says nothing about the present.
//! 6. A call that is dropped before it ends counts nowhere and gives its place back. A panic counts
//!    as a failure.
//!
//! # When not to use it
//!
//! In front of work that cannot fail by overload (a pure function), or where each call goes to a
//! different place: use one breaker per place.
//!
//! # Order in a stack
//!
//! Inside retry, so that each attempt is counted; outside the timeout of the attempt, so that a
//! slow service is counted: `retry > breaker > timeout > service`. A timeout outside the breaker
//! drops the call, which then counts nowhere.
//!
//! # State shared between clones
//!
//! Clones of a breaker, and all layers and services made from it, are the same breaker.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `failure_rate` | 0.5 | above 0 to 1 |
//! | `window` | 100 calls | 1 to 1,000,000 |
//! | `minimum_calls` | 20 calls | 1 to the window |
//! | `consecutive_failures` | off | from 1 |
//! | `open_for` | exponential from 5 s to 2 min, equal jitter | base above 0 |
//! | `probes` | 3 calls | 1 to 1,000 |
//! | `probe_lease` | 30 s | above 0 |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.breaker.transition` | info | `breaker`, `from`, `to`, `reason` |
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::breaker::{Breaker, State};
//! use bowline::error::{BoxError, rejected};
//!
//! let breaker = Breaker::builder("billing").consecutive_failures(2).build()?;
//! for _ in 0..2 {
//!     let failed: Result<(), BoxError> = breaker.call(|| async { Err("down".into()) }).await;
//!     assert!(failed.is_err());
//! }
//! assert_eq!(breaker.state(), State::Open);
//!
//! let refused = breaker.call(|| async { Ok::<_, BoxError>("never asked") }).await.unwrap_err();
//! assert!(rejected(&refused).is_some());
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod builder;
mod config;
mod core;
pub mod future;
mod layer;
mod permit;
mod service;
mod snapshot;
mod state;
mod window;

pub use builder::Builder;
pub use config::Config;
pub use core::Breaker;
pub use layer::BreakerLayer;
pub use permit::Permit;
pub use service::BreakerService;
pub use snapshot::{Reason, Snapshot, State};

#[cfg(doc)]
use crate::error::Rejected;
