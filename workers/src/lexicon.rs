//! A worker's lexicon: term -> number, and the row of the document at hand.
//!
//! An open-addressed table, probed once an occurrence. A term of up to 16 bytes is its own key, loaded as two
//! words; a longer one is found by a 64-bit digest and its bytes. An entry remembers the last document it occurred
//! in and its place in that document's row, so that a repeated term costs one probe and no search. What a term's
//! number is, a [`Numbering`] says: a local id, or the bucket it hashes to.
//!
//! The hash is the folded product of two words and a seed, as in wyhash (Wang Yi, 2019, public domain). The seed
//! differs from run to run, so that no corpus can be made to collide; nothing that is written depends on it.

use crate::analyzer::{PADDING, TermSink};
use bytemuck::{Pod, Zeroable};
use std::hash::{BuildHasher, RandomState};

/// Gives a number to each term that the lexicon did not know.
pub trait Numbering {
    /// The number of `term`, seen for the first time.
    fn number(&mut self, term: &[u8]) -> u32;
}

/// One term of the document at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Posting {
    /// The term's number.
    pub number: u32,
    /// Its occurrences in this document.
    pub count: u32,
}

/// A slot of the table, half a cache line; empty if all zero.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Entry {
    /// The bytes of a short term; the digest of a long one and its place in the arena.
    key: [u64; 2],
    /// Length in bytes plus one; 0 in an empty slot.
    size: u32,
    number: u32,
    /// The last document with this term, counted from 1.
    document: u32,
    /// The term's place in that document's row.
    position: u32,
}

/// Slots of a new table.
const FIRST_SLOTS: usize = 1 << 12;

/// Words to keep of the first `n` bytes of a 16-byte load, for `n` from 0 to 16.
const KEPT: [[u64; 2]; PADDING + 1] = {
    let mut kept = [[0; 2]; PADDING + 1];
    let mut n = 1;
    while n <= PADDING {
        kept[n] = if n < 8 {
            [(1 << (8 * n)) - 1, 0]
        } else if n < 16 {
            [u64::MAX, (1 << (8 * (n - 8))) - 1]
        } else {
            [u64::MAX; 2]
        };
        n += 1;
    }
    kept
};

/// Terms and their numbers, and the row of one document.
pub struct Lexicon<N> {
    slots: Vec<Entry>,
    used: usize,
    seed: [u64; 2],
    /// The bytes of the long terms.
    long: Vec<u8>,
    document: u32,
    row: Vec<Posting>,
    tokens: u64,
    numbering: N,
}

impl<N: Numbering> Lexicon<N> {
    /// An empty lexicon. Nothing of size is allocated before the first term.
    pub fn new(numbering: N) -> Self {
        let state = RandomState::new();
        Lexicon {
            slots: Vec::new(),
            used: 0,
            seed: [state.hash_one(1), state.hash_one(2)],
            long: Vec::new(),
            document: 0,
            row: Vec::new(),
            tokens: 0,
            numbering,
        }
    }

    /// Forgets the row and starts a new one. Called before each document.
    pub fn begin_document(&mut self) {
        if self.document == u32::MAX {
            self.slots.iter_mut().for_each(|entry| entry.document = 0);
            self.document = 0;
        }
        self.document += 1;
        self.row.clear();
        self.tokens = 0;
    }

    /// The row of the document at hand: its distinct terms in order of first occurrence.
    pub fn row(&self) -> &[Posting] {
        &self.row
    }

