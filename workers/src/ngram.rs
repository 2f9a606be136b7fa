//! N-grams by the numbers of their words: how a record lists them, and the integers that they are sorted as.
//!
//! A list holds the ids of each n-gram's words, with a mark at the last one. A key holds the ranks of the words among all
//! words, in as few bits as suffice for each. Words are joined by one space, and no byte of a word is as small as a space.
//! So n-grams compare as the tuples of their words do, and these as their keys: a shorter n-gram is before all that begin
//! with it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Marks the last word of an n-gram in a list.
const LAST: u32 = 1 << 31;

/// Appends the n-gram of these word ids to a list.
#[inline]
pub(crate) fn push(list: &mut Vec<u32>, words: &[u32]) {
    list.extend_from_slice(words);
    if let Some(last) = list.last_mut() {
        *last |= LAST;
    }
}

/// The n-grams of a list. A truncated one, at its end, is one, too.
#[inline]
pub(crate) fn ngrams(list: &[u32]) -> impl Iterator<Item = &[u32]> {
    list.split_inclusive(|&word| word & LAST != 0)
}

/// The word ids of an n-gram of a list.
#[inline]
pub(crate) fn word_ids(ngram: &[u32]) -> impl Iterator<Item = u32> {
    ngram.iter().map(|&word| word & !LAST)
}

/// The layout of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packing {
    /// Bits of a rank.
    bits: u32,
    /// Ranks in each integer of a key.
    per_integer: u32,
    /// The number of words of the longest n-gram.
    size: usize,
}

impl Packing {
    /// Keys for n-grams of up to `size` words with ranks below `ranks`.
    pub fn new(ranks: u32, size: usize) -> Self {
        // A rank is stored plus one; no key is all ones.
        let bits = u64::BITS - (ranks as u64 + 1).leading_zeros();
        Packing { bits, per_integer: u64::BITS / bits, size: size.max(1) }
    }

    /// Integers of a key.
    pub fn width(self) -> usize {
        self.size.div_ceil(self.per_integer as usize)
    }

    /// Sets `key` to the key of the n-gram whose words have these ranks.
    #[inline]
    pub(crate) fn pack(self, ranks: impl Iterator<Item = u32>, key: &mut [u64]) {
        key.fill(0);
        let (mut at, mut shift) = (0, u64::BITS);
        for rank in ranks.take(self.size) {
            if shift < self.bits {
                (at, shift) = (at + 1, u64::BITS);
            }
            shift -= self.bits;
            key[at] |= (rank as u64 + 1) << shift;
        }
    }

    /// The ranks of the words of the n-gram with this key.
    #[inline]
    pub(crate) fn unpack(self, key: &[AtomicU64]) -> impl Iterator<Item = u32> {
        let mask = u64::MAX >> (u64::BITS - self.bits);
        let ranks = key.iter().flat_map(move |integer| {
            let integer = integer.load(Ordering::Relaxed);
            let shifts = (1..=self.per_integer).map(move |place| u64::BITS - place * self.bits);
            shifts.map(move |shift| integer >> shift & mask)
        });
        ranks.map_while(|rank| rank.checked_sub(1).map(|rank| rank as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(packing: Packing, ranks: &[u32]) -> Vec<u64> {
        let mut key = vec![7; packing.width()];
        packing.pack(ranks.iter().copied(), &mut key);
        key
    }

    proptest! {
        #[test]
        fn lists_come_back(ngrams_in in proptest::collection::vec(proptest::collection::vec(0..LAST, 1..5), 0..9)) {
            let mut list = Vec::new();
            ngrams_in.iter().for_each(|ngram| push(&mut list, ngram));
            let found: Vec<Vec<u32>> = ngrams(&list).map(|ngram| word_ids(ngram).collect()).collect();
            prop_assert_eq!(found, ngrams_in);
        }

        /// Keys come back, and compare as the tuples do and as the n-grams' spellings.
        #[test]
        fn keys_compare_as_spellings(
            words in proptest::collection::btree_set("[!-~é]{1,3}", 1..9), size in 1usize..8, spare in 0u32..34,
            one in proptest::collection::vec(any::<prop::sample::Index>(), 1..8),
            other in proptest::collection::vec(any::<prop::sample::Index>(), 1..8),
        ) {
            let words: Vec<String> = words.into_iter().collect();
            // Ranks of any number of bits.
            let high = (1u64 << spare).min(u32::MAX as u64 - 1 - words.len() as u64) as u32;
            let ranks = high + words.len() as u32;
            let packing = Packing::new(ranks, size);
            let ngram = |places: &[prop::sample::Index]| {
                let places: Vec<usize> = places.iter().take(size).map(|place| place.index(words.len())).collect();
                let spelled = places.iter().map(|&place| words[place].as_str()).collect::<Vec<_>>().join(" ");
                (places.iter().map(|&place| place as u32 + high).collect::<Vec<u32>>(), spelled)
            };
            let ((one, one_spelled), (other, other_spelled)) = (ngram(&one), ngram(&other));
            let (one_key, other_key) = (key(packing, &one), key(packing, &other));
            prop_assert_eq!(one_key.cmp(&other_key), one_spelled.cmp(&other_spelled));
            let atomics: Vec<AtomicU64> = one_key.iter().map(|&integer| AtomicU64::new(integer)).collect();
            prop_assert_eq!(packing.unpack(&atomics).collect::<Vec<_>>(), one);
            prop_assert!(one_key[0] < u64::MAX);
        }
    }
}
