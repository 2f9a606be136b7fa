//! The table under all counters: an open-addressed map from a term's bytes, or from a pair of ids, to an entry.
//!
//! A term of up to 16 bytes is its own key, loaded as two words; a longer one is found by a 64-bit digest and its
//! bytes. The hash is the folded product of two words and a seed, as in wyhash (Wang Yi, 2019, public domain). The
//! seed differs from run to run, so that no corpus can be made to collide; nothing that is written depends on it.

use crate::analyzer::PADDING;
use bytemuck::{Pod, Zeroable};
use std::hash::{BuildHasher, RandomState};

/// An entry, half a cache line; its slot is empty if all is zero.
#[derive(Clone, Copy, Pod, Zeroable, Debug)]
#[repr(C)]
pub struct Entry {
    /// The bytes of a short term; the digest of a long one and its place in the arena; a pair of ids.
    key: [u64; 2],
    /// Length in bytes plus one; 0 in an empty slot.
    size: u32,
    /// For the owner: what the term is numbered.
    pub number: u32,
    /// For the owner: the last document with this term.
    pub document: u32,
    /// For the owner: the term's place in that document's row.
    pub position: u32,
}

/// Slots of a table with its first entry.
const FIRST_SLOTS: usize = 1 << 12;

/// The size of an entry that is found by a pair of ids: no term is that long.
const PAIR: u32 = u32::MAX;

/// Words to keep of a 16-byte load for its first `n` bytes, for `n` from 0 to 16.
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

/// The table.
pub struct Slots {
    entries: Vec<Entry>,
    used: usize,
    seed: [u64; 2],
    /// The bytes of the long terms.
    long: Vec<u8>,
}

impl Slots {
    /// An empty table. Nothing of size is allocated before the first entry.
    pub fn new() -> Self {
        let state = RandomState::new();
        Slots { entries: Vec::new(), used: 0, seed: [state.hash_one(1), state.hash_one(2)], long: Vec::new() }
    }

    /// Bytes that the table takes.
    pub fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.long.capacity()
    }

    /// Empties the table and gives its memory back.
    pub fn clear(&mut self) {
        self.entries = Vec::new();
        self.long = Vec::new();
        self.used = 0;
    }

    /// Sets every entry's document to 0.
    pub fn wipe_documents(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.document = 0);
    }

    /// The entry of the term `padded[..length]`, and whether it is new: then the owner's fields are 0. `padded` is
    /// at least [`PADDING`] bytes long.
    #[inline]
    pub fn term(&mut self, padded: &[u8], length: usize) -> (&mut Entry, bool) {
        if length > PADDING {
            return self.long_term(&padded[..length]);
        }
        let kept = KEPT[length];
        let bytes: &[u8; PADDING] = padded[..PADDING].try_into().expect("a term is padded");
        let key = [word(bytes, 0) & kept[0], word(bytes, 8) & kept[1]];
        self.short(key, length as u32 + 1)
    }

    /// The entry of a pair of ids, and whether it is new.
    #[inline]
    pub fn pair(&mut self, first: u32, second: u32) -> (&mut Entry, bool) {
        self.short([(first as u64) << 32 | second as u64, 0], PAIR)
    }

    #[inline]
    fn short(&mut self, key: [u64; 2], size: u32) -> (&mut Entry, bool) {
        self.make_room();
        let slot = self.find(key, |entry| entry.key == key && entry.size == size);
        self.entry(slot, key, size)
    }

    #[cold]
    #[inline(never)]
    fn long_term(&mut self, term: &[u8]) -> (&mut Entry, bool) {
        self.make_room();
        let digest = self.digest(term);
        let size = term.len() as u32 + 1;
        let slot = self.find([digest, 0], |entry| {
            entry.key[0] == digest
                && entry.size == size
                && self.long[entry.key[1] as usize..][..term.len()] == *term
        });
        let place = self.long.len() as u64;
        if self.entries[slot].size == 0 {
            self.long.extend_from_slice(term);
        }
        self.entry(slot, [digest, place], size)
    }

    /// The slot with the entry, or the empty one where it belongs. `hashed` is what is hashed of its key.
    #[inline]
    fn find(&self, hashed: [u64; 2], is_it: impl Fn(&Entry) -> bool) -> usize {
        let mask = self.entries.len() - 1;
        let mut slot = self.hash(hashed) as usize & mask;
        loop {
            let entry = &self.entries[slot];
            if entry.size == 0 || is_it(entry) {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The entry in `slot`, made if the slot is empty.
    #[inline]
    fn entry(&mut self, slot: usize, key: [u64; 2], size: u32) -> (&mut Entry, bool) {
        let entry = &mut self.entries[slot];
        let is_new = entry.size == 0;
        if is_new {
            *entry = Entry { key, size, number: 0, document: 0, position: 0 };
            self.used += 1;
        }
        (entry, is_new)
    }

    #[inline]
    fn make_room(&mut self) {
        if self.used * 2 >= self.entries.len() {
            self.grow();
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let bigger = vec![Entry::zeroed(); (self.entries.len() * 2).max(FIRST_SLOTS)];
        let old = std::mem::replace(&mut self.entries, bigger);
        let mask = self.entries.len() - 1;
        for entry in old.iter().filter(|entry| entry.size != 0) {
            let is_long = entry.size as usize > PADDING + 1 && entry.size != PAIR;
            let hashed = if is_long { [entry.key[0], 0] } else { entry.key };
            let mut slot = self.hash(hashed) as usize & mask;
            while self.entries[slot].size != 0 {
                slot = (slot + 1) & mask;
            }
            self.entries[slot] = *entry;
        }
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
