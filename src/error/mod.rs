//! Errors that every module shares.
//!
//! There are two families, and a third that lives with the builders:
//!
//! 1. [`Rejected`]: a pattern refused to run the call (circuit open, bulkhead full, time elapsed).
//!    A protected service keeps its own error type; it only needs `From<Rejected>`, and
//!    [`look_into_error`], or [`look_into`] for one that is no [`Error`](std::error::Error), so that
//!    patterns find the refusal in it again.
//! 2. [`Error`]: a store, a broker or a registry failed. It is opaque: [`Error::kind`] says what to
//!    do about it, [`Error::source`](std::error::Error::source) holds the driver's own error.
//! 3. [`ConfigError`](crate::config::ConfigError): a value was out of range; it lists all of them.
//!
//! Nothing nests: outer layers find an inner refusal with [`rejected`], and any typed cause in a
//! boxed error with [`cause`].
//!
//! # When not to use it
//!
//! For what goes wrong in your own domain: that is your own type, and a pattern passes it through. It
//! says what it means by a classifier, or by [`ErrorKind`](crate::classify::ErrorKind).
//!
//! # Examples
//!
//! ```
//! use bowline::error::{BoxError, Error, Kind, cause};
//!
//! let failed: BoxError = Error::new(Kind::Unavailable, "redis", "claim").into();
//! let known = cause::<Error>(&*failed).expect("an error of a store");
//! assert_eq!(known.kind(), Kind::Unavailable);
//! assert!(known.is_transient());
//! ```

mod cause;
mod circuit;
mod io;
mod look;
mod panic;
mod rejected;

pub(crate) use cause::causes;
pub use cause::{Chain, cause, is_caused_by, rejected};
pub use circuit::CircuitState;
pub use io::{Error, Kind};
pub(crate) use look::inside;
pub use look::{look_into, look_into_error};
pub(crate) use panic::caught;
pub use rejected::Rejected;

/// A boxed error that can cross threads, the same type that `tower` uses.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
