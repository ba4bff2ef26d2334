//! Finding the instances of a service and calling one of them.

mod instance;
mod registry;

pub use instance::{Instance, InstanceId};
pub use registry::{Listing, Registry};
