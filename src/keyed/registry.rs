use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use tokio::time::Instant;

use super::builder::Make;
use super::shard::{Entry, Shard};
use super::{Builder, Config, Evict, Full};

/// How many parts the keys are in, each with its own lock.
const SHARDS: usize = 64;

/// How many entries are looked at, at most, to find room for a new key: the cost of a call does not grow
/// with the number of keys, also when all of them are busy.
const LOOKS: usize = 64;

/// One value for each key, made when it is first asked for; see the [module docs](super).
///
/// Clones are the same registry.
pub struct Registry<K, V>(Arc<Shared<K, V>>);

struct Shared<K, V> {
    make: Make<K, V>,
    config: Config,
    hasher: RandomState,
    shards: Box<[Mutex<Shard<K, V>>]>,
    /// How many keys there are, places included that are taken for one.
    len: AtomicUsize,
    /// The shard in which room is looked for next.
    next: AtomicUsize,
    overflowed: AtomicU64,
}

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

    pub(super) fn new(make: Make<K, V>, config: Config) -> Self {
        Self(Arc::new(Shared {
            make,
            config,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            overflowed: AtomicU64::new(0),
        }))
    }

    /// How many keys it keeps; never more than [`Config::capacity`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len.load(Ordering::Relaxed)
    }

    /// Whether it keeps no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bounds.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.config
    }

    /// How often a value was given out that was not kept, because there was no room.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.0.overflowed.load(Ordering::Relaxed)
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
    /// At the capacity, when nothing could be evicted for it, the value is new and is not kept: it
    /// works, but the next who asks gets another one. [`try_get`](Self::try_get) refuses instead.
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
        let (value, kept) = self.0.insert(shard, hash, key.to_owned());
        if kept.is_err() {
            self.0.overflow();
        }
        value
    }

    /// As [`get`](Self::get), but a value that cannot be kept is not given out.
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
        let (value, kept) = self.0.insert(shard, hash, key.to_owned());
        kept.map(|()| value)
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
        self.0.len.fetch_sub(1, Ordering::Relaxed);
        Some(removed.value)
    }

    /// Evicts all that is idle, however short the time since somebody asked for it, and says how many
    /// keys that were.
    #[must_use = "it says how many keys were evicted"]
    pub fn evict_idle(&self) -> usize {
        let evict = |shard: &Mutex<Shard<K, V>>| {
            let mut shard = lock(shard);
            let evicted = self.0.evict_all(&mut shard, Shard::evict_idle);
            drop(shard);
            evicted.len()
        };
        self.0.shards.iter().map(evict).sum()
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> (&Mutex<Shard<K, V>>, u64) {
        let hash = self.0.hasher.hash_one(key);
        // Bits that the index inside the shard does not go by first.
        let at = usize::try_from((hash >> 32) & 0xffff).unwrap_or(0) % SHARDS;
        (&self.0.shards[at], hash)
    }
}

impl<K: Hash + Eq, V: Clone + Evict> Shared<K, V> {
    /// Makes the value of a key that is not in `shard`, and keeps it if there is room.
    #[cold]
    fn insert(
        &self,
        mut shard: MutexGuard<'_, Shard<K, V>>,
        hash: u64,
        key: K,
    ) -> (V, Result<(), Full>) {
        let value = (self.make)(&key);
        let now = Instant::now();
        let mut evicted = Vec::new();
        if shard.is_sweep_due(now, self.config.idle) {
            evicted = self.evict_all(&mut shard, Shard::evict_unused);
        }
        let mut kept = self.claim();
        if kept.is_err()
            && let Some(entry) = self.evict_one(&mut shard)
        {
            evicted.push(entry);
            kept = Ok(());
        }
        if kept.is_ok() {
            shard.insert(hash, key, value.clone());
        }
        drop(shard);
        // What they do when they are dropped is not done under the lock.
        drop(evicted);
        (value, kept)
    }

    /// Takes a place for a key, if one is free.
    fn claim(&self) -> Result<(), Full> {
        let capacity = self.config.capacity;
        let most = usize::try_from(capacity).unwrap_or(usize::MAX);
        let more = |len: usize| (len < most).then_some(len + 1);
        let claimed = self
            .len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        claimed.map(drop).or(Err(Full { capacity }))
    }

    /// Evicts an idle entry, whose place is then free for another key: of `own`, or of another shard
    /// that nobody is using.
    fn evict_one(&self, own: &mut Shard<K, V>) -> Option<Entry<K, V>> {
        let mut looks = LOOKS;
        if let Some(entry) = own.evict_one(&mut looks) {
            return Some(entry);
        }
        for _ in 0..SHARDS {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let mut shard = match self.shards[next].try_lock() {
                Ok(shard) => shard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            if let Some(entry) = shard.evict_one(&mut looks) {
                return Some(entry);
            }
            if looks == 0 {
                break;
            }
        }
        None
    }

    /// Evicts all that `evict` finds, from the last entry to the first.
    fn evict_all(
        &self,
        shard: &mut Shard<K, V>,
        evict: fn(&mut Shard<K, V>, usize) -> Option<(usize, Entry<K, V>)>,
    ) -> Vec<Entry<K, V>> {
        let mut evicted = Vec::new();
        let mut at = shard.entries().len();
        while let Some((found, entry)) = evict(shard, at) {
            self.len.fetch_sub(1, Ordering::Relaxed);
            evicted.push(entry);
            at = found;
        }
        evicted
    }

    #[cold]
    fn overflow(&self) {
        let times = self.overflowed.fetch_add(1, Ordering::Relaxed) + 1;
        // Told now and then: it happens in crowds.
        if times.is_power_of_two() {
            tracing::warn!(
                name: "bowline.keyed.overflow",
                capacity = self.config.capacity,
                times,
            );
        }
    }
}

fn lock<K, V>(shard: &Mutex<Shard<K, V>>) -> MutexGuard<'_, Shard<K, V>> {
    // It is whole after every change, so a panic elsewhere leaves it usable.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> Clone for Registry<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Registry<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("len", &self.len())
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
