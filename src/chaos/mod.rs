//! **Breaks calls on purpose**: errors and delays, for tests and game days.
//!
//! Timeouts, breakers and fallbacks are read once and then wait for the bad day. A [`Chaos`] makes that
//! day come when somebody is watching. It protects nothing: it is the only pattern here that makes a
//! service worse. It does nothing until [`enable`](Chaos::enable) is called, and no configuration can
//! call it.
//!
//! # How it decides
//!
//! 1. Switched off, as it is at first, it lets every call pass and draws nothing. So it does with a call
//!    that [`when`](ChaosLayer::when) does not pick.
//! 2. For each other call it draws three numbers, in the order in which the calls are made: whether it
//!    fails, whether it is late, and how late. So the same [`seed`](Builder::seed) gives the same
//!    trace, and another rate changes no other decision.
//! 3. A call that is to be late waits for a time drawn evenly from [`latency`](Builder::latency), the
//!    lower end included, and goes on then. The call is made at once and driven only after the wait; a
//!    limit of the inner service counts it meanwhile, as it would count a slow one.
//! 4. A call that is to fail gets the error of [`error`](Builder::error), after the wait if it is late as
//!    well. The inner service is not asked; if it was ready, it still is.
//! 5. A rate of 0 never strikes, a rate of 1 always.
//!
//! # When not to use it
//!
//! Where nobody is watching, or nobody can switch it off. To find out how much a service stands: that
//! is a load test. For answers that are wrong rather than late or missing.
//!
//! # Order in a stack
//!
//! Innermost, in the place of the service that is to look broken: `retry > breaker > timeout > chaos >
//! service`. Outside of a pattern it tests nothing of it.
//!
//! # State shared between clones
//!
//! The policy, the switch, the trace and the counters. Layers and services made from one [`Chaos`] share
//! them; [`reconfigure`](Chaos::reconfigure) changes the policy for all of them.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | [`enable`](Chaos::enable) | off | |
//! | `error` | rate 0 | 0 to 1; above 0 needs an error to give |
//! | `latency` | rate 0, time 0 | 0 to 1; the upper end above 0, and not below the lower one |
//! | `seed` | from the operating system | |
//! | `when` | every call | |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.chaos.switched` | warn | `chaos`, `enabled` |
//! | `bowline.chaos.injected` | debug | `chaos`, `error`, `latency` |
//!
//! With the feature `metrics`, in the recorder that stands when the chaos is built:
//!
//! | metric | kind | labels beside `chaos` |
//! |---|---|---|
//! | `bowline.chaos.enabled` | gauge: how many of this name are switched on | |
//! | `bowline.chaos.injected` | counter | `fault`: error, latency; a late error counts in both |
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::chaos::Chaos;
//! use bowline::config::Ratio;
//! use bowline::error::BoxError;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let chaos = Chaos::builder("billing")
//!     .error(Ratio::ONE, || BoxError::from("broken on purpose"))
//!     .seed(7)
//!     .build()?;
//! let fine = service_fn(|_: &'static str| async { Ok::<_, BoxError>("fine") });
//! let service = chaos.layer().when(|request: &&str| *request != "health").layer(fine);
//! assert_eq!(service.clone().oneshot("charge").await?, "fine");
//!
//! chaos.enable();
//! assert!(service.clone().oneshot("charge").await.is_err());
//! assert_eq!(service.clone().oneshot("health").await?, "fine");
//! chaos.disable();
//! assert_eq!(service.oneshot("charge").await?, "fine");
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod builder;
mod config;
mod core;
mod faults;
pub mod future;
mod layer;
mod meters;
mod service;
mod shared;
mod snapshot;

pub use builder::Builder;
pub use config::Config;
pub use core::Chaos;
pub use faults::{Always, Faults, Gate, NoFault};
pub use layer::ChaosLayer;
pub use service::ChaosService;
pub use snapshot::{Injection, Snapshot};
