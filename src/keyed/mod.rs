//! One pattern for each key, as a breaker per host or a limiter per user, in bounded memory.
//!
//! A pattern that is shared by all hosts punishes the good ones for the bad one, and one that is made
//! for each call remembers nothing. A [`Registry`] keeps one per key, makes it when the key is first
//! seen, and forgets it only when nobody can tell.
//!
//! # How it decides
//!
//! 1. A key that is known gets its value: a clone, which is a handle. A key that is not known gets one
//!    that is made for it, once, however many threads ask at the same time.
//! 2. It never keeps more keys than its [`capacity`](Builder::capacity). When it is full a new key takes
//!    the place of one that is idle.
//! 3. Only what is idle is evicted, as the value itself says by [`Evict`]: a new one in its place would
//!    do the same, and nobody holds a handle to it. A breaker is idle when it is closed and no failure is
//!    in its window, a limiter when its burst is full, a bulkhead when nobody is in it, an adaptive limit
//!    when nobody is and it has learned nothing for ten minutes. So an open breaker stays, whatever comes.
//! 4. To find one that is idle, some dozen keys are looked at, in turn. When none of them is, the new key
//!    finds no room. What bounds something, as a limiter, a bulkhead and an adaptive limit do, is then
//!    one for all such keys: together they have the bound of one, so that many keys are no way around it.
//!    A breaker is new each time, and has no memory: one for all would reject calls to a host for the
//!    failures of another. A type of your own says so by [`Evict::OVERFLOW`], and what is given to
//!    [`overflow`](Builder::overflow) is shared whatever the type says. [`try_get`](Registry::try_get)
//!    refuses such keys. It is counted and told, for it means that the capacity is too small.
//! 5. While there is room, what is idle and nobody has asked for in [`idle`](Builder::idle) is evicted as
//!    new keys come, at the latest in twice that time; without new keys nothing is, for then nothing
//!    grows.
//! 6. A handle stays valid when its key is taken out.
//! 7. A [`KeyedLayer`] asks for the layer of each request, and puts the call behind it. It keeps that layer
//!    until the answer is there: the value of a key with a call on its way is not evicted.
//! 8. [`reconfigure`](Registry::reconfigure) to a lower capacity evicts what is idle. What is busy stays,
//!    and makes room only for the new capacity until that holds.
//!
//! # When not to use it
//!
//! For few and known keys: a field for each is plainer. For what must be remembered, as sessions or
//! results: this forgets. Where keys come from whoever calls, as from the internet, one who sends very many
//! shares one bound with all honest newcomers, who then hardly get through: bound such calls as a whole
//! too, and choose a capacity that one caller cannot fill.
//!
//! # What a value must keep in mind
//!
//! What is evicted takes its counters, its subscribers and a policy that was changed at run time with
//! it. A breaker that counts calls keeps its failures for ever when a host is not called any more: give a
//! breaker of a registry a window of time, so that it becomes idle. It is then forgotten with its
//! successes, and a new one may open a little sooner, never later.
//!
//! Other policies at run time: give the new one to what the registry makes its values from, e.g. to the
//! limiter whose [`fresh`](crate::rate::RateLimiter::fresh) copies it hands out, and then to all
//! [`entries`](Registry::entries) and the [`overflow`](Registry::overflow).
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `capacity` | 10,000 keys | 1 to 100,000,000 |
//! | `idle` | 10 min | above 0 |
//! | `overflow` | as the type says, see above | a value |
//! | `name` | `keyed` | |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.keyed.overflow` | warn, the 1st, 2nd, 4th, 8th... time | `keyed`, `capacity`, `times` |
//!
//! With the feature `metrics`, in the recorder that stands when the registry is built:
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `bowline.keyed.size` | gauge, how many keys it keeps | `keyed` |
//! | `bowline.keyed.evicted` | counter, keys that were forgotten | `keyed` |
//! | `bowline.keyed.overflowed` | counter, times somebody asked for a key that found no room | `keyed` |
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bowline::breaker::{Breaker, State, Window};
//! use bowline::keyed::Registry;
//!
//! let policy = Breaker::builder("upstream").window(Window::Time(Duration::from_secs(60)));
//! policy.clone().build()?;
//! let breakers = Registry::builder(move |_host: &String| policy.clone().build().expect("checked"))
//!     .capacity(1_000)
//!     .build()?;
//!
//! breakers.get("a.example").force_open();
//! assert_eq!(breakers.get("a.example").state(), State::ForcedOpen);
//! assert_eq!(breakers.get("b.example").state(), State::Closed);
//! assert_eq!(breakers.evict_idle(), 1);
//! assert_eq!(breakers.entries()[0].0, "a.example");
//! # Ok::<_, bowline::config::ConfigError>(())
//! ```
//!
//! As a layer, with the breaker of the host that a request goes to:
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::breaker::{Breaker, State};
//! use bowline::error::BoxError;
//! use bowline::keyed::{KeyedLayer, Registry};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! struct Request {
//!     host: &'static str,
//! }
//!
//! let policy = Breaker::builder("upstream").consecutive_failures(1);
//! let breakers = Registry::builder(move |_: &String| policy.clone().build().expect("checked"));
//! let breakers = breakers.build()?;
//! let registry = breakers.clone();
//! let layer = KeyedLayer::new(move |request: &Request| registry.get(request.host).layer());
//! let client = layer.layer(service_fn(|request: Request| async move {
//!     match request.host {
//!         "down.example" => Err(BoxError::from("down")),
//!         host => Ok(host),
//!     }
//! }));
//!
//! assert!(client.clone().oneshot(Request { host: "down.example" }).await.is_err());
//! assert_eq!(client.oneshot(Request { host: "up.example" }).await?, "up.example");
//! assert_eq!(breakers.get("down.example").state(), State::Open);
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```

mod builder;
mod config;
mod evict;
pub mod future;
mod layer;
mod meters;
mod protect;
mod registry;
mod service;
mod shard;
mod shared;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use config::Config;
pub use evict::{Evict, Overflow};
pub use layer::KeyedLayer;
pub use protect::Protect;
pub use registry::Registry;
pub use service::KeyedService;

/// A registry has no room for another key: all that it looked at were busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the registry is full: it keeps {capacity} keys, and none that was looked at is idle")]
#[non_exhaustive]
pub struct Full {
    /// How many keys it keeps.
    pub capacity: u32,
}
