//! Errors that every module shares.
//!
//! There are two families, and a third that lives with the builders:
//!
//! 1. [`Rejected`]: a pattern refused to run the call (circuit open, bulkhead full, time elapsed).
//!    A protected service keeps its own error type; it only needs `From<Rejected>`.
//! 2. [`Error`]: a store, a broker or a registry failed. It is opaque: [`Error::kind`] says what to
//!    do about it, [`Error::source`](std::error::Error::source) holds the driver's own error.
//! 3. [`ConfigError`](crate::config::ConfigError): a value was out of range; it lists all of them.
//!
//! Nothing nests: outer layers find an inner refusal with [`rejected`], and any typed cause in a
//! boxed error with [`cause`].

mod cause;
mod io;
mod panic;
mod rejected;

pub(crate) use cause::typed;
pub use cause::{Chain, cause, is_caused_by, rejected};
pub use io::{Error, Kind};
pub(crate) use panic::caught;
pub use rejected::Rejected;

/// A boxed error that can cross threads, the same type that `tower` uses.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
