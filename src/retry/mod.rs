//! Tries again what failed for a reason that may pass.
//!
//! Most failures in a network are short: a restart, a lost connection, a full queue. Trying again
//! after a moment hides them. Tried again at once, without bound, or by everybody at the same time,
//! it makes an outage out of them; so attempts, time and rhythm are bounded here by default.
//!
//! # How it decides
//!
//! 1. The first attempt runs at once.
//! 2. Its outcome is judged by a [`Classify`], and then by a [`Predicate`] that sees the request too, if
//!    there is one. A success, a permanent failure, and an ignored outcome are returned as they are. A
//!    transient or throttled failure is tried again, unless the predicate says [`Decision::Stop`]; anything
//!    is, for which it says [`Decision::Retry`].
//! 3. An attempt that takes longer than its [timeout](Builder::attempt_timeout), counted from when it did
//!    not answer at once, is dropped. That is a transient failure with [`Rejected::Elapsed`], whatever the
//!    classifier makes of it; the predicate may veto.
//! 4. The wait before the next attempt comes from the [`Backoff`], or from a
//!    [schedule of your own](Builder::backoff_fn); when that ends there is no further attempt. A wait of
//!    zero is none, and needs no timer.
//! 5. A service that asks for a wait (`Retry-After`) gets it, and is never asked earlier. Jitter then comes
//!    on top of what was asked, as far as there is time; a backoff without jitter waits for the longer of
//!    the two. A wait above [`max_retry_after`](Builder::max_retry_after) is not begun: the call ends.
//! 6. A [`Rejected`] by an inner pattern is ignored by the default classifier: it is returned and takes
//!    nothing from the budget. Two are not like the others. [`Rejected::Elapsed`] is a transient failure. An
//!    open breaker that says how long is waited for as in 5, a millisecond at least: that takes nothing
//!    from the budget either, but it counts as an attempt, so that it has an end. A predicate may veto it.
//!    For that to be seen the error must be a [`Rejected`], a [`BoxError`](crate::error::BoxError), an error of
//!    this library, or of a type that was made known by [`look_into`](crate::error::look_into) or
//!    [`look_into_error`](crate::error::look_into_error).
//! 7. When all attempts are spent, the wait would end at or after the deadline, or the budget is
//!    exhausted, the last result is returned as it is, and not the reason. They are looked at in this order:
//!    a retry for which there is no time is not paid for.
//! 8. The deadline counts from when the first attempt did not answer at once. It also ends an attempt
//!    that is still running: the call then fails with [`Rejected::Elapsed`]. When it comes between
//!    two attempts, because a timer was late or the service was not ready, no further one begins
//!    and the last error is returned. An answer that was judged a failure is not kept while waiting,
//!    so that it holds no connection: in its place stands [`Rejected::Elapsed`].
//!    A service that fails to get ready for a further attempt ends the call too: with the last error, and
//!    with its own only where the last attempt was an answer.
//! 9. A call pays its deposit into the [budget](Builder::budget) as soon as one of its attempts has reached
//!    the service, once, and before it asks for a retry itself. An attempt has not reached it when its
//!    error is a [`Rejected`] other than [`Rejected::Elapsed`], or is returned because the classifier
//!    ignores it; one that ran out of time has. So what an open breaker or a full bulkhead refuses in an
//!    outage pays for no retries after it. A call that is dropped before its first answer pays nothing.
//! 10. A request is copied for the next attempt before it is sent, and not for the last one. One that cannot
//!     be [copied](CloneRequest) goes once.
//!
//! While it waits it holds no place of the service: the service is asked to be ready only after it.
//!
//! # When not to use it
//!
//! For an effect that must not happen twice, unless it carries an idempotency key. In more than one
//! layer of a system: three attempts at three layers are 27 calls.
//!
//! # Order in a stack
//!
//! Outside the breaker and the timeout of the attempt: `retry > breaker > timeout > service`.
//! Inside out, a breaker would see three failures as one. Its own
//! [`attempt_timeout`](Builder::attempt_timeout) stands outside the breaker: an attempt that it ends counts
//! there as [cancelled](crate::breaker::Cancelled).
//!
//! # State shared between clones
//!
//! Clones, layers and services made from one retry share policy, budget and counters; each call has its own
//! attempts. A call that outlives all of them goes on by them until its deadline, but for no more than an
//! hour: after that it may end as it stands, with the answer that is there, its last error, or
//! [`Rejected::Elapsed`], and makes no further attempt.
//!
//! The service that was made ready makes the first attempt. Others are made by a clone, of which a service
//! that is called more than once keeps one for all its calls. It is made at the second call, and what is not
//! shared between clones stays as it was then: a call that needs it has a copy of it, which is dropped with the
//! call. A service that counts in a plain field where to go next so goes to the same place with the second
//! attempt of every call; keep what is to move on in an [`Arc`](std::sync::Arc). A service that needs no drop
//! is copied for every call instead, as it is at that call.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `attempts` | 3, the first one included | 1 to 100 |
//! | `backoff` | exponential from 50 ms to 20 s, full jitter | base above 0 |
//! | `deadline` | 30 s for all attempts and waits together | above 0 |
//! | `attempt_timeout` | none | above 0 |
//! | `max_retry_after` | 30 s | above 0 |
//! | `name` | `retry` | |
//! | `budget` | one of its own: 0.2 retries for each call and 10 a second | see [`budget`](crate::budget) |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.retry.attempt` | debug | `retry`, `attempt`, `wait` |
//! | `bowline.retry.exhausted` | debug | `retry`, `attempt`, `reason` |
//!
//! The first is one for each retry, the second one for each call that ends with a failure that could have
//! been tried again. In an outage that is every call, so neither is louder. The reason is `attempts` (they
//! are spent, the schedule has ended, or the request goes only once), `budget`, `deadline`, `retry-after` or
//! `unready` (the service has failed to get ready for another attempt).
//!
//! With the feature `metrics`, in the recorder that stands when the retry is built:
//!
//! | metric | kind | labels beside `retry` |
//! |---|---|---|
//! | `bowline.retry.calls` | counter | `outcome`: success, failure, ignored, exhausted |
//! | `bowline.retry.retries` | counter: attempts after a first one | |
//! | `bowline.retry.exhausted` | counter | `reason` |
//!
//! A call is counted when it ends, and not when it is dropped before. [`Retry::snapshot`] counts what was
//! tried again and given up.
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
mod exhausted;
pub mod future;
mod judge;
mod layer;
mod meters;
mod place;
mod schedule;
mod service;
mod shared;
mod spare;
mod tally;

pub use builder::Builder;
pub use config::Config;
pub use core::Retry;
pub use judge::{AsClassified, Decision, Judge, Predicate};
pub use layer::RetryLayer;
pub use service::RetryService;
pub use tally::Snapshot;

pub use crate::request::{CloneAll, CloneRequest};

#[cfg(doc)]
use crate::{backoff::Backoff, classify::Classify, error::Rejected};
