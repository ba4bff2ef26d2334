use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use super::Evict;

/// A part of a registry's keys.
///
/// A key is hashed once: the index goes by the hash, which is random and cannot be guessed from
/// outside, and the entries stand in a row, so that a hand can go round them.
#[derive(Debug)]
pub(super) struct Shard<K, V> {
    /// Where the entry of a hash stands.
    index: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
    entries: Vec<Entry<K, V>>,
    /// How many entries are not in the index, because another one has the same hash.
    twins: usize,
    /// The entry that is looked at next when room is needed.
    hand: usize,
    /// Grows with each sweep.
    period: u64,
    swept: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Entry<K, V> {
    hash: u64,
    pub(super) key: K,
    pub(super) value: V,
    /// The period in which somebody asked for it last.
    used: u64,
}

/// Takes a hash as it is.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl<K, V> Default for Shard<K, V> {
    fn default() -> Self {
        Self {
            index: HashMap::default(),
            entries: Vec::new(),
            twins: 0,
            hand: 0,
            period: 0,
            swept: None,
        }
    }
}

impl<K, V> Shard<K, V> {
    pub(super) fn entries(&self) -> &[Entry<K, V>] {
        &self.entries
    }

    pub(super) fn get<Q>(&mut self, hash: u64, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let at = self.position(hash, key)?;
        let entry = self.entries.get_mut(at)?;
        entry.used = self.period;
        Some(&entry.value)
    }

    /// Takes in a key that is not there.
    pub(super) fn insert(&mut self, hash: u64, key: K, value: V) {
        let at = self.entries.len();
        self.entries.push(Entry {
            hash,
            key,
            value,
            used: self.period,
        });
        match self.index.entry(hash) {
            Slot::Occupied(_) => self.twins += 1,
            Slot::Vacant(slot) => {
                slot.insert(at);
            }
        }
    }

    pub(super) fn remove<Q>(&mut self, hash: u64, key: &Q) -> Option<Entry<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let at = self.position(hash, key)?;
        Some(self.remove_at(at))
    }

    fn position<Q>(&self, hash: u64, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let at = *self.index.get(&hash)?;
        if self.entries.get(at)?.key.borrow() == key {
            return Some(at);
        }
        if self.twins == 0 {
            return None;
        }
        let is_it = |entry: &Entry<K, V>| entry.hash == hash && entry.key.borrow() == key;
        self.entries.iter().position(is_it)
    }

    /// Takes the entry at `at` out; the last one takes its place.
    fn remove_at(&mut self, at: usize) -> Entry<K, V> {
        let last = self.entries.len() - 1;
        let removed = self.entries.swap_remove(at);
        let was_indexed = self.index.get(&removed.hash) == Some(&at);
        if was_indexed {
            self.index.remove(&removed.hash);
        }
        if let Some(moved) = self.entries.get(at)
            && let Some(place) = self.index.get_mut(&moved.hash)
            && *place == last
        {
            *place = at;
        }
        if self.twins > 0 {
            self.twins -= usize::from(!was_indexed);
            let twin = |entry: &Entry<K, V>| entry.hash == removed.hash;
            if was_indexed && let Some(twin) = self.entries.iter().position(twin) {
                self.index.insert(removed.hash, twin);
                self.twins -= 1;
            }
        }
        removed
    }
}

impl<K, V: Evict> Shard<K, V> {
    /// Takes an idle entry out; at most `looks` are looked at, and the next time those after them.
    pub(super) fn evict_one(&mut self, now: Instant, looks: &mut usize) -> Option<Entry<K, V>> {
        for _ in 0..self.entries.len().min(*looks) {
            *looks -= 1;
            self.hand %= self.entries.len();
            if self.entries.get(self.hand)?.value.is_idle(now) {
                return Some(self.remove_at(self.hand));
            }
            self.hand += 1;
        }
        None
    }

    /// Whether entries may have been unused for `idle`. If so, those that are older than the last
    /// period are for [`evict_unused`](Self::evict_unused).
    pub(super) fn is_sweep_due(&mut self, now: Instant, idle: Duration) -> bool {
        let swept = *self.swept.get_or_insert(now);
        let is_due = now.saturating_duration_since(swept) >= idle;
        if is_due {
            self.swept = Some(now);
            self.period += 1;
        }
        is_due
    }

    /// Takes the next idle entry from `at` backwards out that nobody has asked for in a whole period,
    /// and says where it stood.
    pub(super) fn evict_unused(&mut self, now: Instant, at: usize) -> Option<(usize, Entry<K, V>)> {
        let is_unused =
            |entry: &Entry<K, V>| entry.used + 1 < self.period && entry.value.is_idle(now);
        let at = self.entries.get(..at)?.iter().rposition(is_unused)?;
        Some((at, self.remove_at(at)))
    }

    /// Takes the next idle entry from `at` backwards out, and says where it stood.
    pub(super) fn evict_idle(&mut self, now: Instant, at: usize) -> Option<(usize, Entry<K, V>)> {
        let is_idle = |entry: &Entry<K, V>| entry.value.is_idle(now);
        let at = self.entries.get(..at)?.iter().rposition(is_idle)?;
        Some((at, self.remove_at(at)))
    }
}
