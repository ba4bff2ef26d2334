use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::{Assignment, TopicPartition};

/// Who owns which partition of one consumer group.
///
/// A plain value: it is told what happened and when, in milliseconds of any one clock, and works out
/// the rest. Partitions move one by one: a member keeps what it may keep, and only what is too much
/// is taken back, so a change of members never stops the whole group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    members: BTreeMap<Uuid, Member>,
    claims: BTreeMap<TopicPartition, Claim>,
    revision: u64,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The topics it wants, with their partition counts.
    pub(super) topics: BTreeMap<Arc<str>, u32>,
    /// How long it may go without a sign of life, in milliseconds.
    pub(super) timeout: u64,
    /// When it last gave one.
    pub(super) seen: u64,
}

/// A partition that a member owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// The member.
    pub(super) owner: Uuid,
    /// Tells this claim from any other of the group.
    pub(super) epoch: u64,
    /// The owner is asked to give it back.
    pub(super) revoking: bool,
}

impl Group {
    /// The group that was stored as these parts.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    pub(super) fn from_parts(
        members: BTreeMap<Uuid, Member>,
        claims: BTreeMap<TopicPartition, Claim>,
        revision: u64,
    ) -> Self {
        Self {
            members,
            claims,
            revision,
        }
    }

    /// The members.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    pub(super) fn members(&self) -> &BTreeMap<Uuid, Member> {
        &self.members
    }

    /// The partitions that somebody owns.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    pub(super) fn claims(&self) -> &BTreeMap<TopicPartition, Claim> {
        &self.claims
    }

    /// Grows with every change of members or claims.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Adds `member`, at time `member.seen`.
    pub(super) fn join(&mut self, id: Uuid, member: Member) {
        self.expire(member.seen);
        self.members.insert(id, member);
        self.rebalance();
    }

    /// Notes a sign of life; `false` when `id` is not, or no longer, a member.
    pub(super) fn touch(&mut self, id: Uuid, now: u64) -> bool {
        self.expire(now);
        match self.members.get_mut(&id) {
            Some(member) => {
                member.seen = now;
                true
            }
            None => false,
        }
    }

    /// Takes `id` out; what it owned goes to others at once.
    pub(super) fn leave(&mut self, id: Uuid) {
        if self.members.remove(&id).is_some() {
            self.rebalance();
        }
    }

    /// Gives back those of `assignments` that are still `id`'s.
    pub(super) fn release(&mut self, id: Uuid, assignments: &[Assignment]) {
        let before = self.claims.len();
        for assignment in assignments {
            if self.owns(id, assignment) {
                self.claims.remove(&assignment.partition);
            }
        }
        if self.claims.len() != before {
            self.rebalance();
        }
    }

    /// Whether `assignment` has not ended and is `id`'s.
    pub(super) fn owns(&self, id: Uuid, assignment: &Assignment) -> bool {
        self.claims
            .get(&assignment.partition)
            .is_some_and(|claim| claim.owner == id && claim.epoch == assignment.epoch)
    }

    /// What `id` owns.
    pub(super) fn claims_of(&self, id: Uuid) -> impl Iterator<Item = (&TopicPartition, Claim)> {
        self.claims
            .iter()
            .filter(move |(_, claim)| claim.owner == id)
            .map(|(partition, claim)| (partition, *claim))
    }

    /// Takes out members that were silent for longer than they may.
    fn expire(&mut self, now: u64) {
        let before = self.members.len();
        self.members
            .retain(|_, member| now.saturating_sub(member.seen) <= member.timeout);
        if self.members.len() != before {
            self.rebalance();
        }
    }

    fn rebalance(&mut self) {
        self.revision += 1;
        let members = &self.members;
        self.claims.retain(|partition, claim| {
            members
                .get(&claim.owner)
                .is_some_and(|owner| owner.topics.contains_key(&partition.topic))
        });
        let topics: BTreeMap<Arc<str>, u32> = members
            .values()
            .flat_map(|member| &member.topics)
            .map(|(topic, partitions)| (Arc::clone(topic), *partitions))
            .collect();
        let mut load = HashMap::new();
        for (topic, partitions) in topics {
            self.rebalance_topic(&topic, partitions, &mut load);
        }
    }

    /// Shares one topic evenly. An odd partition goes to the member with the least of earlier
    /// topics; among equals to the one that owns most of this one, so that it need not move; then
    /// to the one that joined first.
    fn rebalance_topic(
        &mut self,
        topic: &Arc<str>,
        partitions: u32,
        load: &mut HashMap<Uuid, usize>,
    ) {
        let mut kept: Vec<(Uuid, Vec<TopicPartition>)> = self
            .members
            .iter()
            .filter(|(_, member)| member.topics.contains_key(topic))
            .map(|(id, _)| (*id, Vec::new()))
            .collect();
        let mut free = Vec::new();
        for partition in (0..partitions).rev() {
            let partition = TopicPartition::new(Arc::clone(topic), partition);
            match self.claims.get(&partition) {
                None => free.push(partition),
                Some(claim) if claim.revoking => {}
                Some(claim) => {
                    if let Some((_, kept)) = kept.iter_mut().find(|(id, _)| *id == claim.owner) {
                        kept.push(partition);
                    }
                }
            }
        }
        kept.sort_by_key(|(id, kept)| {
            (load.get(id).copied().unwrap_or(0), Reverse(kept.len()), *id)
        });
        let total = usize::try_from(partitions).unwrap_or(usize::MAX);
        let (share, odd) = (total / kept.len().max(1), total % kept.len().max(1));
        for (rank, (id, mut kept)) in kept.into_iter().enumerate() {
            let quota = share + usize::from(rank < odd);
            *load.entry(id).or_default() += quota;
            for _ in quota..kept.len() {
                let claim = kept.pop().and_then(|kept| self.claims.get_mut(&kept));
                if let Some(claim) = claim {
                    claim.revoking = true;
                }
            }
            for _ in kept.len()..quota {
                let Some(partition) = free.pop() else { break };
                self.revision += 1;
                let claim = Claim {
                    owner: id,
                    epoch: self.revision,
                    revoking: false,
                };
                self.claims.insert(partition, claim);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: u64 = 10;

    fn member(topics: &[(&str, u32)], seen: u64) -> Member {
        let topics = topics.iter().map(|(name, count)| ((*name).into(), *count));
        Member {
            topics: topics.collect(),
            timeout: TIMEOUT,
            seen,
        }
    }

    fn id(n: u8) -> Uuid {
        Uuid::from_u128(n.into())
    }

    /// The numbers of the partitions that `n` owns and may keep.
    fn kept(group: &Group, n: u8) -> Vec<u32> {
        group
            .claims_of(id(n))
            .filter(|(_, claim)| !claim.revoking)
            .map(|(partition, _)| partition.partition)
            .collect()
    }

    fn revoking(group: &Group, n: u8) -> Vec<Assignment> {
        group
            .claims_of(id(n))
            .filter(|(_, claim)| claim.revoking)
            .map(|(partition, claim)| Assignment::new(partition.clone(), claim.epoch))
            .collect()
    }

    #[test]
    fn a_partition_moves_only_after_it_was_released() {
        let mut group = Group::default();
        group.join(id(1), member(&[("t", 3)], 0));
        assert_eq!(kept(&group, 1), [0, 1, 2]);

        group.join(id(2), member(&[("t", 3)], 0));
        assert_eq!(kept(&group, 1), [1, 2]);
        assert_eq!(kept(&group, 2), [0; 0]);
        let given_back = revoking(&group, 1);
        assert!(group.owns(id(1), &given_back[0]), "it may still commit");

        group.release(id(1), &given_back);
        assert_eq!(kept(&group, 2), [0]);
        assert!(!group.owns(id(1), &given_back[0]));
        let before = group.revision();
        group.release(id(1), &given_back);
        assert_eq!(group.revision(), before, "released once");
    }

    #[test]
    fn a_silent_member_is_taken_out_after_its_timeout_and_not_before() {
        let mut group = Group::default();
        group.join(id(1), member(&[("t", 2)], 0));
        group.join(id(2), member(&[("t", 2)], 5));
        assert!(group.touch(id(2), TIMEOUT));
        assert_eq!(kept(&group, 2), [0; 0], "the first one is not overdue yet");

        assert!(group.touch(id(2), TIMEOUT + 1));
        assert_eq!(kept(&group, 2), [0, 1]);
        assert!(!group.touch(id(1), TIMEOUT + 1), "it has to join again");
    }

    #[test]
    fn odd_partitions_of_several_topics_go_to_different_members() {
        let mut group = Group::default();
        let topics = [("a", 1), ("b", 1), ("c", 1)];
        for n in 1..=3 {
            group.join(id(n), member(&topics, 0));
        }
        for n in 1..=3 {
            let back = revoking(&group, n);
            group.release(id(n), &back);
        }
        for n in 1..=3 {
            assert_eq!(kept(&group, n).len(), 1, "{group:?}");
        }
    }

    proptest! {
        /// Whatever happens, nobody's claim passes to another member under the same epoch, epochs
        /// are used once, and when all has been given back the shares are even and complete.
        #[test]
        fn shares_are_even_and_epochs_are_used_once(
            partitions in 1u32..12,
            events in proptest::collection::vec((0u8..4, 1u8..6, 0u64..4), 1..60),
        ) {
            let mut group = Group::default();
            let mut now = 0;
            let mut owners: HashMap<u64, (TopicPartition, Uuid)> = HashMap::new();
            for (event, n, passed) in events {
                now += passed;
                match event {
                    0 => group.join(id(n), member(&[("t", partitions)], now)),
                    1 => group.leave(id(n)),
                    2 => {
                        let back = revoking(&group, n);
                        group.release(id(n), &back);
                    }
                    _ => {
                        group.touch(id(n), now);
                    }
                }
                for (partition, claim) in &group.claims {
                    prop_assert!(group.members.contains_key(&claim.owner));
                    let first = (partition.clone(), claim.owner);
                    let known = owners.entry(claim.epoch).or_insert_with(|| first.clone());
                    prop_assert_eq!(&first, &*known);
                }
            }
            for n in 1..6 {
                let back = revoking(&group, n);
                group.release(id(n), &back);
            }
            let shares: Vec<_> = (1..6)
                .filter(|n| group.members.contains_key(&id(*n)))
                .map(|n| kept(&group, n).len())
                .collect();
            if let (Some(least), Some(most)) = (shares.iter().min(), shares.iter().max()) {
                prop_assert!(most - least <= 1, "{:?}", shares);
                let owned: usize = shares.iter().sum();
                prop_assert_eq!(owned, usize::try_from(partitions).expect("it fits"));
            }
        }
    }
}
