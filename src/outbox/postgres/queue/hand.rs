use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::queries;
use crate::driver::postgres::{BACKEND, begin_with};
use crate::error::Error;
use crate::outbox::postgres::Tx;
use crate::outbox::{Lease, Position};

/// What a relay has in hand: a transaction in which its rows are deleted. Dropped, they are back.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) tx: Tx,
    /// That of its window; `None` for rows that were set aside.
    pub(super) position: Option<Position>,
    /// Its rows as they were; none of those that were set aside, which are where they were.
    pub(super) rows: Vec<PgRow>,
}

/// What a relay holds while its lease lasts.
#[derive(Debug, Clone)]
pub(super) struct Held {
    epoch: u64,
    pub(super) ttl: Duration,
    until: Instant,
    /// Whoever is at it has it locked, until an answer of the database has come.
    pub(super) hand: Arc<tokio::sync::Mutex<Option<Hand>>>,
}

/// The leases of the relays of this store. Each holds its own; what keeps them apart are the rows that they
/// have in hand.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<Arc<str>, Held>>);

impl Hand {
    /// Says that the relay is still there, to whom the server would end the transaction else.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        let ping = sqlx::query("SELECT 1").persistent(false);
        ping.execute(&mut *self.tx).await.map(drop)
    }

    pub(super) async fn is_halted(&mut self) -> Result<bool, sqlx::Error> {
        let halted = sqlx::query_scalar(queries::IS_HALTED).persistent(false);
        halted.fetch_one(&mut *self.tx).await
    }
}

impl Held {
    /// Gives back what is in hand. Dropped it would be back a moment later.
    pub(super) async fn give_back(hand: &mut Option<Hand>) {
        if let Some(hand) = hand.take() {
            // Where that fails, the connection is lost, and with it the transaction.
            hand.tx.rollback().await.ok();
        }
    }
}

impl Leases {
    /// Every change under the lock is whole, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn grant(&self, owner: &str, epoch: u64, ttl: Duration) -> Lease {
        let lease = Lease::new(owner, epoch);
        let held = Held {
            epoch,
            ttl,
            until: Instant::now() + ttl,
            hand: Arc::default(),
        };
        self.lock().insert(Arc::clone(&lease.owner), held);
        lease
    }

    /// The lease of `owner`, for as long again. What relays that are no more had in hand is given back.
    pub(super) fn renew(&self, owner: &str, ttl: Duration) -> Option<(Lease, Held)> {
        let now = Instant::now();
        let mut leases = self.lock();
        leases.retain(|other, held| **other == *owner || held.until >= now);
        let (owner, _) = leases.get_key_value(owner)?;
        let owner = Arc::clone(owner);
        let held = leases.get_mut(&owner)?;
        (held.ttl, held.until) = (ttl, now + ttl);
        Some((Lease::new(owner, held.epoch), held.clone()))
    }

    pub(super) fn of(&self, lease: &Lease, operation: &'static str) -> Result<Held, Error> {
        let held = self.lock().get(&lease.owner).cloned();
        let held = held.filter(|held| held.epoch == lease.epoch);
        held.ok_or_else(|| lease.fenced(BACKEND, operation))
    }

    /// Those that are there.
    pub(super) fn all(&self) -> Vec<Held> {
        self.lock().values().cloned().collect()
    }

    /// Ends `lease`, if it has not ended before.
    pub(super) fn end(&self, lease: &Lease) -> Option<Held> {
        let mut leases = self.lock();
        let held = leases.get(&lease.owner)?;
        if held.epoch != lease.epoch {
            return None;
        }
        leases.remove(&lease.owner)
    }
}

/// Begins a transaction that the server ends when nothing is heard of it for `ttl`.
pub(super) async fn begin(pool: &PgPool, ttl: Duration) -> Result<Tx, sqlx::Error> {
    let ttl = ttl.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
    let begin = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {ttl}");
    begin_with(pool, begin).await
}
