use std::num::NonZeroU32;

/// The partition of `key` among `partitions`, as Kafka's own producer chooses it.
///
/// It is `murmur2_random` of librdkafka and the default of the Java client: the hash of the key with
/// its sign cut off, modulo the number of partitions. So producers in any language put one key into
/// one partition. An empty key is a key like any other; a record without one may go anywhere.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use bowline::broker::partition_for;
///
/// let six = NonZeroU32::new(6).expect("not zero");
/// assert_eq!(partition_for(b"foobar", six), 1_357_151_166 % 6);
/// ```
#[must_use]
pub fn partition_for(key: &[u8], partitions: NonZeroU32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// MurmurHash2, 32 bits, with Kafka's seed; see
/// [`Utils.murmur2`](https://github.com/apache/kafka/blob/trunk/clients/src/main/java/org/apache/kafka/common/utils/Utils.java).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the algorithm mixes in the low 32 bits of the length"
    )]
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = word
            .iter()
            .rev()
            .fold(0, |k: u32, byte| (k << 8) | u32::from(*byte));
        k = k.wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let k = rest
            .iter()
            .rev()
            .fold(0, |k: u32, byte| (k << 8) | u32::from(*byte));
        hash = (hash ^ k).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's `UtilsTest.testMurmur2`, and the empty key.
    #[test]
    fn hashes_are_kafkas() {
        let cases: [(&[u8], i32); 8] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
            (&[12, 42, 56, 24, 109, 111], 274_204_207),
            (b"", 275_646_681),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign_bit_only() {
        let ten = NonZeroU32::new(10).expect("not zero");
        assert_eq!(partition_for(b"foobar", ten), 6);
        assert_eq!(partition_for(b"abc", ten), 7);
    }
}
