use super::meters::Meters;
use super::shared::Shared;

/// One place in a bulkhead, which is free again when this is dropped.
///
/// It may outlive the bulkhead, and may be dropped by any thread.
#[derive(Debug)]
#[must_use = "dropping the permit at once gives the place back"]
pub struct Permit(&'static Shared);

impl Permit {
    #[inline]
    pub(super) fn new(shared: &'static Shared) -> Self {
        shared.meter(Meters::entered);
        Self(shared)
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        // The place may be another bulkhead's as soon as it is left.
        self.0.meter(Meters::left);
        self.0.leave();
    }
}
