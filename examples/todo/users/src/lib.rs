//! The users service: accounts, registration and log-in.

mod http;
mod password;
mod run;
pub mod store;

pub use run::run;
