//! Finds the instances of a service and calls one of them.
//!
//! Instances come and go, and the registry that lists them fails too. So an instance is listed for a
//! short time and beats ([`register`]); a caller keeps the last listing at hand and never loses it to
//! a failing registry ([`watch`](watch())); and a call that one instance did not take goes to the next
//! ([`ServiceClient`]).
//!
//! # How it decides
//!
//! 1. [`register`] announces an instance for its [`Ttl`] and beats at a third of it, 10 % more or less.
//!    A registry that does not know the instance any more gets it announced anew. While the registry
//!    fails, or takes longer than a beat to answer, it is tried again, from 100 ms on and a beat apart
//!    at most.
//! 2. An instance leaves the listing when it is withdrawn, or when its time to live has passed without
//!    a beat, by the registry's clock.
//! 3. A [`Watch`] asks at its interval, up to 10 % earlier, and when the registry gives a hint. A new
//!    listing replaces the old one in one step.
//! 4. While the registry cannot be asked, or has not answered within the interval or a second, whichever
//!    is longer, the last instances stay, however long that takes; [`Snapshot::age`] grows.
//! 5. A listing without instances after one with some is believed only when the grace time has passed:
//!    it is more often a registry that lost its data than a service without instances.
//! 6. A [`Balancer`] takes one instance after the other, from a random one on. With instances to
//!    exclude, chance decides among the others; with none left it says
//!    [`Rejected::NoInstances`](crate::error::Rejected::NoInstances).
//! 7. A [`ServiceClient`] repeats, times and refuses calls as it says itself.
//!
//! # When not to use it
//!
//! Behind a load balancer or a platform that gives a service one address: call that, or list it in a
//! [`StaticList`]. To elect one of many: two may believe that they are listed. Where a dead instance
//! must not be called even once: it stays listed for up to its time to live.
//!
//! # Guarantees
//!
//! - No instance is listed for longer than its time to live after its last beat, but in a
//!   [`StaticList`].
//! - A watch that has begun never loses its instances to a registry that cannot be asked.
//! - Clones of a registry share its contents or its connection. Clones of a [`Watch`] share the
//!   snapshot, and its task ends with the last of them. Clones of a [`ServiceClient`] share watches,
//!   breakers and connections.
//!
//! | registry | lists | time to live by | hints |
//! |---|---|---|---|
//! | [`Memory`] | what this process announces | tokio's clock | with each change |
//! | [`StaticList`] | what it was made of, for ever | | never |
//! | `Redis` | what any process announces | the server's clock | never |
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | [`Ttl`] | 15 s | 1 s to 1 h |
//! | [`WatchOptions::with_interval`] | 1 s | from 10 ms |
//! | [`WatchOptions::with_grace`] | 30 s | from 0, which believes at once |
//! | [`client::Builder::balance`] | round robin | |
//! | [`client::Builder::attempt_timeout`] | 1 s | above 0 |
//! | [`client::Builder::deadline`] | 3 s, all attempts and pauses together | above 0 |
//! | [`client::Builder::retry`] | 3 attempts, exponential from 25 ms to 500 ms, full jitter | as [`retry`](crate::retry) |
//! | the budget of the retries, in [`client::Builder::pipeline`] | one per service, 1 retry for each call, as [`budget`](crate::budget) else | as there |
//! | [`client::Builder::breaker`] | one per service, as [`breaker`](crate::breaker) | as there |
//! | [`client::Builder::bulkhead`] | one per service, 512 attempts and as many that wait for 100 ms | as [`bulkhead`](crate::bulkhead) |
//! | [`client::Builder::pipeline`] | all of these | as [`pipeline`](crate::pipeline) |
//!
//! # Telemetry
//!
//! | what | level | fields |
//! |---|---|---|
//! | a beat did not reach the registry | warn | `service`, `instance`, `error` |
//! | the registry had lost the instance | info | `service`, `instance` |
//! | the instances could not be listed, once until they can | warn | `service`, `error` |
//! | an entry in Redis cannot be read | warn | `service`, `error` |
//!
//! A [`ServiceClient`] adds the events of its [`breaker`](crate::breaker) and [`retry`](crate::retry).
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
