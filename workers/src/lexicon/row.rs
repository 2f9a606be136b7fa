//! The row of the current document: the numbers of its terms and their counts.
//!
//! Owns the stamps that mark whether a term has occurred in this document. Does not know how terms are looked up.

use bytemuck::{Pod, Zeroable};

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

    /// Adds a term that the row does not contain, with `count` occurrences.
    #[inline]
    pub(super) fn add(&mut self, number: u32, count: u32) {
        self.tokens += count as u64;
        match number {
            UNKNOWN => self.unknown += count as u64,
            number => {
                self.numbers.push(number);
                self.counts.push(count);
            }
        }
    }

    /// Counts `times` occurrences of the term with number `number` and last occurrence `seen`.
    #[inline]
    pub(super) fn count(&mut self, stamp: Stamp, number: u32, seen: &mut LastSeen, times: u32) {
        self.tokens += times as u64;
        if seen.document == stamp.0 {
            let count = &mut self.counts[seen.position as usize];
            *count = count.saturating_add(times);
            return;
        }
        match number {
            UNKNOWN => self.unknown += times as u64,
            STOPPED => self.tokens -= times as u64,
            number => {
                *seen = LastSeen { document: stamp.0, position: self.counts.len() as u32 };
                self.numbers.push(number);
                self.counts.push(times);
            }
        }
    }
}

/// The last document that contains a term, and the term's place in its row. So a repeated term needs no search.
#[derive(Clone, Copy, Pod, Zeroable, Default, Debug)]
#[repr(C)]
pub(crate) struct LastSeen {
    /// The document's stamp; 0 for no document.
    pub(super) document: u32,
    /// The place in its row.
    pub(super) position: u32,
}

/// The current document, counted from 1. An entry with this stamp belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Stamp(pub(super) u32);

impl Stamp {
    /// Advances to the next document. Returns true if stamps begin again at 1, and all old ones must be wiped.
    pub(super) fn advance(&mut self) -> bool {
        let wraps = self.0 == u32::MAX;
        self.0 = if wraps { 1 } else { self.0 + 1 };
        wraps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_ends_where_its_number_does() {
        let (mut row, mut seen) = (Row::default(), LastSeen::default());
        (0..3).for_each(|_| row.count(Stamp(1), 7, &mut seen, u32::MAX - 1));
        assert!(row.postings().eq([Posting { number: 7, count: u32::MAX }]));
        assert_eq!(row.tokens, 3 * (u32::MAX as u64 - 1));
    }
}
