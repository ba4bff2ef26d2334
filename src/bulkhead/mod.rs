//! Bounds how many calls run at once, so that one slow service cannot take everything.
//!
//! A service that gets slow collects calls: each holds memory, a connection, perhaps a thread, and
//! in the end its callers have none left for anything else. A [`Bulkhead`] gives each call one of a
//! bounded number of places, and turns away, or lets wait in a bounded queue for a bounded time,
//! whoever finds none.
//!
//! # How it decides
//!
//! 1. A call that finds fewer than [`limit`](Builder::limit) calls running takes a place, unless
//!    others wait: a place that comes free is theirs.
//! 2. If there is none it waits, as long as fewer than [`queue`](Builder::queue) others do; else it is
//!    rejected at once with [`Rejected::BulkheadFull`]. With a queue of 0 nobody waits, and
//!    [`try_acquire`](Bulkhead::try_acquire) never does.
//! 3. A place that comes free is granted to who has waited longest, or by
//!    [`order`](Builder::order) to the newest while the queue is more than half full (exactly half is
//!    not). Whose time is over or who has given up is skipped, and never runs.
//! 4. Who has waited for [`max_wait`](Builder::max_wait), or until the [deadline](crate::deadline) of the
//!    call, is rejected with [`Rejected::QueueTimeout`]. A
//!    place that was granted before is kept, even if it is only taken later.
//! 5. A place is held until the answer is there, or with
//!    [`until_body`](BulkheadLayer::until_body) until the response's body has ended: read to its end,
//!    failed, or dropped. A call that is dropped or panics gives its place back.
//! 6. [`resize`](Bulkhead::resize) to more grants the new places at once. To fewer than are running
//!    takes nobody's place; none is let in until enough have ended.
//!
//! There are never more than `limit` calls in a bulkhead, but for those that were there before the
//! limit was lowered. A call is rejected only if at one moment all places were taken.
//!
//! # When not to use it
//!
//! Where the right number is not known, or changes: see [`adaptive`](crate::adaptive). To bound how
//! often something is called rather than how much of it runs at once: that is a rate limit.
//!
//! # Order in a stack
//!
//! Inside the breaker, so that an open one takes no places, and outside the timeout of the attempt, so
//! that waiting is not counted as the service's time: `retry > breaker > bulkhead > timeout >
//! service`. Its rejections say nothing about the service, and a breaker or retry outside ignores
//! them.
//!
//! A service is made ready before it is called, and being ready may hold something, e.g. a place of
//! an inner limit. A call that has to wait here gives that back: the ready instance is dropped, and a
//! clone is made ready once the call has its place. With
//! [`without_queue`](BulkheadLayer::without_queue) no call waits, and the service need not be `Clone`.
//!
//! # State shared between clones
//!
//! Clones of a bulkhead, and all layers and services made from it, have the same places and the same
//! queue. A permit may outlive them. For one bulkhead per user, host or tenant use a [`Registry`] and a
//! [`KeyedLayer`].
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `limit` | 64 calls | 1 to 1,000,000 |
//! | `queue` | 0: a full bulkhead rejects at once | 0 to 1,000,000 |
//! | `max_wait` | 100 ms | above 0 |
//! | `order` | `Fifo` | `Fifo`, `AdaptiveLifo` |
//! | the layer's place | held until the response | or `until_body` |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.bulkhead.full` | debug | `bulkhead` |
//! | `bowline.bulkhead.queue_timeout` | debug | `bulkhead`, `waited` |
//! | `bowline.bulkhead.resized` | info | `bulkhead`, `from`, `to` |
//!
//! With the feature `metrics`, in the recorder that stands when the bulkhead is built:
//!
//! | metric | kind | labels beside `bulkhead` |
//! |---|---|---|
//! | `bowline.bulkhead.calls` | counter | `outcome`: admitted, full, timed_out, given_up (dropped in the queue) |
//! | `bowline.bulkhead.running` | gauge | |
//! | `bowline.bulkhead.queued` | gauge | |
//! | `bowline.bulkhead.wait` | histogram, seconds in the queue of those who got a place and those whose time was over | |
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::bulkhead::Bulkhead;
//! use bowline::error::{BoxError, Rejected};
//!
//! let bulkhead = Bulkhead::builder("reports").limit(2).build()?;
//! let report = bulkhead.call(|| async { Ok::<_, BoxError>("done") }).await?;
//! assert_eq!(report, "done");
//!
//! let permits = (bulkhead.try_acquire()?, bulkhead.try_acquire()?);
//! let refused = bulkhead.try_acquire().unwrap_err();
//! assert_eq!(refused, Rejected::bulkhead_full("reports"));
//! drop(permits);
//! assert!(bulkhead.try_acquire().is_ok());
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod builder;
mod config;
mod core;
pub mod future;
mod hold;
mod layer;
mod meters;
mod permit;
mod queue;
mod service;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod wait;

pub use builder::Builder;
pub use config::{Config, Order};
pub use core::Bulkhead;
pub use hold::{HeldBody, Hold, UntilBody, UntilResponse};
pub use layer::{BulkheadLayer, Queued, Unqueued};
pub use permit::Permit;
pub use service::BulkheadService;
pub use snapshot::Snapshot;

#[cfg(doc)]
use crate::{
    error::Rejected,
    keyed::{KeyedLayer, Registry},
};
