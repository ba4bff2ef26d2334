//! The notifications service: reads the events of tasks and makes one notification of each.

mod handler;
mod http;
mod run;
pub mod store;

pub use run::run;
