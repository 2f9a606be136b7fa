//! The packed form of a row: a list of (number, value) pairs in 32-bit words, usually one word for each pair.
//!
//! A word holds the number in its upper 28 bits and the zigzag-coded value in its lower 4: 1 is coded as 2, -1 as 1, 7
//! as 14. A pair that does not fit takes three words: `ESCAPE`, the number, the value.

/// Marks a pair in the long form.
const ESCAPE: u32 = u32::MAX;

/// Bits of a value in the short form.
const VALUE_BITS: u32 = 4;

/// Appends one pair.
#[inline]
pub(crate) fn push(words: &mut Vec<u32>, number: u32, value: i32) {
    let coded = (value << 1 ^ value >> 31) as u32;
    let word = number << VALUE_BITS | coded;
    if number < 1 << (32 - VALUE_BITS) && coded < 1 << VALUE_BITS && word != ESCAPE {
        words.push(word);
    } else {
        words.extend_from_slice(&[ESCAPE, number, value as u32]);
    }
}

/// The pairs of a packed row. A truncated row ends early.
#[inline]
pub fn pairs(words: &[u32]) -> impl Iterator<Item = (u32, i32)> {
    let mut words = words.iter().copied();
    std::iter::from_fn(move || {
        let word = words.next()?;
        if word == ESCAPE {
            return Some((words.next()?, words.next()? as i32));
        }
        let coded = word & ((1 << VALUE_BITS) - 1);
        Some((word >> VALUE_BITS, (coded >> 1) as i32 ^ -((coded & 1) as i32)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_and_back(row in proptest::collection::vec(
            (prop_oneof![0u32..100, any::<u32>(), (1u32 << 28) - 2..(1 << 28) + 2],
             prop_oneof![-9i32..9, any::<i32>()]), 0..50)) {
            let mut words = Vec::new();
            row.iter().for_each(|&(number, value)| push(&mut words, number, value));
            prop_assert_eq!(pairs(&words).collect::<Vec<_>>(), row);
        }
    }

    #[test]
    fn small_counts_take_one_word() {
        let mut words = Vec::new();
        (1..=7).for_each(|count| push(&mut words, 1000, count));
        assert_eq!(words.len(), 7);
        assert_eq!(pairs(&[ESCAPE, 1]).count(), 0);
    }
}
