//! A shard against a plain map, with hashes that collide far more than they ever will.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::time::Instant;

use super::Evict;
use super::shard::Shard;

/// Idle when it is even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(u32);

impl Evict for Number {
    fn is_idle(&self, _: Instant) -> bool {
        self.0.is_multiple_of(2)
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Get(u8),
    Insert(u8, u32),
    Remove(u8),
    Evict(usize),
    EvictIdle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0u8..24;
    let step = prop_oneof![
        4 => key.clone().prop_map(Step::Get),
        6 => (key.clone(), 0u32..100).prop_map(|(key, number)| Step::Insert(key, number)),
        3 => key.prop_map(Step::Remove),
        1 => (0usize..6).prop_map(Step::Evict),
        1 => Just(Step::EvictIdle),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn keys_with_the_same_hash_are_told_apart(steps in steps(), hashes in 1u64..6) {
        let hash = |key: u8| u64::from(key) % hashes;
        let (mut shard, now) = (Shard::default(), Instant::now());
        let mut oracle = BTreeMap::new();
        for step in steps {
            match step {
                Step::Get(key) => {
                    prop_assert_eq!(shard.get(hash(key), &key), oracle.get(&key));
                }
                Step::Insert(key, number) => {
                    if let std::collections::btree_map::Entry::Vacant(slot) = oracle.entry(key) {
                        slot.insert(Number(number));
                        shard.insert(hash(key), key, Number(number));
                    }
                }
                Step::Remove(key) => {
                    let removed = shard.remove(hash(key), &key).map(|entry| entry.value);
                    prop_assert_eq!(removed, oracle.remove(&key));
                }
                Step::Evict(most) => {
                    let mut looks = most;
                    if let Some(entry) = shard.evict_one(now, &mut looks) {
                        prop_assert!(entry.value.is_idle(now));
                        prop_assert_eq!(oracle.remove(&entry.key), Some(entry.value));
                    } else {
                        let looked = most.min(oracle.len());
                        prop_assert_eq!(most - looks, looked);
                        let idle = oracle.values().filter(|value| value.is_idle(now)).count();
                        prop_assert!(looked < oracle.len() || idle == 0);
                    }
                }
                Step::EvictIdle => {
                    let mut at = shard.entries().len();
                    while let Some((found, entry)) = shard.evict_idle(now, at) {
                        prop_assert_eq!(oracle.remove(&entry.key), Some(entry.value));
                        at = found;
                    }
                    prop_assert!(oracle.values().all(|value| !value.is_idle(now)));
                }
            }
            for (key, value) in &oracle {
                prop_assert_eq!(shard.get(hash(*key), key), Some(value));
            }
            prop_assert_eq!(shard.entries().len(), oracle.len());
        }
    }
}
