use std::hash::{Hash, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError};

use tokio::time::Instant;

use super::builder::Make;
use super::meters::Meters;
use super::shard::{Entry, Shard};
use super::{Config, Evict, Full, Overflow};

/// How many parts the keys are in, each with its own lock.
pub(super) const SHARDS: usize = 64;

/// How many entries are looked at, at most, to find room for a new key: the cost of a call does not grow
/// with the number of keys, also when all of them are busy.
const LOOKS: usize = 64;

/// What all clones of a registry share.
pub(super) struct Shared<K, V> {
    pub(super) name: Arc<str>,
    make: Make<K, V>,
    config: RwLock<Config>,
    pub(super) hasher: RandomState,
    pub(super) shards: Box<[Mutex<Shard<K, V>>]>,
    /// How many keys there are, places included that are taken for one.
    len: AtomicUsize,
    /// The shard in which room is looked for next.
    next: AtomicUsize,
    overflowed: AtomicU64,
    /// What keys share that find no room.
    overflow: OnceLock<V>,
    meters: Meters,
}

/// A place for a key, which is free again unless it is kept.
struct Room<'a>(Option<&'a AtomicUsize>);

impl Room<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if let Some(len) = self.0 {
            len.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<K, V> Shared<K, V> {
    pub(super) fn new(
        name: Arc<str>,
        make: Make<K, V>,
        overflow: Option<V>,
        config: Config,
    ) -> Self {
        Self {
            make,
            config: RwLock::new(config),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            overflowed: AtomicU64::new(0),
            overflow: overflow.map_or_else(OnceLock::new, OnceLock::from),
            meters: Meters::new(&name),
            name,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    pub(super) fn overflow(&self) -> Option<&V> {
        self.overflow.get()
    }

    pub(super) fn config(&self) -> Config {
        *self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accounts for a key that was taken out.
    pub(super) fn removed(&self) {
        self.len.fetch_sub(1, Ordering::Relaxed);
        self.meters.removed(1);
    }
}

impl<K: Hash + Eq, V: Clone + Evict> Shared<K, V> {
    /// Makes the value of a key that is not in `shard`, if there is room to keep it; else the key comes
    /// back.
    #[cold]
    pub(super) fn insert(
        &self,
        mut shard: MutexGuard<'_, Shard<K, V>>,
        hash: u64,
        key: K,
    ) -> Result<V, (K, Full)> {
        let config = self.config();
        let (mut evicted, now) = (Vec::new(), Instant::now());
        if shard.is_sweep_due(now, config.idle) {
            evicted = self.evict_all(&mut shard, now, Shard::evict_unused);
        }
        let inserted = match self.room(&mut shard, now, config.capacity, &mut evicted) {
            Some(room) => {
                let value = (self.make)(&key);
                shard.insert(hash, key, value.clone());
                room.keep();
                self.meters.kept();
                Ok(value)
            }
            None => {
                let capacity = config.capacity;
                Err((key, Full { capacity }))
            }
        };
        drop(shard);
        // What they do when they are dropped is not done under the lock.
        drop(evicted);
        inserted
    }

    /// Takes a place for a key: a free one, or that of an idle entry.
    fn room(
        &self,
        own: &mut Shard<K, V>,
        now: Instant,
        capacity: u32,
        evicted: &mut Vec<Entry<K, V>>,
    ) -> Option<Room<'_>> {
        let most = usize::try_from(capacity).unwrap_or(usize::MAX);
        let more = |len: usize| (len < most).then_some(len + 1);
        let mut looks = LOOKS;
        loop {
            let claimed = self
                .len
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            if claimed.is_ok() {
                return Some(Room(Some(&self.len)));
            }
            evicted.push(self.evict_one(own, now, &mut looks)?);
            if self.len() <= most {
                return Some(Room(Some(&self.len)));
            }
            // The capacity was lowered under busy keys: this place is one too many.
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Evicts an idle entry, whose place is still taken: of `own`, or of another shard that nobody is
    /// using.
    fn evict_one(
        &self,
        own: &mut Shard<K, V>,
        now: Instant,
        looks: &mut usize,
    ) -> Option<Entry<K, V>> {
        let mut found = own.evict_one(now, looks);
        for _ in 0..SHARDS {
            if found.is_some() || *looks == 0 {
                break;
            }
            let next = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let mut shard = match self.shards[next].try_lock() {
                Ok(shard) => shard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            found = shard.evict_one(now, looks);
        }
        if found.is_some() {
            self.meters.evicted();
        }
        found
    }

    /// Evicts all that `evict` finds, from the last entry to the first.
    pub(super) fn evict_all(
        &self,
        shard: &mut Shard<K, V>,
        now: Instant,
        evict: fn(&mut Shard<K, V>, Instant, usize) -> Option<(usize, Entry<K, V>)>,
    ) -> Vec<Entry<K, V>> {
        let mut evicted = Vec::new();
        let mut at = shard.entries().len();
        while let Some((found, entry)) = evict(shard, now, at) {
            self.len.fetch_sub(1, Ordering::Relaxed);
            self.meters.evicted();
            evicted.push(entry);
            at = found;
        }
        evicted
    }

    /// Takes on other bounds, and evicts what is idle until they hold.
    pub(super) fn reconfigure(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        let most = usize::try_from(config.capacity).unwrap_or(usize::MAX);
        let now = Instant::now();
        for shard in &self.shards {
            let (mut evicted, mut looks) = (Vec::new(), usize::MAX);
            let mut shard = lock(shard);
            while self.len() > most
                && let Some(entry) = shard.evict_one(now, &mut looks)
            {
                self.len.fetch_sub(1, Ordering::Relaxed);
                self.meters.evicted();
                evicted.push(entry);
            }
            drop(shard);
        }
    }

    /// What a key gets for which there is no room.
    #[cold]
    pub(super) fn overflowing(&self, key: &K) -> V {
        self.meters.overflowed();
        let times = self.overflowed.fetch_add(1, Ordering::Relaxed) + 1;
        // Told now and then: it happens in crowds.
        if times.is_power_of_two() {
            tracing::warn!(
                name: "bowline.keyed.overflow",
                keyed = &*self.name,
                capacity = self.config().capacity,
                times,
            );
        }
        if self.overflow.get().is_none() && V::OVERFLOW == Overflow::Fresh {
            return (self.make)(key);
        }
        self.overflow.get_or_init(|| (self.make)(key)).clone()
    }
}

impl<K, V> Drop for Shared<K, V> {
    fn drop(&mut self) {
        self.meters.removed(self.len());
    }
}

pub(super) fn lock<K, V>(shard: &Mutex<Shard<K, V>>) -> MutexGuard<'_, Shard<K, V>> {
    // It is whole after every change, so a panic elsewhere leaves it usable.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
