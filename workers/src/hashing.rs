//! Hashed features: the bucket and the sign of a term.
//!
//! The hash is MurmurHash3_x86_32 with seed 0 (Austin Appleby, public domain, `MurmurHash3.cpp`). Bucket and sign are
//! derived from it as in scikit-learn's `FeatureHasher`.

/// Maximum number of buckets, as in scikit-learn. A bucket and its sign fit in 32 bits, with some values left over.
pub const MAX_FEATURES: u32 = i32::MAX as u32 - 1;

/// The mapping from terms to buckets.
#[derive(Clone, Copy, Debug)]
pub struct Buckets {
    /// Number of columns, from 1 to [`MAX_FEATURES`].
    pub n_features: u32,
    /// Whether half of the terms count negatively, so that collisions cancel out on the average.
    pub alternate_sign: bool,
}

impl Buckets {
    /// The bucket and sign of a term: `bucket << 1 | negative`.
    pub fn bucket(&self, term: &[u8]) -> u32 {
        let hash = murmur3(term) as i32;
        let bucket = hash.unsigned_abs() % self.n_features;
        bucket << 1 | (self.alternate_sign && hash < 0) as u32
    }
}

/// MurmurHash3_x86_32 of `bytes` with seed 0.
pub fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |k: u32| k.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    let mut hash = 0u32;
    let (blocks, tail) = bytes.as_chunks::<4>();
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64);
    }
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    hash ^= scramble(u32::from_le_bytes(last));
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of scikit-learn's `murmurhash3_32(term, seed=0)`, and the columns of its `HashingVectorizer`.
    #[test]
    fn known_answers() {
        let long = "x".repeat(31);
        for (term, hash, column) in [
            ("", 0, 0),
            ("a", 1009084850, 354738),
            ("hello", 613153351, 784967),
            ("world", -74040069, 639749),
            ("the", -1132748958, 286878),
            ("quick", 771291085, 587725),
            ("é", 269551495, 67463),
            ("foo bar", 171088983, 171095),
            ("日本語", -1515949417, 757097),
            (long.as_str(), 771801775, 49839),
        ] {
            assert_eq!(murmur3(term.as_bytes()) as i32, hash, "{term}");
            let number = Buckets { n_features: 1 << 20, alternate_sign: true }.bucket(term.as_bytes());
            assert_eq!(number, column << 1 | (hash < 0) as u32, "{term}");
            let unsigned = Buckets { n_features: 1 << 20, alternate_sign: false }.bucket(term.as_bytes());
            assert_eq!(unsigned, column << 1);
        }
    }

    #[test]
    fn the_least_hash_has_a_bucket() {
        assert_eq!(i32::MIN.unsigned_abs() % 3, (1u32 << 31) % 3);
    }
}
