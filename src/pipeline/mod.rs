//! The standard stack of patterns around one service, in the right order.
//!
//! Each pattern is right by itself and wrong in the wrong place: a retry inside a breaker hides
//! failures from it, a timeout outside it looks like a caller that gave up, a bulkhead outside a
//! retry holds a place while nothing runs. A [`Pipeline`] puts them together once, under one name, and
//! refuses an order that is known to be bad.
//!
//! # How it decides
//!
//! 1. From the outside in: [`deadline`](Builder::deadline), [`retry`](Builder::retry),
//!    [`rate_limit`](Builder::rate_limit), [`breaker`](Builder::breaker),
//!    [`bulkhead`](Builder::bulkhead), [`attempt_timeout`](Builder::attempt_timeout). Each may be left
//!    out; the others stand in this order.
//! 2. The deadline bounds everything, waits included, and all inside can see it. A retry begins no
//!    attempt that could not end before it.
//! 3. Each attempt takes from the rate limit, for which it waits as long as
//!    [`max_wait`](crate::rate::Config::max_wait) lets it, is let through by the breaker, and only then takes
//!    a place in the bulkhead: what is rejected holds nothing.
//! 4. An attempt that is too slow is a failure to the breaker, as it ends inside. One that the deadline
//!    ends, the pipeline's or a caller's, was given up: see [`timeout`](crate::timeout#how-it-decides).
//! 5. Rejections of the inner patterns are ignored by the breaker, and the retry makes no further
//!    attempt for them, but waits for an open breaker. The default classifier knows a rejection as
//!    [`Rejected`](crate::error::Rejected) or boxed: in an error enum of your own it finds one when
//!    [`look_into`](crate::error::look_into) has made the enum known; else a classifier has to say
//!    [`Ignored`](crate::classify::Outcome::Ignored) to it.
//! 6. So a pipeline with a retry and a breaker, as [`Pipeline::standard`], does not fail fast while the
//!    breaker is open: a call waits until the breaker would let it through, if it has an attempt left and
//!    that is before its deadline, and is refused at once only if not. Waiting calls hold no place, but
//!    their callers wait. Who wants them refused at once sets
//!    [`max_retry_after`](crate::retry::Config::max_retry_after) below what the breaker stays open: a
//!    longer wait is not begun, whether an open breaker or the service asks for it. As layers, a
//!    [predicate](PipelineLayer::with_predicate) can say [`Stop`](crate::retry::Decision::Stop) to these
//!    refusals alone.
//!
//! It needs a Tokio runtime with a timer, as soon as a part has to wait or to bound a time.
//!
//! # When not to use it
//!
//! Around several places that fail on their own: one pipeline for each. With another order in mind:
//! the parts are Tower layers, and a `ServiceBuilder` takes them as they come.
//!
//! As a layer around another pipeline's layer, only with a box between the two, e.g.
//! [`boxed_clone`](tower::ServiceExt::boxed_clone): the type of a service behind a pipeline is as long as 64
//! of what is inside, and a compiler does not come to an end with the square of that.
//!
//! # State shared between clones
//!
//! Clones of a pipeline, and all layers and services made from it, have the same parts. A part may also
//! be in several pipelines: one bulkhead for a pool of connections, one budget for all retries.
//!
//! # Defaults
//!
//! [`Pipeline::builder`] begins with nothing, [`Pipeline::standard`] with all but the rate limit:
//!
//! | part | standard |
//! |---|---|
//! | `deadline` | 10 s |
//! | `retry` with its budget, `breaker`, `bulkhead` | their own defaults |
//! | `rate_limit` | none: how much is too much is for the service to say |
//! | `attempt_timeout` | 3 s |
//!
//! In a [`Config`], e.g. from a file, there is what it names. A retry has a budget of the defaults also when
//! the file names none: `retry_budget = "none"` leaves it to the attempts. To [`Pipeline::reconfigure`], a
//! budget that is not named is one that stays as it is, as it may be the budget of other retries too.
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.pipeline.failed` | debug | `pipeline`, `outcome`: failure, rejected |
//!
//! With the feature `metrics`, in the recorder that stands when the pipeline is built:
//!
//! | metric | kind | labels beside `pipeline` |
//! |---|---|---|
//! | `bowline.pipeline.calls` | counter: calls, not attempts | `outcome`: success, failure, ignored, rejected, cancelled |
//!
//! Rejected is a call that a part refused and no attempt made good; one that ran out of time is a failure,
//! and so is one that panicked, also in its classifier. With a listener, which the feature `metrics` is by
//! itself, the classifier is asked once more for each call, after the retry and the breaker have asked it.
//! The parts have metrics of their own. Those that the pipeline makes itself, by a [`Config`] all of them,
//! the retry and its budget included, have its name.
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use std::time::Duration;
//!
//! use bowline::breaker::Breaker;
//! use bowline::error::BoxError;
//! use bowline::pipeline::Pipeline;
//! use bowline::retry::Retry;
//! use tower::{Layer, Service, ServiceExt, service_fn};
//!
//! let pipeline = Pipeline::builder("billing")
//!     .deadline(Duration::from_secs(3))
//!     .retry(Retry::builder().attempts(4).build()?)
//!     .breaker(Breaker::builder("billing").build()?)
//!     .bulkhead_limit(64)
//!     .attempt_timeout(Duration::from_millis(800))
//!     .build()?;
//!
//! // Around a service ...
//! let load = service_fn(|id: u32| async move { Ok::<_, BoxError>(format!("invoice {id}")) });
//! let mut client = pipeline.layer().layer(load);
//! assert_eq!(client.ready().await?.call(7).await?, "invoice 7");
//!
//! // ... or around a function.
//! let charged = pipeline.run(|_attempt| async { Ok::<_, BoxError>("charged") }).await?;
//! assert_eq!(charged, "charged");
//!
//! let wrong = Pipeline::builder("billing")
//!     .breaker(Breaker::builder("billing").build()?)
//!     .retry(Retry::builder().build()?)
//!     .build();
//! assert!(wrong.unwrap_err().to_string().contains("retry inside breaker"));
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod budget;
mod builder;
mod config;
mod core;
pub mod future;
mod layer;
mod meters;
mod order;
mod part;
mod service;
mod snapshot;
mod swap;
mod witness;

pub use budget::BudgetPolicy;
pub use builder::Builder;
pub use config::Config;
pub use core::Pipeline;
pub use layer::PipelineLayer;
pub use part::Part;
pub use service::PipelineService;
pub use snapshot::Snapshot;
