use std::fmt::{self, Display};
use std::sync::Arc;

use crate::broker::TopicPartition;

/// Names the keys of one broker.
///
/// They begin with a hash tag, so that a Redis Cluster keeps all of them in one slot: one script may
/// touch a batch, or all that a commit is about, and one `XREAD` may wait for all partitions of a
/// member. A topic's name has no colon, and a group's name comes last, so no two names look alike.
#[derive(Debug, Clone)]
pub(super) struct Keys(Arc<str>);

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self(format!("{{{prefix}}}").into())
    }

    /// A hash: how many partitions the topic has, and for each the offset of its next record.
    pub(super) fn topic(&self, topic: &str) -> String {
        self.name("topic", topic)
    }

    /// A stream: the records of a partition; the one at offset n has the id n-1.
    pub(super) fn log(&self, partition: &TopicPartition) -> String {
        self.of_partition("log", partition)
    }

    /// A hash: how far each group has come in a partition. Empty for one that has not committed.
    pub(super) fn done(&self, partition: &TopicPartition) -> String {
        self.of_partition("done", partition)
    }

    /// A string: grows with every change of members or claims.
    pub(super) fn revision(&self, group: &str) -> String {
        self.name("revision", group)
    }

    /// A hash: each member of a group, and what it wants.
    pub(super) fn members(&self, group: &str) -> String {
        self.name("members", group)
    }

    /// A hash: when each member gave a sign of life, and how long it may go without.
    pub(super) fn seen(&self, group: &str) -> String {
        self.name("seen", group)
    }

    /// A hash: who owns each partition, and since which epoch.
    pub(super) fn claims(&self, group: &str) -> String {
        self.name("claims", group)
    }

    /// A stream of one entry, the last revision, for members to wait for.
    pub(super) fn changes(&self, group: &str) -> String {
        self.name("changes", group)
    }

    /// A hash: the partitions that a group was ever assigned, as the names of what it has done there and
    /// of the log.
    pub(super) fn been(&self, group: &str) -> String {
        self.name("been", group)
    }

    fn name(&self, what: &str, name: &str) -> String {
        format!("{}:{what}:{name}", self.0)
    }

    fn of_partition(&self, what: &str, partition: &TopicPartition) -> String {
        let TopicPartition { topic, partition } = partition;
        format!("{}:{what}:{topic}:{partition}", self.0)
    }
}

impl Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of the last entry before `offset`: what `XREAD` wants to begin there.
pub(super) fn before(offset: u64) -> String {
    match offset.checked_sub(1) {
        None => "0-0".to_owned(),
        Some(last) => format!("{last}-1"),
    }
}

/// The offset of the entry with this id.
pub(super) fn offset(id: &[u8]) -> Option<u64> {
    let (offset, _) = std::str::from_utf8(id).ok()?.split_once('-')?;
    offset.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_the_first_part_of_an_id() {
        assert_eq!(before(0), "0-0");
        assert_eq!(before(1), "0-1");
        assert_eq!(before(u64::MAX), format!("{}-1", u64::MAX - 1));
        assert_eq!(offset(b"0-1"), Some(0));
        assert_eq!(offset(b"18446744073709551615-1"), Some(u64::MAX));
        for id in [&b"1"[..], b"-1-1", b"", b"\xff-1"] {
            assert_eq!(offset(id), None, "{id:?}");
        }
    }

    #[test]
    fn all_keys_are_in_one_slot_and_none_looks_like_another() {
        let keys = Keys::new("shop");
        let log = keys.log(&TopicPartition::new("a", 1));
        assert_eq!(log, "{shop}:log:a:1");
        assert_ne!(log, keys.topic("log:a:1"));
        assert_ne!(keys.members("a:claims"), keys.claims("a"));
    }
}
