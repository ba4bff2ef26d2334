//! Transactions that write, in an order that a seed chooses.

use std::collections::BTreeMap;

use bowline::message::Message;
use bowline::outbox;
use fastrand::Rng;

use super::log::Tx;

#[derive(Default)]
pub(super) struct Writers {
    pub(super) open: Vec<Writer>,
    /// By key, in the order of the commits.
    pub(super) committed: BTreeMap<usize, Vec<u64>>,
    number: u64,
}

pub(super) struct Writer {
    tx: Tx,
    written: Vec<(usize, u64)>,
}

impl Writers {
    pub(super) async fn begin(&mut self, store: &outbox::Postgres, random: &mut Rng) {
        let mut tx = store.begin().await.unwrap();
        if random.bool() {
            let drawn = sqlx::query("SELECT pg_current_xact_id()");
            drawn.execute(&mut *tx).await.unwrap();
        }
        let written = Vec::new();
        self.open.push(Writer { tx, written });
    }

    /// Writes with a key that no other open transaction has written with, as if each locked a row.
    pub(super) async fn write(&mut self, store: &outbox::Postgres, random: &mut Rng, keys: usize) {
        let writer = random.usize(0..self.open.len());
        let key = random.usize(0..keys);
        let mut others = (0..self.open.len()).filter(|other| *other != writer);
        if others.any(|other| {
            self.open[other]
                .written
                .iter()
                .any(|(used, _)| *used == key)
        }) {
            return;
        }
        let Writer { tx, written } = &mut self.open[writer];
        let mut messages = Vec::new();
        for _ in 0..random.u32(1..4) {
            self.number += 1;
            let message = Message::new("suite.event", format!("{key}/{}", self.number));
            messages.push(message.with_key(key.to_string()));
            written.push((key, self.number));
        }
        // As a part of a transaction in a transaction, now and then.
        if random.bool() {
            let mut inner = sqlx::Acquire::begin(&mut *tx).await.unwrap();
            store.enqueue_many(&mut inner, &messages).await.unwrap();
            inner.commit().await.unwrap();
        } else {
            store.enqueue_many(tx, &messages).await.unwrap();
        }
    }

    pub(super) async fn end(&mut self, random: &mut Rng) {
        let writer = random.usize(0..self.open.len());
        let Writer { tx, written } = self.open.swap_remove(writer);
        if random.u8(0..4) == 0 {
            return tx.rollback().await.unwrap();
        }
        tx.commit().await.unwrap();
        for (key, number) in written {
            self.committed.entry(key).or_default().push(number);
        }
    }
}
