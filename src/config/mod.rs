//! Checking configuration: every problem is reported at once.
//!
//! Each builder collects what is wrong in [`Problems`] and ends with one [`ConfigError`] that names
//! every field, its value and what is allowed. [`Env`] reads a service's settings from environment
//! variables in the same way. [`duration`] and [`size`] are the serde forms of times and sizes:
//! `"250ms"`, `"64KiB"`.
//!
//! # When not to use it
//!
//! For values that come with a request: a person who fills in a form gets a
//! [`Problem`](crate::problem::Problem). [`Env`] reads flat names; for nested settings read a file into
//! the configurations, which are all `serde` values, and check them.
//!
//! # Examples
//!
//! ```
//! use bowline::config::Problems;
//!
//! let mut problems = Problems::default();
//! problems.check(false, "attempts", 0, "1 to 100");
//! problems.check(true, "window", 10, "1 to 1000");
//! problems.check(false, "deadline", "0s", "above 0s");
//! let error = problems.into_result().unwrap_err();
//! let fields: Vec<_> = error.problems().iter().map(|problem| &*problem.field).collect();
//! assert_eq!(fields, ["attempts", "deadline"]);
//! ```

pub mod duration;
mod env;
mod error;
mod ratio;
pub mod size;

pub use env::{Env, Secret};
pub use error::{ConfigError, Problem, Problems};
pub use ratio::Ratio;
