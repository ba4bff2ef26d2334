use std::collections::HashSet;

use bytes::Bytes;

use crate::outbox::entry::OrderingKey;

/// The keys of which a row was set aside: what is behind it follows.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    keys: HashSet<OrderingKey>,
    /// Those of rows without a topic, which may once go to any.
    of_any_topic: HashSet<Bytes>,
}

impl Stuck {
    pub(super) fn extend(&mut self, key: Option<OrderingKey>) {
        let Some((topic, key)) = key else {
            return;
        };
        if topic.is_empty() {
            self.of_any_topic.insert(key);
        } else {
            self.keys.insert((topic, key));
        }
    }

    pub(super) fn contains(&self, key: &OrderingKey) -> bool {
        self.keys.contains(key) || self.of_any_topic.contains(&key.1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.of_any_topic.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.of_any_topic.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_topic_holds_back_its_key_in_every_topic() {
        let key =
            |topic: &str, key: &'static str| (topic.into(), Bytes::from_static(key.as_bytes()));
        let mut stuck = Stuck::default();
        assert!(stuck.is_empty());
        stuck.extend(Some(key("here", "1")));
        assert!(stuck.contains(&key("here", "1")) && !stuck.contains(&key("there", "1")));
        stuck.extend(Some(key("", "2")));
        assert!(stuck.contains(&key("here", "2")) && stuck.contains(&key("there", "2")));
        assert!(!stuck.contains(&key("here", "3")) && !stuck.is_empty());
        stuck.clear();
        stuck.extend(None);
        assert!(stuck.is_empty());
    }
}
