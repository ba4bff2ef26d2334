/// Says when a value may be forgotten.
pub trait Evict {
    /// Whether nobody could tell it from a new one: it remembers nothing that a later call would
    /// notice, and nobody else holds a handle to it.
    ///
    /// It is asked under a lock, so it must be quick, and must not use the registry.
    fn is_idle(&self) -> bool;
}
