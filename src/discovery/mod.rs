//! Finding the instances of a service and calling one of them.
//!
//! Instances come and go, and the registry that lists them fails too. So an instance is listed for a
//! short time and beats ([`register`]); a caller keeps the last listing at hand and never loses it to
//! a failing registry ([`watch`]); and a call that one instance did not take goes to the next
//! ([`ServiceClient`]).
//!
//! # Examples
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bowline::discovery::{
//!     Balance, Balancer, Instance, Memory, Ttl, WatchOptions, register, watch,
//! };
//!
//! let registry = Memory::new();
//! let instance = Instance::new("tasks", "127.0.0.1:8081").with_zone("a");
//! let registration = register(&registry, instance, Ttl::DEFAULT).await?;
//!
//! let tasks = watch(&registry, "tasks", WatchOptions::default()).await?;
//! let balancer = Balancer::new(tasks, Balance::RoundRobin);
//! assert_eq!(&*balancer.pick(&[])?.address, "127.0.0.1:8081");
//!
//! registration.deregister().await?;
//! # Ok(())
//! # }
//! ```

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
