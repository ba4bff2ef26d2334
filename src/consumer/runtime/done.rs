use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use crate::broker::Committed;

/// What our metadata begins with. Any other is somebody else's, and says nothing to us.
const PREFIX: &str = "bowline1";

/// Offsets that are done though an earlier one is not, as they travel in the metadata of a commit.
///
/// Two ways to write them, whichever is shorter: as ranges, each a pair of LEB128 numbers (how far
/// after the one before, how long), or as a bitmap from the watermark on. Both are base64 behind
/// `bowline1r` or `bowline1b`. A gap between two done records counts as done: nothing is there. When
/// not all fit, the first ones are written, and the others are done again after a restart.
#[derive(Debug, Default)]
pub(super) struct DoneSet {
    /// From, to; ascending, disjoint, not empty.
    ranges: VecDeque<(u64, u64)>,
}

impl DoneSet {
    /// What `committed` says is done beyond its offset; nothing when its metadata is not ours.
    pub(super) fn of(committed: &Committed) -> Self {
        let metadata = committed.metadata.as_deref().unwrap_or_default();
        let ranges = decode(metadata, committed.next).unwrap_or_default();
        Self { ranges }
    }

    /// Whether `offset` is in it. Offsets are asked for in ascending order, and what is before them is
    /// forgotten.
    pub(super) fn take(&mut self, offset: u64) -> bool {
        while self.ranges.front().is_some_and(|(_, end)| *end <= offset) {
            self.ranges.pop_front();
        }
        self.ranges
            .front()
            .is_some_and(|(start, _)| *start <= offset)
    }

    /// How many offsets from `from` up to `to` are in it.
    pub(super) fn count(&self, from: u64, to: u64) -> u64 {
        let ranges = self.ranges.iter();
        ranges
            .map(|(start, end)| (*end).min(to).saturating_sub((*start).max(from)))
            .sum()
    }

    /// Whether nothing from `next` on is in it.
    pub(super) fn is_empty_from(&self, next: u64) -> bool {
        self.ranges.back().is_none_or(|(_, end)| *end <= next)
    }

    /// What is in it from `next` on, as [`encode`](Self::encode) takes it: of each range the first and the
    /// last, and after it one that is not done.
    pub(super) fn from(&self, next: u64) -> impl Iterator<Item = (u64, bool)> {
        let ranges = self.ranges.iter().filter(move |(_, end)| *end > next);
        let begins_later = !self
            .ranges
            .iter()
            .any(|(start, end)| *start <= next && next < *end);
        let gap = begins_later.then_some((next, false));
        gap.into_iter().chain(ranges.flat_map(move |(start, end)| {
            [(next.max(*start), true), (*end - 1, true), (*end, false)]
        }))
    }

    /// The done ones of `records`, pairs of offset and done from the watermark on, in at most `max`
    /// bytes; `None` when there are none, or none fits.
    pub(super) fn encode(records: impl Iterator<Item = (u64, bool)>, max: usize) -> Option<String> {
        let (base, ranges) = ranges(records)?;
        let header = PREFIX.len() + 1;
        // Four characters of base64 for three bytes.
        let room = max.checked_sub(header)? / 4 * 3;
        let as_ranges = write_ranges(base, &ranges, room);
        let as_bitmap = write_bitmap(base, &ranges, room);
        let (kind, (bytes, _)) = match (as_ranges, as_bitmap) {
            (ranges, bitmap) if ranges.1 < bitmap.1 => ('b', bitmap),
            (ranges, bitmap) if ranges.1 == bitmap.1 && bitmap.0.len() < ranges.0.len() => {
                ('b', bitmap)
            }
            (ranges, _) => ('r', ranges),
        };
        (!bytes.is_empty()).then(|| format!("{PREFIX}{kind}{}", BASE64.encode(bytes)))
    }
}

/// The first offset, and the ranges of done ones. A range ends where the next begins that is not done.
fn ranges(records: impl Iterator<Item = (u64, bool)>) -> Option<(u64, Vec<(u64, u64)>)> {
    let mut base = None;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut open = false;
    for (offset, done) in records {
        base.get_or_insert(offset);
        match ranges.last_mut() {
            Some(last) if open && done => last.1 = offset.saturating_add(1),
            _ if done => ranges.push((offset, offset.saturating_add(1))),
            _ => {}
        }
        open = done;
    }
    base.filter(|_| !ranges.is_empty())
        .map(|base| (base, ranges))
}

