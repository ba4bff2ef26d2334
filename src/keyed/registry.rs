use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::shard::Shard;
use super::shared::{SHARDS, Shared, lock};
use super::{Builder, Config, Evict, Full};
use crate::config::ConfigError;

/// One value for each key, made when it is first asked for; see the [module docs](super).
///
/// Clones are the same registry.
pub struct Registry<K, V>(Arc<Shared<K, V>>);

impl<K, V> Registry<K, V> {
    /// A registry of what `make` makes of a key, with the defaults of the [module docs](super).
    ///
    /// `make` runs under a lock, so it must be quick, and must not use the registry.
    pub fn builder<F>(make: F) -> Builder<K, V>
    where
        F: Fn(&K) -> V + Send + Sync + 'static,
    {
        Builder::new(Box::new(make))
    }

    pub(super) fn new(shared: Shared<K, V>) -> Self {
        Self(Arc::new(shared))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// How many keys it keeps; never more than [`Config::capacity`], but for busy ones that were there
    /// before it was lowered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it keeps no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bounds.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.config()
    }

    /// How often somebody asked for a key for which there was no room.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.0.overflowed()
    }

    /// What all keys share that find no room, once there has been one or if the builder was given it.
    #[must_use]
    pub fn overflow(&self) -> Option<V>
    where
        V: Clone,
    {
        self.0.overflow().cloned()
    }

    /// All keys and their values, for an operations page. The shards are read one after the other, so
    /// it is no single moment. While the handles are held their keys are not evicted.
    #[must_use]
    pub fn entries(&self) -> Vec<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.0.shards {
            let shard = lock(shard);
            let entries = shard.entries().iter();
            all.extend(entries.map(|entry| (entry.key.clone(), entry.value.clone())));
        }
        all
    }
}

impl<K: Hash + Eq, V: Clone + Evict> Registry<K, V> {
    /// The value of `key`, made if there is none: once for each key, however many threads ask.
    ///
    /// At the capacity, when nothing could be evicted for it, it is the value that all such keys share, or
    /// a new one that is not kept, as [`Evict::OVERFLOW`] says. [`try_get`](Self::try_get) refuses
    /// instead.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let (shard, hash) = self.shard(key);
        let mut shard = lock(shard);
        if let Some(value) = shard.get(hash, key) {
            return value.clone();
        }
        let inserted = self.0.insert(shard, hash, key.to_owned());
        inserted.unwrap_or_else(|(key, _)| self.0.overflowing(&key))
    }

    /// As [`get`](Self::get), but a key that finds no room gets nothing.
    ///
    /// # Errors
    ///
    /// [`Full`] at the capacity, when nothing could be evicted for the key.
    pub fn try_get<Q>(&self, key: &Q) -> Result<V, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let (shard, hash) = self.shard(key);
        let mut shard = lock(shard);
        if let Some(value) = shard.get(hash, key) {
            return Ok(value.clone());
        }
        let inserted = self.0.insert(shard, hash, key.to_owned());
        inserted.map_err(|(_, full)| full)
    }

    /// The value of `key`, if there is one. None is made.
    #[must_use]
    pub fn find<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (shard, hash) = self.shard(key);
        lock(shard).get(hash, key).cloned()
    }

    /// Takes `key` out, busy or not, and returns its value. Handles to it stay valid, and the next who
    /// asks gets a new value.
    #[must_use = "handles to the value stay valid"]
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (shard, hash) = self.shard(key);
        let removed = lock(shard).remove(hash, key)?;
        self.0.removed();
        Some(removed.value)
    }

    /// Evicts all that is idle, however short the time since somebody asked for it, and says how many
    /// keys that were.
    #[must_use = "it says how many keys were evicted"]
    pub fn evict_idle(&self) -> usize {
        let now = Instant::now();
        let evict = |shard: &Mutex<Shard<K, V>>| {
            let mut shard = lock(shard);
            let evicted = self.0.evict_all(&mut shard, now, Shard::evict_idle);
            drop(shard);
            evicted.len()
        };
        self.0.shards.iter().map(evict).sum()
    }

    /// Takes on other bounds from now on. Where there are more keys than the new capacity, idle ones are
    /// evicted; those that are busy stay, and are evicted as new keys come and find them idle.
    ///
    /// # Errors
    ///
    /// All problems of the bounds at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.0.reconfigure(config);
        Ok(())
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> (&Mutex<Shard<K, V>>, u64) {
        let hash = self.0.hasher.hash_one(key);
        // Bits that the index inside the shard does not go by first.
        let at = usize::try_from((hash >> 32) & 0xffff).unwrap_or(0) % SHARDS;
        (&self.0.shards[at], hash)
    }
}

impl<K, V> Clone for Registry<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Registry<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("name", &self.0.name)
            .field("len", &self.len())
            .field("config", &self.config())
            .finish_non_exhaustive()
    }
}
