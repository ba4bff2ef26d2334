//! Stops calling a service that is failing, and finds out gently whether it works again.
//!
//! A service that fails is often one that is overloaded. Callers that keep trying hold their own
//! threads and connections, and give it no chance to recover. A [`Breaker`] watches the outcomes of
//! calls and, when too many fail, rejects further ones at once for a while.
//!
//! # How it decides
//!
//! 1. **Closed**: calls pass. Each outcome that is not ignored goes into the
//!    [`window`](Builder::window): the latest calls, or the calls of the latest time.
//! 2. It opens when [`consecutive_failures`](Builder::consecutive_failures) calls in a row have
//!    failed; or when the window holds at least [`minimum_calls`](Builder::minimum_calls) and the share
//!    of failures is at or above [`failure_rate`](Builder::failure_rate), or that of
//!    [`slow_calls`](Builder::slow_calls) at or above its rate. The rules are looked at in this order,
//!    after successes too: one can be the call that makes the minimum. A share of nothing opens nothing.
//! 3. **Open**: calls are rejected with [`Rejected::CircuitOpen`] and the time that is left. The wait
//!    follows [`open_for`](Builder::open_for), one step further for each time it opened without having
//!    been closed in between, or [`open_for_fn`](Builder::open_for_fn). When the last failure was
//!    throttled it is at least as long as the service asked for, up to the cap of `open_for`.
//! 4. **Half-open**: when the wait is over, up to [`probes`](Builder::probes) calls pass. It closes,
//!    with an empty window, as soon as [`success_ratio`](Builder::success_ratio) of them have
//!    succeeded, and opens as soon as that cannot be reached any more; a slow success is none while slow
//!    calls are watched. A probe that gives no answer within [`probe_lease`](Builder::probe_lease) no
//!    longer holds its place: another call passes. Its answer counts all the same if it comes while the
//!    breaker is still in that half-open state, so more than `probes` may answer; the one that makes the
//!    share, or makes it out of reach, decides.
//! 5. **Ramping up**, if [`ramp_up`](Builder::ramp_up) is set: after the probes a share of the calls
//!    passes, chosen by chance, which grows to all of them; the rules of 2 hold.
//! 6. An outcome counts only in the state in which its call was let through: what was started before
//!    a change of state and ends after it says nothing about the present. It is counted as stale.
//! 7. A call that is dropped before it ends counts as [`cancelled`](Builder::cancelled) says, and gives
//!    its place back. A panic counts as a failure, also one of the classifier.
//! 8. [`force_open`](Breaker::force_open), [`disable`](Breaker::disable) and
//!    [`metrics_only`](Breaker::metrics_only) hold until [`reset`](Breaker::reset), whatever comes.
//!
//! A model of these rules, `open_for_fn` aside, is run beside the breaker with random policies, changed on the
//! way, and random schedules; all that can be seen is compared after each step.
//!
//! # When not to use it
//!
//! In front of work that cannot fail by overload (a pure function), or where each call goes to a
//! different place: use one breaker per place.
//!
//! Around itself: a breaker that is layered twice, or whose call goes through the same breaker once more. Each
//! call then needs two places: with [`probes`](Builder::probes) of 1 the outer one takes the only place, the
//! inner one is refused, which says nothing about the service, and it never closes again.
//!
//! # When an answer counts
//!
//! When the future of the call is ready. An HTTP service may have sent no more than a head by then:
//! [`record_on_body_end`](BreakerLayer::record_on_body_end) waits for the end of the body.
//!
//! # Order in a stack
//!
//! Inside retry, so that each attempt is counted; outside the timeout of the attempt, so that a
//! slow service is counted: `retry > breaker > bulkhead > timeout > service`. A timeout outside the breaker
//! drops the call, which then counts as [`cancelled`](Builder::cancelled) says.
//!
//! The clock of [`slow_calls`](Builder::slow_calls) and of [`cancelled`](Builder::cancelled) runs from the
//! moment the breaker lets the call through to its answer: **whatever waits inside the breaker is in it**, also
//! the queue of a bulkhead and the wait of a rate limit. A healthy service behind a long queue then looks slow,
//! and the breaker opens for our own want of places. When slow calls are watched, either
//!
//! - give the bulkhead no queue, which is its default: a full one refuses, which says nothing about the
//!   service; or
//! - let `slow_call` be longer than the longest wait in the queue and the longest good call together; or
//! - in a stack made by hand, put what waits outside, `retry > bulkhead > breaker > timeout > service`: calls
//!   wait before the breaker looks at them. A call that an open breaker refuses has waited for its place first.
//!   A [`Pipeline`](crate::pipeline::Pipeline) has one order and refuses this one; or
//! - leave slowness to the timeout of the attempt, inside the bulkhead: it counts from when the call has its
//!   place, and what it cuts off is a failure.
//!
//! What an inner pattern refuses says nothing about the service either, as far as the classifier can see it:
//! [`AnyError`](crate::classify::AnyError) has to be told of an error enum of your own, by
//! [`look_into_error`](crate::error::look_into_error).
//!
//! # State shared between clones
//!
//! Clones of a breaker, and all layers and services made from it, are the same breaker. It ends with
//! the last of them; a permit or a future that outlives it counts nowhere.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `failure_rate` | 0.5 | above 0 to 1 |
//! | `slow_calls` | off | rate above 0 to 1, time above 0 |
//! | `consecutive_failures` | off | from 1 |
//! | `window` | 100 calls | 1 to 1,000,000 calls, or 20 ms to 1 h |
//! | `minimum_calls` | 20 calls | from 1, at most a window of calls |
//! | `open_for` | exponential from 5 s to 2 min, equal jitter | base above 0 |
//! | `probes` | 3 calls | 1 to 1,000 |
//! | `success_ratio` | 1 | above 0 to 1 |
//! | `probe_lease` | 30 s | above 0 |
//! | `ramp_up` | off | time above 0, first share above 0 to 1 |
//! | `cancelled` | a failure if it took as long as a slow call, when those are watched; else nothing | |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.breaker.transition` | info | `breaker`, `from`, `to`, `reason` |
//! | `bowline.breaker.open_for_panicked` | error | `breaker` |
//!
//! A rejection is no event, however many there are: it is a count, of the metric and the snapshot.
//!
//! With the feature `metrics`, in the recorder that stands when the breaker is built:
//!
//! | metric | kind | labels beside `breaker` |
//! |---|---|---|
//! | `bowline.breaker.calls` | counter | `outcome`: success, failure, ignored, cancelled, stale, rejected |
//! | `bowline.breaker.slow_calls` | counter | |
//! | `bowline.breaker.opened` | counter | `reason` |
//! | `bowline.breaker.state` | gauge: how many breakers of this name are in the state | `state` |
//!
//! Of a single breaker the gauge is 1 for the state it is in, and 0 for all others. Several of one name, as
//! a [`Registry`](crate::keyed::Registry) makes them, add up. It changes with the first call after a wait
//! is over; [`state`](Breaker::state) needs no call.
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

pub mod body;
mod builder;
mod config;
mod core;
mod ended;
pub mod future;
mod keyed;
mod layer;
mod meters;
mod mirror;
mod opening;
mod permit;
mod phase;
mod service;
mod shared;
mod snapshot;
mod state;
mod subscribe;
mod ticket;
mod turned_away;
mod waiting;
mod window;

pub use builder::Builder;
pub use config::{Cancelled, Config, RampUp};
pub use core::Breaker;
pub use layer::BreakerLayer;
pub use opening::Opening;
pub use permit::Permit;
pub use service::BreakerService;
pub use snapshot::{Reason, Snapshot, Transition};
pub use subscribe::Transitions;
pub use window::Window;

pub use crate::error::CircuitState as State;

#[cfg(doc)]
use crate::error::Rejected;
