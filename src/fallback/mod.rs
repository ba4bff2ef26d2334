//! Answers with something else when the call fails.
//!
//! Not every failure has to reach the one who asked: yesterday's prices, an empty list, or another
//! region are often better than an error. A [`Fallback`] stands outside of everything that tries, and
//! gives the [`Substitute`] when all of it has failed.
//!
//! # How it decides
//!
//! 1. The call is made, and its result judged by a [`Classify`]. A success and an ignored outcome are
//!    returned as they are: a mistake of the caller is not made good by another answer.
//! 2. By default, by [`FailedOrRejected`], a failure is what [`AnyError`] calls one, and any
//!    [`Rejected`] as well: to the one who asks it is all the same whether a breaker refused or the
//!    service did not answer.
//! 3. A failure is handed to the substitute: a [`value`](Fallback::value), a
//!    [`function`](Fallback::from_fn) of what failed, also one that knows
//!    [`something of the request`](Fallback::keeping), or another [`service`](Fallback::service).
//! 4. What the substitute gives is returned as it is, its own error too. It is not judged, and has no
//!    fallback of its own: put another one around it.
//! 5. A failed answer is dropped before another service is asked, so that it holds no connection.
//! 6. An error of the readiness of the service is not a call, and is passed on. A panic goes on.
//! 7. A request that cannot be copied for another service has no fallback: its failure is returned.
//!
//! # When not to use it
//!
//! Where a wrong answer is worse than none: a balance, a permission. Where nobody would notice:
//! watch [`Snapshot::used`], or the fallback becomes the service. For an effect; asking another service
//! to do what may have been done already does it twice.
//!
//! # Order in a stack
//!
//! Outermost: `fallback > deadline > retry > breaker > timeout > service`. Further inside, what is
//! outside of it takes the substitute for a success: a breaker would never open.
//!
//! The other service is asked for its readiness only once it is needed, by a clone of its own, when the
//! failed call has been dropped; it has no deadline but one around the fallback.
//!
//! # State shared between clones
//!
//! The counters. Layers and services made from one [`Fallback`] share them.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | the substitute | none, it must be given | |
//! | `with_classifier` | [`FailedOrRejected`] | |
//! | `with_requests`, for a service | a clone | |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.fallback.used` | debug | `fallback` |
//! | `bowline.fallback.failed` | debug | `fallback` |
//!
//! With the feature `metrics`, in the recorder that stands when the fallback is made:
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `bowline.fallback.used` | counter: calls that the substitute answered, or was asked to | `fallback` |
//! | `bowline.fallback.failed` | counter: those that got an error from it | `fallback` |
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::error::BoxError;
//! use bowline::fallback::Fallback;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let down = service_fn(|_: &'static str| async { Err::<u32, BoxError>("down".into()) });
//! let stock = Fallback::value("stock", 0);
//! assert_eq!(stock.layer().layer(down).oneshot("shoes").await?, 0);
//! assert_eq!(stock.snapshot().used, 1);
//!
//! let known = Fallback::keeping("stock", |article: &&'static str| article.len(), |length, failed| {
//!     if length > 4 { Ok(7) } else { failed }
//! });
//! assert_eq!(known.layer().layer(down).oneshot("shoes").await?, 7);
//! assert!(known.layer().layer(down).oneshot("hat").await.is_err());
//!
//! let other = service_fn(|article: &'static str| async move { Ok::<_, BoxError>(article.len() as u32) });
//! let other = Fallback::service("stock", other);
//! assert_eq!(other.layer().layer(down).oneshot("shoes").await?, 5);
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod classifier;
mod core;
pub mod future;
mod layer;
mod meters;
mod service;
mod snapshot;
mod substitute;

pub use classifier::FailedOrRejected;
pub use core::Fallback;
pub use layer::FallbackLayer;
pub use service::FallbackService;
pub use snapshot::Snapshot;
pub use substitute::{Backup, FromFn, Keeping, Substitute, Value};

#[cfg(doc)]
use crate::{classify::AnyError, classify::Classify, error::Rejected};
