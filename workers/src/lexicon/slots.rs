//! The map from a term's bytes to an entry.
//!
//! A term of up to 16 bytes is its own key, loaded as two words. A longer term is found by a 64-bit digest and its
//! bytes. Terms come in groups: the slots of a whole group are prefetched before the first one is accessed.

use super::row::LastSeen;
use super::table::{self, GROUP, Table, fold, seed};
use crate::analyzer::{PADDING, Span};
use bytemuck::{Pod, Zeroable};

/// An entry, half a cache line. All zero means a free slot.
#[derive(Clone, Copy, Pod, Zeroable, Debug)]
#[repr(C)]
pub(crate) struct Entry {
    /// The bytes of a short term; for a long term, its digest and its place in the arena.
    key: [u64; 2],
    /// Length in bytes plus one. 0 in a free slot.
    size: u32,
    /// For the owner: the term's number.
    pub(crate) number: u32,
    /// For the owner: the last document that contains the term.
    pub(crate) seen: LastSeen,
}

impl table::Entry for Entry {
    #[inline]
    fn is_free(&self) -> bool {
        self.size == 0
    }
}

impl Entry {
    fn new(key: [u64; 2], length: usize) -> Self {
        Entry { key, size: length as u32 + 1, number: 0, seen: LastSeen::default() }
    }

    /// The part of the key that is hashed.
    fn hashed(&self) -> [u64; 2] {
        if self.size as usize > PADDING + 1 { [self.key[0], 0] } else { self.key }
    }
}

/// Masks for a 16-byte load that keep its first `n` bytes, for `n` from 0 to 16.
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

/// The map.
pub(crate) struct Slots {
    table: Table<Entry>,
    seed: [u64; 2],
    /// The bytes of the long terms.
    long: Vec<u8>,
}

impl Slots {
    /// An empty map.
    pub(crate) fn new() -> Self {
        Slots { table: Table::new(), seed: seed(), long: Vec::new() }
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.table.bytes() + self.long.capacity()
    }

    /// Removes all entries and frees the memory.
    pub(crate) fn clear(&mut self) {
        self.table = Table::new();
        self.long = Vec::new();
    }

    /// Forgets the last document of each term.
    pub(crate) fn wipe_documents(&mut self) {
        self.table.slots_mut().iter_mut().for_each(|entry| entry.seen = LastSeen::default());
    }

    /// Calls `found` with the span of each term of `text`, in order, its entry, and whether it is new. The owner's
    /// fields of a new entry are 0. From each term's first byte on, [`PADDING`] bytes of `text` must be readable.
    #[inline]
    pub(crate) fn look_up(
        &mut self,
        text: &[u8],
        spans: &[Span],
        mut found: impl FnMut(Span, &mut Entry, bool),
    ) {
        let mut keys = [([0; 2], 0); GROUP];
        for spans in spans.chunks(GROUP) {
            let seed = self.seed;
            self.table.make_room(spans.len(), |entry| hash(seed, entry.hashed()));
            for (slot, &[start, end]) in keys.iter_mut().zip(spans) {
                let key = self.key(text, start as usize, end as usize);
                let hash = hash(seed, key);
                self.table.prefetch(hash);
                *slot = (key, hash);
            }
            for (&(key, hash), &[start, end]) in keys.iter().zip(spans) {
                let length = (end - start) as usize;
                let (entry, is_new) = if length <= PADDING {
                    let size = length as u32 + 1;
                    self.table.entry(
                        hash,
                        |entry| entry.key == key && entry.size == size,
                        || Entry::new(key, length),
                    )
                } else {
                    Self::long_entry(
                        &mut self.table,
                        &mut self.long,
                        key[0],
                        hash,
                        &text[start as usize..end as usize],
                    )
                };
                found([start, end], entry, is_new);
            }
        }
    }

    /// The part of a term that is hashed: its bytes, or the digest of a long one.
    #[inline]
    fn key(&self, text: &[u8], start: usize, end: usize) -> [u64; 2] {
        let length = end - start;
        if length > PADDING {
            return [self.digest(&text[start..end]), 0];
        }
        let bytes: &[u8; PADDING] = text[start..].first_chunk().expect("a term is padded");
        let kept = KEPT[length];
        [word(bytes, 0) & kept[0], word(bytes, 8) & kept[1]]
    }

    #[inline(never)]
    fn long_entry<'a>(
        table: &'a mut Table<Entry>,
        long: &mut Vec<u8>,
        digest: u64,
        hash: u64,
        term: &[u8],
    ) -> (&'a mut Entry, bool) {
        let (size, place) = (term.len() as u32 + 1, long.len() as u64);
        let is_it = |entry: &Entry| {
            entry.key[0] == digest
                && entry.size == size
                && long[entry.key[1] as usize..][..term.len()] == *term
        };
        let (entry, is_new) = table.entry(hash, is_it, || Entry::new([digest, place], term.len()));
        if is_new {
            long.extend_from_slice(term);
        }
        (entry, is_new)
    }

    /// A 64-bit digest of a long term.
    fn digest(&self, term: &[u8]) -> u64 {
        let mut digest = self.seed[1] ^ term.len() as u64;
        let (chunks, rest) = term.as_chunks::<PADDING>();
        let mut mix = |bytes: &[u8; PADDING]| {
            digest = fold(digest ^ word(bytes, 0) ^ self.seed[0], word(bytes, 8) ^ self.seed[1]);
        };
        chunks.iter().for_each(&mut mix);
        // The last bytes, overlapping the ones before, so that none is left over.
        if let (false, Some(last)) = (rest.is_empty(), term.last_chunk()) {
            mix(last);
        }
        digest
    }
}

#[inline]
fn hash(seed: [u64; 2], key: [u64; 2]) -> u64 {
    fold(key[0] ^ seed[0], key[1] ^ seed[1])
}

#[inline]
fn word(bytes: &[u8; PADDING], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}
