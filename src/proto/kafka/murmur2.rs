//! Murmur2 as Kafka's Java client uses it to place keyed records.
//!
//! Every client that places keys the Java way agrees on these values, so a key keeps its partition
//! whoever writes it. Source: Austin Appleby's MurmurHash2 (32 bit) with the seed of Kafka's
//! `Utils.murmur2`.

use std::num::NonZeroU32;

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;
const R: u32 = 24;

/// The hash of `key`.
pub fn murmur2(key: &[u8]) -> u32 {
    // Kafka's arrays have 32-bit lengths; of a longer key the length wraps like theirs would.
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of `key` among `partition_count`, as Java's default partitioner chooses it.
pub fn partition_of(key: &[u8], partition_count: NonZeroU32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partition_count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_the_vectors_of_kafkas_own_tests() {
        let vectors: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key) as i32, hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn a_negative_hash_is_made_positive_by_its_mask_not_by_its_sign() {
        let seven = NonZeroU32::new(7).unwrap();
        assert_eq!(partition_of(b"21", seven), ((-973_932_308_i32) & 0x7fff_ffff) as u32 % 7);
    }
}
