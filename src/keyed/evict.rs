use tokio::time::Instant;

/// Says when a value may be forgotten, and what becomes of keys for which there is no room.
pub trait Evict {
    /// What a key gets that finds no room, when the registry was not given a value for that.
    const OVERFLOW: Overflow = Overflow::Shared;

    /// Whether nobody could tell it from a new one at `now`: it remembers nothing that a later call would
    /// notice, and nobody else holds a handle to it.
    ///
    /// Many are asked for one `now`, which may be a moment ago. It is asked under a lock, so it must be quick, and must not use the registry.
    fn is_idle(&self, now: Instant) -> bool;
}

/// What a key gets that finds no room in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The same value as all others that find none: for what bounds something, so that there is a bound
    /// for them too.
    Shared,
    /// A new value each time it is asked for, without memory: for what would punish a key for others.
    Fresh,
}
