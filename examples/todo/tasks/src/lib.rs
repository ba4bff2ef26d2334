//! The tasks service: tasks in a database, each change together with its event in the outbox.

mod http;
mod run;
pub mod store;

pub use run::run;
