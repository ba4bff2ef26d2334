use std::collections::{HashMap, VecDeque};

use crate::broker::holdings::{Cursor, Holdings};
use crate::broker::{Received, TopicPartition};

/// Records that were read and not handed out yet.
#[derive(Debug, Default)]
pub(super) struct Stock(HashMap<TopicPartition, Shelf>);

/// Those of one partition.
#[derive(Debug)]
struct Shelf {
    epoch: u64,
    /// How far the member had read when the first of them was next: after a seek they are of no use.
    from: u64,
    records: VecDeque<Received>,
}

impl Stock {
    /// Adds what `cursor` is to read next.
    pub(super) fn add(&mut self, cursor: &Cursor, records: VecDeque<Received>) {
        if !records.is_empty() {
            let shelf = Shelf {
                epoch: cursor.epoch,
                from: cursor.next,
                records,
            };
            self.0.insert(cursor.partition.clone(), shelf);
        }
    }

    /// At most `max` records that are there already.
    pub(super) fn take(&mut self, holdings: &mut Holdings, max: usize) -> Vec<Received> {
        let mut records = Vec::new();
        if self.0.is_empty() {
            return records;
        }
        for cursor in holdings.readable() {
            let room = max - records.len();
            if room == 0 {
                break;
            }
            let Some(shelf) = self.0.get_mut(&cursor.partition) else {
                continue;
            };
            if shelf.fits(&cursor) {
                let count = room.min(shelf.records.len());
                records.extend(shelf.records.drain(..count));
                if let Some(last) = records.last() {
                    shelf.from = last.position.offset + 1;
                    holdings.advance(&cursor.partition, shelf.from);
                }
            }
            if shelf.records.is_empty() {
                self.0.remove(&cursor.partition);
            }
        }
        records
    }

    /// The cursors of which nothing is there. Forgets what is not wanted any more.
    pub(super) fn missing(&mut self, mut cursors: Vec<Cursor>) -> Vec<Cursor> {
        self.0.retain(|partition, shelf| {
            let wanted = find(&cursors, partition);
            wanted.is_some_and(|cursor| shelf.fits(cursor))
        });
        cursors.retain(|cursor| !self.0.contains_key(&cursor.partition));
        cursors
    }
}

impl Shelf {
    /// Whether these are the records that `cursor` is to read next.
    fn fits(&self, cursor: &Cursor) -> bool {
        self.epoch == cursor.epoch && self.from == cursor.next
    }
}

/// The cursor in `partition` among `cursors`, which are in the order of their partitions.
pub(super) fn find<'a>(cursors: &'a [Cursor], partition: &TopicPartition) -> Option<&'a Cursor> {
    let found = cursors.binary_search_by(|cursor| cursor.partition.cmp(partition));
    cursors.get(found.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Assignment, Position, Record};

    fn partition() -> TopicPartition {
        TopicPartition::new("t", 0)
    }

    fn holdings(epoch: u64, next: u64) -> Holdings {
        let mut holdings = Holdings::default();
        holdings.assign(&Assignment::new(partition(), epoch), next);
        holdings
    }

    /// Offsets `from..to`, as read under epoch 1.
    fn stocked(from: u64, to: u64) -> Stock {
        let cursor = Cursor {
            partition: partition(),
            epoch: 1,
            next: from,
        };
        let records = (from..to).map(|offset| {
            let position = Position::new(partition(), offset);
            Received::new(Record::new("t", ""), position, 1)
        });
        let mut stock = Stock::default();
        stock.add(&cursor, records.collect());
        stock
    }

    fn offsets(records: &[Received]) -> Vec<u64> {
        let offsets = records.iter().map(|received| received.position.offset);
        offsets.collect()
    }

    #[test]
    fn what_was_read_is_handed_out_once_and_in_order() {
        let (mut stock, mut holdings) = (stocked(5, 10), holdings(1, 5));
        assert_eq!(offsets(&stock.take(&mut holdings, 3)), [5, 6, 7]);
        assert_eq!(stock.missing(holdings.cursors().collect()), []);
        assert_eq!(offsets(&stock.take(&mut holdings, 3)), [8, 9]);
        assert_eq!(offsets(&stock.take(&mut holdings, 3)), [0; 0]);
        let missing = stock.missing(holdings.cursors().collect());
        assert_eq!(missing[0].next, 10);
    }

    #[test]
    fn a_seek_leaves_nothing_of_what_was_read_before() {
        for offset in [0, 6, 20] {
            let (mut stock, mut holdings) = (stocked(5, 10), holdings(1, 5));
            assert!(holdings.seek(&Assignment::new(partition(), 1), offset));
            assert_eq!(offsets(&stock.take(&mut holdings, 3)), [0; 0]);
            let missing = stock.missing(holdings.cursors().collect());
            assert_eq!(missing[0].next, offset);
        }
    }

    #[test]
    fn nothing_is_handed_out_under_another_assignment() {
        let (mut stock, mut holdings) = (stocked(5, 10), holdings(2, 5));
        assert_eq!(offsets(&stock.take(&mut holdings, 3)), [0; 0]);
        assert_eq!(stock.missing(holdings.cursors().collect()).len(), 1);
    }

    #[test]
    fn a_paused_partition_is_read_ahead_once_and_handed_out_later() {
        let (mut stock, mut holdings) = (stocked(5, 10), holdings(1, 5));
        holdings.set_paused(&partition(), true);
        assert_eq!(offsets(&stock.take(&mut holdings, 3)), [0; 0]);
        assert_eq!(stock.missing(holdings.cursors().collect()), []);
        holdings.set_paused(&partition(), false);
        assert_eq!(offsets(&stock.take(&mut holdings, 9)), [5, 6, 7, 8, 9]);
    }
}
