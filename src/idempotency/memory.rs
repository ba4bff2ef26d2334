use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Claim, Fingerprint, Key, Store, Token};
use crate::error::Error;

const BACKEND: &str = "memory";

/// Expired keys are dropped whenever this many are held, or twice those that were left last time.
const SWEEP_AT: usize = 1_024;

/// Remembers in this process, and forgets with it. A clone shares what is remembered.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rows: HashMap<Key, Row>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Row {
    fingerprint: Option<Fingerprint>,
    nonce: Uuid,
    result: Option<Bytes>,
    expires_at: Instant,
}

impl Memory {
    /// A store that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the row of a claim that is still the newest and not completed.
    fn with_claim(
        &self,
        token: &Token,
        operation: &'static str,
        change: impl FnOnce(&mut Row),
    ) -> Result<(), Error> {
        let mut state = self.state();
        let row = state
            .rows
            .get_mut(&token.key)
            .filter(|row| row.nonce == token.nonce && row.result.is_none())
            .ok_or_else(|| token.fenced(BACKEND, operation))?;
        change(row);
        Ok(())
    }
}

impl Store for Memory {
    async fn claim(
        &self,
        key: &Key,
        fingerprint: Option<&Fingerprint>,
        lease: Duration,
    ) -> Result<Claim, Error> {
        let mut state = self.state();
        // Read under the lock: no claim is younger than what it is compared with.
        let now = Instant::now();
        state.sweep(now);
        if let Some(row) = state.rows.get(key).filter(|row| row.expires_at > now) {
            return Ok(match &row.result {
                _ if row.fingerprint.as_ref() != fingerprint => Claim::Mismatch,
                Some(result) => Claim::Completed(result.clone()),
                None => Claim::InProgress(row.expires_at - now),
            });
        }
        let token = Token::generate(key.clone());
        let row = Row {
            fingerprint: fingerprint.cloned(),
            nonce: token.nonce,
            result: None,
            expires_at: now + lease,
        };
        state.rows.insert(key.clone(), row);
        Ok(Claim::Acquired(token))
    }

    async fn complete(&self, token: &Token, result: Bytes, keep: Duration) -> Result<(), Error> {
        let mut state = self.state();
        let row = state.rows.get_mut(&token.key);
        let row = row.filter(|row| row.nonce == token.nonce);
        let row = row.ok_or_else(|| token.fenced(BACKEND, "complete"))?;
        row.result = Some(result);
        row.expires_at = Instant::now() + keep;
        Ok(())
    }

    async fn extend(&self, token: &Token, lease: Duration) -> Result<(), Error> {
        self.with_claim(token, "extend", |row| {
            row.expires_at = Instant::now() + lease
        })
    }

    async fn abandon(&self, token: &Token) -> Result<(), Error> {
        self.with_claim(token, "abandon", |_| ())?;
        self.state().rows.remove(&token.key);
        Ok(())
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        if self.rows.len() >= self.sweep_at.max(SWEEP_AT) {
            self.rows.retain(|_, row| row.expires_at > now);
            self.sweep_at = self.rows.len() * 2;
        }
    }
}
