//! Finding the instances of a service and calling one of them.

mod balance;
pub mod client;
mod instance;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod registrar;
mod registry;
mod static_list;
mod ttl;
mod watch;

pub use balance::{Balance, Balancer};
pub use client::ServiceClient;
pub use instance::{Instance, InstanceId};
pub use memory::Memory;
#[cfg(feature = "redis")]
pub use redis::Redis;
pub use registrar::{Registration, register};
pub use registry::{Listing, Registry};
pub use static_list::StaticList;
pub use ttl::Ttl;
pub use watch::{Freshness, Snapshot, Watch, WatchOptions, watch};
