//! The row of the current document: the numbers of its terms and their counts.
//!
//! Owns the counts of the terms that have occurred in this document. Does not know how terms are looked up.

/// The number of a term that a fixed vocabulary does not contain. It counts as a token, but has no column.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// The number of a stop word. It does not count as a token.
pub(crate) const STOPPED: u32 = u32::MAX - 1;

/// One term of the current document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Posting {
    /// The term's number.
    pub number: u32,
    /// Its occurrences in this document; `u32::MAX` if there are more.
    pub count: u32,
}

impl Posting {
    /// Its occurrences as a cell's value: at most `i32::MAX`.
    #[inline]
    pub(crate) fn value(&self) -> i32 {
        self.count.min(i32::MAX as u32) as i32
    }
}

/// The row of a document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// Numbers of the terms in order of first occurrence. A number may occur twice if two spellings share it.
    numbers: Vec<u32>,
    /// Occurrences of each; `u32::MAX` if there are more. Kept apart from the numbers, since most occurrences are of a
    /// known term and access only this array.
    counts: Vec<u32>,
    /// Occurrences of terms, including unknown ones.
    pub tokens: u64,
    /// Occurrences of unknown terms.
    pub(crate) unknown: u64,
}

impl Row {
    /// Its terms, in order of first occurrence. A number may occur twice if two spellings share it.
    pub fn postings(&self) -> impl ExactSizeIterator<Item = Posting> {
        self.numbers.iter().zip(&self.counts).map(|(&number, &count)| Posting { number, count })
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.counts.clear();
        self.tokens = 0;
        self.unknown = 0;
    }

    /// Adds a term that is not in the row yet, with its number and its occurrences. Its occurrences count as tokens unless
    /// it is a stop word.
    #[inline]
    pub(super) fn add(&mut self, number: u32, count: u64) {
        match number {
            UNKNOWN => {
                self.tokens += count;
                self.unknown += count;
            }
            STOPPED => {}
            number => {
                self.tokens += count;
                self.numbers.push(number);
                self.counts.push(count.min(u32::MAX as u64) as u32);
            }
        }
    }
}

/// Occurrences that are searched for new ids before they are counted: few, so that few are found twice.
const SEARCHED: usize = 64;

/// What counts of 32 bits do not hold: pairs of an id and occurrences of it. There are few, since each stands for more
/// than four thousand million occurrences.
#[derive(Clone, Default)]
pub(super) struct Carried(Vec<(u32, u64)>);

impl Carried {
    /// Adds `times` occurrences of `id` to its count. The count is not 0 afterwards unless `times` is 0.
    #[inline]
    pub(super) fn add(&mut self, count: &mut u32, id: u32, times: u64) {
        let sum = *count as u64 + times;
        *count = u32::try_from(sum).unwrap_or_else(|_| self.carry(id, sum));
    }

    /// Keeps all but one of the `sum` occurrences of `id`.
    #[cold]
    fn carry(&mut self, id: u32, sum: u64) -> u32 {
        self.0.push((id, sum - 1));
        1
    }

    /// All occurrences of `id`, whose count is `count`.
    #[inline]
    pub(super) fn total(&self, id: u32, count: u32) -> u64 {
        self.0.iter().filter(|carried| carried.0 == id).fold(count as u64, |sum, carried| sum + carried.1)
    }
}

/// The occurrences in the current document of things that have ids from 0 on.
#[derive(Default)]
pub(super) struct Occurrences {
    /// Occurrences of each id, without those in `carried`.
    counts: Vec<u32>,
    carried: Carried,
    /// The ids that have occurred, in order of first occurrence. A few are in it twice.
    ids: Vec<u32>,
}

impl Occurrences {
    /// Counts one occurrence of each of `ids`, which are below `end`.
    #[inline]
    pub(super) fn count(&mut self, ids: &[u32], end: usize) {
        if self.counts.len() < end {
            self.counts.resize(end.next_power_of_two(), 0);
        }
        for ids in ids.chunks(SEARCHED) {
            // Two loops: in one, each load would wait for the addresses of all stores before it. So an id that occurs for
            // the first time and again in the same chunk is appended again.
            let mut first = self.ids.len();
            self.ids.resize(first + ids.len(), 0);
            for &id in ids {
                self.ids[first] = id;
                first += (self.counts[id as usize] == 0) as usize;
            }
            self.ids.truncate(first);
            for &id in ids {
                self.carried.add(&mut self.counts[id as usize], id, 1);
            }
        }
    }

    /// Calls `each` with each id that has occurred and its occurrences, in order of first occurrence, and forgets them.
    pub(super) fn take(&mut self, mut each: impl FnMut(u32, u64)) {
        let carried = std::mem::take(&mut self.carried);
        for id in self.ids.drain(..) {
            match std::mem::take(&mut self.counts[id as usize]) {
                0 => {}
                count => each(id, carried.total(id, count)),
            }
        }
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        (self.counts.capacity() + self.ids.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn occurrences_are_those_of_each_document(
            documents in proptest::collection::vec(proptest::collection::vec(0u32..50, 0..300), 1..5),
            group in 1usize..200,
        ) {
            let mut occurrences = Occurrences::default();
            for ids in &documents {
                let mut expected: Vec<(u32, u64)> = Vec::new();
                for &id in ids {
                    match expected.iter_mut().find(|(known, _)| *known == id) {
                        Some((_, count)) => *count += 1,
                        None => expected.push((id, 1)),
                    }
                }
                ids.chunks(group).for_each(|ids| occurrences.count(ids, 50));
                let mut found = Vec::new();
                occurrences.take(|id, count| found.push((id, count)));
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn occurrences_beyond_32_bits_are_counted() {
        let mut occurrences = Occurrences::default();
        for _ in 0..2 {
            occurrences.count(&[3, 5, 3], 6);
            for _ in 0..2 {
                // As many occurrences as 32 bits hold, and two more: twice.
                occurrences.counts[3] = u32::MAX;
                occurrences.count(&[3, 3], 6);
            }
            let mut found = Vec::new();
            occurrences.take(|id, count| found.push((id, count)));
            assert_eq!(found, [(3, 2 * u32::MAX as u64 + 2), (5, 1)]);
        }
    }

    #[test]
    fn stop_words_and_unknown_terms_are_not_in_the_row() {
        let mut row = Row::default();
        for (number, count) in [(4, 2), (STOPPED, 3), (UNKNOWN, 5), (1, u64::MAX >> 1)] {
            row.add(number, count);
        }
        assert!(row.postings().eq([Posting { number: 4, count: 2 }, Posting { number: 1, count: u32::MAX }]));
        assert_eq!((row.tokens, row.unknown), (7 + (u64::MAX >> 1), 5));
    }
}