/// As many ranges as fit into `room` bytes, and how many offsets they cover.
fn write_ranges(base: u64, ranges: &[(u64, u64)], room: usize) -> (Vec<u8>, u64) {
    let (mut bytes, mut covered, mut at) = (Vec::new(), 0, base);
    for (start, end) in ranges {
        let before = bytes.len();
        write_number(&mut bytes, start - at);
        write_number(&mut bytes, end - start);
        if bytes.len() > room {
            bytes.truncate(before);
            break;
        }
        covered += end - start;
        at = *end;
    }
    (bytes, covered)
}

/// As many bits as fit into `room` bytes, and how many of them are set.
fn write_bitmap(base: u64, ranges: &[(u64, u64)], room: usize) -> (Vec<u8>, u64) {
    let (mut bytes, mut covered) = (Vec::<u8>::new(), 0);
    let offsets = ranges.iter().flat_map(|(start, end)| *start..*end);
    for offset in offsets {
        let bit = offset - base;
        let Some(index) = usize::try_from(bit / 8).ok().filter(|index| *index < room) else {
            break;
        };
        if bytes.len() <= index {
            bytes.resize(index + 1, 0);
        }
        bytes[index] |= 1 << (bit % 8);
        covered += 1;
    }
    (bytes, covered)
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// `None` when `metadata` is not ours, or is broken: then nothing is known to be done.
fn decode(metadata: &str, base: u64) -> Option<VecDeque<(u64, u64)>> {
    let rest = metadata.strip_prefix(PREFIX)?;
    if let Some(text) = rest.strip_prefix('r') {
        read_ranges(&BASE64.decode(text).ok()?, base)
    } else {
        let bytes = BASE64.decode(rest.strip_prefix('b')?).ok()?;
        Some(read_bitmap(&bytes, base))
    }
}

fn read_ranges(bytes: &[u8], base: u64) -> Option<VecDeque<(u64, u64)>> {
    let (mut ranges, mut at, mut rest) = (VecDeque::new(), base, bytes);
    while !rest.is_empty() {
        let start = at.checked_add(read_number(&mut rest)?)?;
        at = start.checked_add(read_number(&mut rest)?)?;
        ranges.push_back((start, at));
    }
    Some(ranges)
}

fn read_bitmap(bytes: &[u8], base: u64) -> VecDeque<(u64, u64)> {
    let mut ranges: VecDeque<(u64, u64)> = VecDeque::new();
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte & (1 << bit) != 0));
    for (offset, _) in (base..).zip(bits).filter(|(_, set)| *set) {
        match ranges.back_mut() {
            Some((_, end)) if *end == offset => *end = offset + 1,
            _ => ranges.push_back((offset, offset + 1)),
        }
    }
    ranges
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(next: u64, metadata: &str) -> Vec<(u64, u64)> {
        DoneSet::of(&Committed::new(next).with_metadata(metadata))
            .ranges
            .into()
    }

    #[test]
    fn foreign_and_broken_metadata_says_nothing() {
        for metadata in [
            "",
            "x",
            "bowline1",
            "bowline1r!",
            "bowline1r/w",
            "bowline1zAA",
            "bowline2rAAE",
        ] {
            assert_eq!(set(7, metadata), [], "{metadata:?}");
        }
        // A range beyond the last offset there can be.
        assert_eq!(set(u64::MAX, "bowline1rAQE"), []);
    }

    #[test]
    fn long_runs_are_ranges_and_scattered_records_a_bitmap() {
        let run = (0..10_000).map(|offset| (offset, offset > 0));
        let text = DoneSet::encode(run, 100).expect("it fits");
        assert_eq!(text, "bowline1rAY9O");
        assert_eq!(set(0, &text), [(1, 10_000)]);

        let scattered = (0..10_000).map(|offset| (offset, offset % 2 == 1));
        let text = DoneSet::encode(scattered, 4096).expect("it fits");
        assert!(text.starts_with("bowline1b"), "{text}");
        assert!(text.len() < 1_700, "{}", text.len());
        assert_eq!(set(0, &text).len(), 5_000);
    }

    #[test]
    fn what_does_not_fit_is_left_out_from_the_end() {
        let scattered = || (0..10_000).map(|offset| (offset, offset % 2 == 1));
        for max in [0, 8, 9, 12, 13, 100] {
            let text = DoneSet::encode(scattered(), max);
            let length = text.as_ref().map_or(0, String::len);
            assert!(length <= max, "{length} > {max}");
            let kept = text.map(|text| set(0, &text)).unwrap_or_default();
            assert!(
                kept.iter()
                    .all(|(start, end)| start % 2 == 1 && end - start == 1)
            );
            assert_eq!(kept.is_empty(), max < 13);
        }
    }
}
