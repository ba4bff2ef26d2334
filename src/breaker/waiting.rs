use super::Permit;
use super::ended::Ended;

/// The permit of a call on its way. A call that is dropped is given up, whatever unwinds around it.
#[derive(Debug)]
pub(super) struct Waiting(Permit);

impl Waiting {
    #[inline]
    pub(super) fn new(permit: Permit) -> Self {
        Self(permit)
    }

    #[inline]
    pub(super) fn end(&mut self, ended: Ended) {
        self.0.end(ended);
    }

    /// The permit, for whoever knows the end; what is left knows none.
    pub(super) fn take(&mut self) -> Permit {
        self.0.take()
    }
}

impl Drop for Waiting {
    #[inline]
    fn drop(&mut self) {
        self.0.end(Ended::Cancelled);
    }
}

/// Stands while the call is polled: if it falls, the call has panicked.
pub(super) struct Polling<'a>(&'a mut Waiting);

impl<'a> Polling<'a> {
    #[inline]
    pub(super) fn new(waiting: &'a mut Waiting) -> Self {
        Self(waiting)
    }
}

impl Drop for Polling<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.end(Ended::FAILED);
    }
}
