//! Lets no more calls pass than a rate allows, exactly, and lets those that may wait wait in turn.
//!
//! A service that is asked for more than it can do, or than it has agreed to, slows down for everybody
//! or refuses at random. A [`RateLimiter`] gives out permits at an even rate, and some at once after a
//! pause. What is too much is rejected at once with the time at which it would pass, or waits for
//! exactly that time.
//!
//! # How it decides
//!
//! 1. There is a bucket with [`burst`](Builder::burst) permits, full at first. One more comes each
//!    [`interval`](Rate::interval) of the [`rate`](Builder::rate), little by little; when the bucket is
//!    full, what comes is lost. So in any span of time no more calls pass than the burst and what comes
//!    in that span. This is the generic cell rate algorithm (GCRA, ITU-T I.371), in whole nanoseconds.
//! 2. A call takes the permits it asks for when they are all there, and else none. At the very
//!    nanosecond at which a permit is whole it is there. To ask for none always succeeds, and changes
//!    nothing. More than the burst will never be there: [`Rejected::ExceedsBurst`].
//! 3. When they are not there, [`try_acquire`](RateLimiter::try_acquire) rejects the call with
//!    [`Rejected::RateLimited`]. Its `retry_after` is exact: if nobody else asks, the call passes then,
//!    and not a nanosecond before.
//! 4. [`reserve`](RateLimiter::reserve) and [`acquire`](RateLimiter::acquire) take permits that are yet
//!    to come, each call those after the ones already taken: that is the order of asking, and the time
//!    is known and fixed from the start. Nobody is woken to fight for a permit. If the wait would be longer
//!    than [`max_wait`](Builder::max_wait) they reject at once, and not after the wait; a wait of exactly
//!    that long is fine, and one of zero needs no timer. A timer fires up to a millisecond late, never
//!    early.
//! 5. A place that is given up before its time is given back ([`Reservation`]): nobody who waits is
//!    moved, the next who asks gets it. If it is the last in the queue the queue is shorter. What
//!    nobody takes is lost when the bucket would have run over.
//! 6. A permit is used up when the call begins: it is a rate, not a number of calls at once.
//! 7. [`reconfigure`](RateLimiter::reconfigure) gives nothing away: as many permits are there after as
//!    before.
//!
//! All of it is one number, the time up to which permits are taken, changed by compare-and-swap; the
//! places that were given back stand beside it, and cost nothing while there are none. It is checked
//! against the textbook algorithm, with random schedules, and by threads.
//!
//! # When not to use it
//!
//! To bound how many calls run at once: that is a bulkhead. To find out how much a service can take: an
//! adaptive limit does. Across processes: each has its own limiter, so divide the rate among them.
//!
//! # Order in a stack
//!
//! Inside retry, so that each attempt counts, and outside the breaker:
//! `retry > rate limit > breaker > timeout > service`. Its rejections are not failures: no breaker opens
//! and no retry is made for them.
//!
//! A permit is taken by the call, never by `poll_ready`: a service that is made ready and never called,
//! as a server does for idle connections, costs none. [`layer`](RateLimiter::layer) never waits, and
//! asks nothing of the service. In [`waiting_layer`](RateLimiter::waiting_layer) a call that has to wait
//! lets go of the service that was made ready, which may hold a place in a limit further in, and has a
//! clone of it made ready when its time has come. So it needs a service that can be cloned, and a bulkhead
//! inside has all its places while calls wait outside.
//!
//! # State shared between clones
//!
//! Clones of a limiter, and all layers and services made from it, are the same limiter. For one limiter
//! per user, host or tenant use a [`Registry`] and a [`KeyedLayer`]. Keys beyond the capacity of the registry
//! share one limiter of the same policy: many keys are no way around the limit.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `rate` | none, it must be set | from 1 permit in ten years to 1 in a nanosecond |
//! | `burst` | what comes in 100 ms, at least 1 | 1 to what comes in ten years |
//! | `max_wait` | 0: nobody waits | up to ten years |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.rate.rejected` | debug | `limiter`, `permits`, `retry_after` |
//!
//! With the feature `metrics`, in the recorder that stands when the limiter is built:
//!
//! | metric | kind | labels beside `rate` |
//! |---|---|---|
//! | `bowline.rate.calls` | counter | `outcome`: allowed (at once), delayed, rejected, cancelled (given back) |
//! | `bowline.rate.wait` | histogram, seconds that a call was told to wait | |
//!
//! A [`fresh`](RateLimiter::fresh) limiter counts in the same series.
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use std::time::Duration;
//!
//! use bowline::error::{BoxError, Rejected};
//! use bowline::rate::{Rate, RateLimiter};
//!
//! let limiter = RateLimiter::builder("mail")
//!     .rate(Rate::per_second(10))
//!     .burst(2)
//!     .max_wait(Duration::from_millis(150))
//!     .build()?;
//! limiter.try_acquire()?;
//! limiter.try_acquire()?;
//! let rejected = limiter.try_acquire().unwrap_err();
//! assert!(rejected.retry_after() <= Some(Duration::from_millis(100)));
//!
//! let sent = limiter.call(|| async { Ok::<_, BoxError>("sent, a tenth of a second later") }).await?;
//! assert!(sent.starts_with("sent"));
//! assert!(matches!(limiter.try_acquire_many(3), Err(Rejected::ExceedsBurst { .. })));
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```
//!
//! One limiter for each user:
//!
//! ```
//! use bowline::keyed::Registry;
//! use bowline::rate::{Rate, RateLimiter};
//!
//! # #[derive(Clone, PartialEq, Eq, Hash)]
//! struct UserId(u64);
//!
//! let limiter = RateLimiter::builder("per user").rate(Rate::per_minute(60)).burst(2).build()?;
//! let limiters = Registry::builder(move |_: &UserId| limiter.fresh())
//!     .capacity(100_000)
//!     .build()?;
//!
//! let (ann, bob) = (UserId(1), UserId(2));
//! assert!(limiters.get(&ann).try_acquire().is_ok());
//! assert!(limiters.get(&ann).try_acquire().is_ok());
//! assert!(limiters.get(&ann).try_acquire().is_err());
//! assert!(limiters.get(&bob).try_acquire().is_ok());
//! # Ok::<_, bowline::config::ConfigError>(())
//! ```

mod bucket;
mod builder;
mod config;
mod core;
pub mod future;
mod gaps;
mod layer;
mod meters;
mod quota;
mod reservation;
mod service;
mod snapshot;
#[cfg(test)]
mod tests;
mod waiting;

pub use builder::Builder;
pub use config::Config;
pub use core::RateLimiter;
pub use layer::{RateLimitLayer, WaitingLayer};
pub use quota::Rate;
pub use reservation::Reservation;
pub use service::RateLimitService;
pub use snapshot::Snapshot;
pub use waiting::WaitingService;

#[cfg(doc)]
use crate::{
    error::Rejected,
    keyed::{KeyedLayer, Registry},
};
