use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Instance, InstanceId, Watch};
use crate::error::Rejected;

/// How the next instance is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
}

/// Chooses among the instances of one service.
///
/// # How it decides
///
/// Round robin: a counter that starts at a random number, so that clients that start together do not
/// march in step, survives every refresh of the instances and wraps at its end. With instances to
/// exclude, which is a repetition, the counter stands still and chance decides among the others:
/// else a dead instance would come first again and again, or its neighbour would bear its share.
#[derive(Debug)]
pub struct Balancer {
    watch: Watch,
    balance: Balance,
    next: AtomicUsize,
}

impl Balancer {
    /// Chooses among the instances of `watch`.
    #[must_use]
    pub fn new(watch: Watch, balance: Balance) -> Self {
        Self {
            watch,
            balance,
            next: AtomicUsize::new(fastrand::usize(..)),
        }
    }

    /// The instances it chooses among.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The next instance that is not in `exclude`. It takes no lock and allocates nothing.
    ///
    /// # Errors
    ///
    /// [`Rejected::NoInstances`] when none is known or all are excluded.
    pub fn pick(&self, exclude: &[InstanceId]) -> Result<Arc<Instance>, Rejected> {
        let snapshot = self.watch.peek();
        let picked = match self.balance {
            Balance::RoundRobin => round_robin(snapshot.instances(), &self.next, exclude),
        };
        picked.ok_or_else(|| Rejected::no_instances(self.watch.service().clone()))
    }
}

fn round_robin(
    instances: &[Arc<Instance>],
    next: &AtomicUsize,
    exclude: &[InstanceId],
) -> Option<Arc<Instance>> {
    if instances.is_empty() {
        return None;
    }
    let start = if exclude.is_empty() {
        next.fetch_add(1, Ordering::Relaxed)
    } else {
        fastrand::usize(..)
    };
    let start = start % instances.len();
    let (before, after) = instances.split_at(start);
    after
        .iter()
        .chain(before)
        .find(|instance| !exclude.contains(&instance.id))
        .cloned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn three() -> Vec<Arc<Instance>> {
        (0..3)
            .map(|port| Arc::new(Instance::new("tasks", format!("127.0.0.1:{port}"))))
            .collect()
    }

    #[test]
    fn the_spread_is_even_across_the_end_of_the_counter() {
        let instances = three();
        let next = AtomicUsize::new(usize::MAX - 150);
        let mut counts = HashMap::new();
        for _ in 0..300 {
            let picked = round_robin(&instances, &next, &[]).expect("an instance");
            *counts.entry(picked.id).or_insert(0) += 1;
        }
        assert!(
            counts.values().all(|count| (99..=101).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn excluded_instances_are_skipped_until_none_is_left() {
        let instances = three();
        let next = AtomicUsize::new(0);
        let mut tried = Vec::new();
        while let Some(picked) = round_robin(&instances, &next, &tried) {
            assert!(!tried.contains(&picked.id));
            tried.push(picked.id);
        }
        assert_eq!(tried.len(), 3);
        assert!(round_robin(&[], &next, &[]).is_none());
    }
}
