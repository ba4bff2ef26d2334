//! Checking configuration: every problem is reported at once.
//!
//! Each builder collects what is wrong in [`Problems`] and ends with one [`ConfigError`] that names
//! every field, its value and what is allowed. [`Env`] reads a service's settings from environment
//! variables in the same way. [`duration`] and [`size`] are the serde forms of times and sizes:
//! `"250ms"`, `"64KiB"`.

pub mod duration;
mod env;
mod error;
mod ratio;
pub mod size;

pub use env::{Env, Secret};
pub use error::{ConfigError, Problem, Problems};
pub use ratio::Ratio;
