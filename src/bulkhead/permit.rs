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
        Self(shared)
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
    }
}
