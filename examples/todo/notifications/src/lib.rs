//! The notifications service: makes one notification of each event of a task, and sends it through the
//! channels that are set up.

mod channel;
mod handler;
mod http;
mod run;
pub mod store;

pub use run::run;
