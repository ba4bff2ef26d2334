use std::fmt;
use std::future::Future;

use crate::broker::{Appended, PublishError, Publisher, Record};
use crate::error::Error;
#[cfg(doc)]
use crate::outbox::relay::ExactlyOnce;
use crate::outbox::{Lease, Settled, Store, Window};

/// How rows get to the broker: by any [`Publisher`] at least once, by [`ExactlyOnce`] exactly once. There
/// are no others.
pub trait Delivery: Deliver {}

impl<D: Deliver> Delivery for D {}

/// What a relay asks of a [`Delivery`].
#[expect(unnameable_types, reason = "nobody else is to implement it")]
pub trait Deliver: fmt::Debug + Send + Sync + 'static {
    /// What it has for as long as the relay holds the lease.
    type Session: Send;

    /// Whether a batch is there as a whole, and the position with it, or nothing of it.
    const ATOMIC: bool;

    /// Begins a session under `lease`, with the store where the broker is.
    ///
    /// # Errors
    ///
    /// Those of the store and the broker.
    ///
    /// # Cancel safety
    ///
    /// When dropped, sessions before it may be fenced.
    fn begin<S: Store>(
        &self,
        store: &S,
        lease: &Lease,
    ) -> impl Future<Output = Result<Self::Session, Error>> + Send;

    /// Publishes `batch`: the rows of `window` of which is not `known` yet what becomes of them.
    ///
    /// # Errors
    ///
    /// What became of the batch is not known, and the session is over; but after `TooLarge` nothing was
    /// published, and fewer rows may do.
    ///
    /// # Cancel safety
    ///
    /// When dropped, any part of the batch may be published, and the session is over.
    fn publish(
        &self,
        session: &mut Self::Session,
        batch: Vec<Record>,
        window: &Window,
        known: &[Option<Settled>],
    ) -> impl Future<Output = Result<Vec<Result<Appended, PublishError>>, Error>> + Send;

    /// How many rows of a window that waited aside can be published together.
    fn fitting(session: &Self::Session, window: &Window) -> usize;
}

impl<P: Publisher> Deliver for P {
    type Session = ();

    const ATOMIC: bool = false;

    async fn begin<S: Store>(&self, _: &S, _: &Lease) -> Result<(), Error> {
        Ok(())
    }

    async fn publish(
        &self,
        (): &mut (),
        batch: Vec<Record>,
        _: &Window,
        _: &[Option<Settled>],
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        Ok(Publisher::publish(self, batch).await)
    }

    fn fitting((): &(), window: &Window) -> usize {
        window.entries.len()
    }
}

/// A delivery at work under one lease.
#[derive(Debug)]
pub(super) struct Session<'a, D: Delivery> {
    delivery: &'a D,
    state: D::Session,
}

impl<'a, D: Delivery> Session<'a, D> {
    pub(super) async fn begin<S: Store>(
        delivery: &'a D,
        store: &S,
        lease: &Lease,
    ) -> Result<Self, Error> {
        let state = delivery.begin(store, lease).await?;
        Ok(Self { delivery, state })
    }

    pub(super) async fn publish(
        &mut self,
        batch: Vec<Record>,
        window: &Window,
        known: &[Option<Settled>],
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        let published = self.delivery.publish(&mut self.state, batch, window, known);
        published.await
    }

    /// Leaves of `window`, which waited aside, what can be published together.
    pub(super) fn fit(&self, window: &mut Window) {
        window.entries.truncate(D::fitting(&self.state, window));
    }
}
