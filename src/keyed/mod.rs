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
//!    in its window, a limiter when its burst is full. So an open breaker stays, whatever comes.
//! 4. To find one that is idle, some dozen keys are looked at, in turn. When none of them is, the new key
//!    gets a value that works but is not kept ([`get`](Registry::get)): its calls are made, without memory;
//!    or it is refused ([`try_get`](Registry::try_get)). It is counted and told, for it means that
//!    the capacity is too small.
//! 5. While there is room, what is idle and nobody has asked for in [`idle`](Builder::idle) is evicted as
//!    new keys come, at the latest in twice that time; without new keys nothing is, for then nothing
//!    grows.
//! 6. A handle stays valid when its key is taken out.
//!
//! # When not to use it
//!
//! For few and known keys: a field for each is plainer. For what must be remembered, as sessions or
//! results: this forgets. Where keys come from whoever calls, and calls beyond the capacity must not pass
//! without memory, refuse them by [`try_get`](Registry::try_get).
//!
//! # What a value must keep in mind
//!
//! What is evicted takes its counters, its subscribers and a policy that was changed at run time with
//! it. A breaker that counts calls keeps its failures for ever when a host is not called any more: give a
//! breaker of a registry a window of time, so that it becomes idle. It is then forgotten with its
//! successes, and a new one may open a little sooner, never later.
//!
//! # Defaults
//!
//! | option | default | range |
//! |---|---|---|
//! | `capacity` | 10,000 keys | 1 to 100,000,000 |
//! | `idle` | 10 min | above 0 |
//!
//! # Telemetry
//!
//! | event | level | fields |
//! |---|---|---|
//! | `bowline.keyed.overflow` | warn, the 1st, 2nd, 4th, 8th... time | `capacity`, `times` |
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

mod builder;
mod config;
mod evict;
mod registry;
mod shard;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use config::Config;
pub use evict::Evict;
pub use registry::Registry;

/// A registry has no room for another key: all that it looked at were busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the registry is full: it keeps {capacity} keys, and none that was looked at is idle")]
#[non_exhaustive]
pub struct Full {
    /// How many keys it keeps.
    pub capacity: u32,
}
