//! The gateway: the one address that the page and other clients talk to.

mod limits;
mod live;
mod ops;
mod page;
mod proxy;
mod run;

pub use run::run;