    /// Occurrences of terms in the document at hand.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Bytes that the lexicon takes.
    pub fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Entry>() + self.long.capacity()
    }

    /// Empties the table. Only for a numbering that gives a term the same number again.
    pub fn clear(&mut self) {
        self.slots = Vec::new();
        self.long = Vec::new();
        self.used = 0;
    }

    /// What gives the numbers.
    pub fn numbering(&mut self) -> &mut N {
        &mut self.numbering
    }

    #[inline]
    fn hash(&self, key: [u64; 2]) -> u64 {
        fold(key[0] ^ self.seed[0], key[1] ^ self.seed[1])
    }

    /// 64 bits of a long term.
    fn digest(&self, term: &[u8]) -> u64 {
        let mut digest = self.seed[1] ^ term.len() as u64;
        for chunk in term.chunks(16) {
            let mut bytes = [0; 16];
            bytes[..chunk.len()].copy_from_slice(chunk);
            digest = fold(digest ^ word(&bytes, 0) ^ self.seed[0], word(&bytes, 8) ^ self.seed[1]);
        }
        digest
    }

    /// The slot of the term, or the empty one where it belongs. `hashed` is what is hashed of its key.
    #[inline]
    fn find(&self, hashed: [u64; 2], is_it: impl Fn(&Entry) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hash(hashed) as usize & mask;
        loop {
            let entry = &self.slots[slot];
            if entry.size == 0 || is_it(entry) {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Counts one more occurrence of the term in `slot`, which may be new: then `key` is its key.
    #[inline]
    fn count(&mut self, slot: usize, term: &[u8], key: [u64; 2]) {
        let entry = &mut self.slots[slot];
        if entry.document == self.document {
            self.row[entry.position as usize].count += 1;
            return;
        }
        if entry.size == 0 {
            *entry = Entry {
                key,
                size: term.len() as u32 + 1,
                number: self.numbering.number(term),
                document: 0,
                position: 0,
            };
            self.used += 1;
        }
        entry.document = self.document;
        entry.position = self.row.len() as u32;
        self.row.push(Posting { number: entry.number, count: 1 });
    }

    #[cold]
    #[inline(never)]
    fn long_term(&mut self, term: &[u8]) {
        let digest = self.digest(term);
        let size = term.len() as u32 + 1;
        let slot = self.find([digest, 0], |entry| {
            entry.key[0] == digest
                && entry.size == size
                && self.long[entry.key[1] as usize..][..term.len()] == *term
        });
        let place = self.long.len() as u64;
        if self.slots[slot].size == 0 {
            self.long.extend_from_slice(term);
        }
        self.count(slot, term, [digest, place]);
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let bigger = vec![Entry::zeroed(); (self.slots.len() * 2).max(FIRST_SLOTS)];
        let old = std::mem::replace(&mut self.slots, bigger);
        let mask = self.slots.len() - 1;
        for entry in old.iter().filter(|entry| entry.size != 0) {
            let hashed = if entry.size as usize > PADDING + 1 { [entry.key[0], 0] } else { entry.key };
            let mut slot = self.hash(hashed) as usize & mask;
            while self.slots[slot].size != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = *entry;
        }
    }
}

impl<N: Numbering> TermSink for Lexicon<N> {
    #[inline]
    fn term(&mut self, padded: &[u8], length: usize) {
        self.tokens += 1;
        if self.used * 2 >= self.slots.len() {
            self.grow();
        }
        if length > PADDING {
            return self.long_term(&padded[..length]);
        }
        let kept = KEPT[length];
        let bytes: &[u8; PADDING] = padded[..PADDING].try_into().expect("a term is padded");
        let key = [word(bytes, 0) & kept[0], word(bytes, 8) & kept[1]];
        let size = length as u32 + 1;
        let slot = self.find(key, |entry| entry.key == key && entry.size == size);
        self.count(slot, &padded[..length], key);
    }
}

#[inline]
fn word(bytes: &[u8; PADDING], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Both halves of the product, so that every bit of either word moves the low bits.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[derive(Default)]
    struct Ids(Vec<Vec<u8>>);

    impl Numbering for Ids {
        fn number(&mut self, term: &[u8]) -> u32 {
            self.0.push(term.to_vec());
            self.0.len() as u32 - 1
        }
    }

    fn give(lexicon: &mut Lexicon<Ids>, term: &[u8]) {
        let mut padded = term.to_vec();
        // What lies behind a term must mean nothing.
        padded.extend_from_slice(&[0xEE; PADDING]);
        lexicon.term(&padded, term.len());
    }

    proptest! {
        #[test]
        fn counts_as_a_map_does(documents in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(0u8..3, 0..40), 0..60), 1..8)) {
            let mut lexicon = Lexicon::new(Ids::default());
            for document in &documents {
                let mut expected: HashMap<Vec<u8>, u32> = HashMap::new();
                lexicon.begin_document();
                for term in document {
                    give(&mut lexicon, term);
                    *expected.entry(term.clone()).or_default() += 1;
                }
                let row = lexicon.row().to_vec();
                let terms = &lexicon.numbering().0;
                let found: HashMap<Vec<u8>, u32> =
                    row.iter().map(|p| (terms[p.number as usize].clone(), p.count)).collect();
                prop_assert_eq!(row.len(), found.len());
                prop_assert_eq!(found, expected);
                prop_assert_eq!(lexicon.tokens(), document.len() as u64);
            }
        }
    }

    #[test]
    fn grows_and_forgets() {
        let mut lexicon = Lexicon::new(Ids::default());
        for round in 0..2 {
            lexicon.begin_document();
            for n in 0..20_000u32 {
                give(&mut lexicon, format!("{n}{}", "x".repeat(n as usize % 24)).as_bytes());
            }
            assert_eq!(lexicon.row().len(), 20_000);
            assert_eq!(lexicon.numbering().0.len(), 20_000, "round {round}");
        }
        lexicon.clear();
        lexicon.begin_document();
        give(&mut lexicon, b"0");
        assert_eq!(lexicon.row(), [Posting { number: 20_000, count: 1 }]);
    }

    #[test]
    fn a_term_of_zero_bytes_is_a_term() {
        let mut lexicon = Lexicon::new(Ids::default());
        lexicon.begin_document();
        for term in [&b""[..], b"\0", b"\0\0", b"", &[0; 16], &[0; 17]] {
            give(&mut lexicon, term);
        }
        assert_eq!(lexicon.row().len(), 5);
        assert_eq!(lexicon.row()[0].count, 2);
    }
}
