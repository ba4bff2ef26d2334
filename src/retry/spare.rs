use std::fmt;
use std::mem::needs_drop;
use std::sync::{Arc, Mutex, PoisonError};

/// What makes the attempts after the first one of a call, which most calls never need.
///
/// Two fields for what is one or the other, or none: an enum of both is moved as bytes, which are then
/// read before they are written.
pub(super) struct Spare<S> {
    own: Option<S>,
    /// To be cloned when it is needed.
    lender: Option<Arc<Lender<S>>>,
}

/// One clone for all calls of a service.
pub(super) struct Lender<S> {
    service: Mutex<S>,
    clone: fn(&S) -> S,
}

/// Where a service has its spares from; a clone of the service has others.
///
/// A clone of a stack counts a reference for each pattern in it, and all threads that use the stack fight
/// for these counts. A service that is called again and again keeps one clone instead, and lends it to
/// its calls: that is one count, which nobody else touches.
pub(super) struct Spares<S> {
    lent: Option<Arc<Lender<S>>>,
    /// Many services are clones that make a single call: none of them is worth an allocation.
    is_used: bool,
}

impl<S> Spare<S> {
    pub(super) const NONE: Self = Self {
        own: None,
        lender: None,
    };

    #[inline]
    pub(super) const fn own(service: S) -> Self {
        Self {
            own: Some(service),
            lender: None,
        }
    }

    #[inline]
    fn lent(lender: &Arc<Lender<S>>) -> Self {
        Self {
            own: None,
            lender: Some(Arc::clone(lender)),
        }
    }

    /// The service, from now on a clone of its own.
    pub(super) fn get(&mut self) -> Option<&mut S> {
        if let Some(lender) = self.lender.take() {
            self.own = Some(lender.lend());
        }
        self.own.as_mut()
    }
}

impl<S> Lender<S> {
    fn lend(&self) -> S {
        let service = self.service.lock();
        (self.clone)(&service.unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Spares<S> {
    pub(super) const fn new() -> Self {
        Self {
            lent: None,
            is_used: false,
        }
    }
}

impl<S: Clone> Spares<S> {
    /// What makes later attempts of a call of `service`.
    #[inline]
    pub(super) fn spare(&mut self, service: &S) -> Spare<S> {
        // What needs no drop counts no references: a clone of it is a copy.
        if !needs_drop::<S>() || !std::mem::replace(&mut self.is_used, true) {
            return Spare::own(service.clone());
        }
        match &self.lent {
            Some(lent) => Spare::lent(lent),
            None => self.lend(service.clone()),
        }
    }

    #[cold]
    fn lend(&mut self, spare: S) -> Spare<S> {
        let lender = Lender {
            service: Mutex::new(spare),
            clone: S::clone,
        };
        Spare::lent(self.lent.insert(Arc::new(lender)))
    }
}

impl<S> Clone for Spares<S> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Spares<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts references, as a stack of patterns does.
    type Stack = Arc<()>;

    #[test]
    fn a_service_that_is_called_again_and_again_is_cloned_twice_and_no_more() {
        let service = Stack::default();
        let mut spares = Spares::new();
        let calls: Vec<_> = (0..10).map(|_| spares.spare(&service)).collect();
        assert_eq!(Arc::strong_count(&service), 3);
        drop(calls);
        assert_eq!(Arc::strong_count(&service), 2);
        drop(spares);
        assert_eq!(Arc::strong_count(&service), 1);
    }

    #[test]
    fn a_spare_that_is_needed_is_cloned_once() {
        let service = Stack::default();
        let mut spares = Spares::new();
        for _ in 0..2 {
            let mut spare = spares.spare(&service);
            let before = Arc::strong_count(&service);
            assert!(Arc::ptr_eq(&service, spare.get().expect("a service")));
            let seen = Arc::strong_count(&service);
            assert!(spare.get().is_some());
            assert_eq!(Arc::strong_count(&service), seen);
            assert!((before..=before + 1).contains(&seen));
        }
    }

    #[test]
    fn a_clone_of_the_service_lends_its_own() {
        let service = Stack::default();
        let mut spares = Spares::new();
        let [first, second] = [spares.spare(&service), spares.spare(&service)];
        assert!(first.lender.is_none() && second.own.is_none());
        let other = spares.clone().spare(&service);
        assert!(other.lender.is_none(), "it has made a single call");
        assert_eq!(second.lender.as_ref().map(Arc::strong_count), Some(2));
    }
}
