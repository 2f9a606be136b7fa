//! Open addressing with linear probing, under all tables of the lexicon (Knuth, The Art of Computer Programming,
//! volume 3, section 6.4, algorithm L). Owns the placement of entries; does not know their contents.

use super::pages::{Pages, prefetch};
use bytemuck::Pod;

/// An entry of a table. All zero means a free slot.
pub(crate) trait Entry: Pod {
    /// Whether the slot is free.
    fn is_free(&self) -> bool;
}

/// Entries that are prefetched before the first of them is accessed: enough to hide a cache miss, few enough to stay in
/// the cache.
pub(crate) const GROUP: usize = 32;

/// Slots of a table when it gets its first entry.
const FIRST_SLOTS: usize = 1 << 12;

/// Bytes up to which a table grows to four times its slots: 8 MiB. Each growth moves all entries and needs new pages.
const QUADRUPLED: usize = 8 << 20;

/// A table. Its owner hashes and compares entries.
pub(crate) struct Table<E> {
    entries: Pages<E>,
    used: usize,
}

impl<E: Entry> Table<E> {
    /// An empty table. Nothing is allocated before the first entry.
    pub(crate) const fn new() -> Self {
        Table { entries: Pages::none(), used: 0 }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes()
    }

    /// Makes room for `more` entries with at most five of eight slots in use. `hash` is the owner's hash function.
    #[inline]
    pub(crate) fn make_room(&mut self, more: usize, hash: impl Fn(&E) -> u64) {
        if (self.used + more) * 8 > self.entries.all().len() * 5 {
            self.grow(more, hash);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize, hash: impl Fn(&E) -> u64) {
        let four_times = 4 * self.entries.all().len();
        let slots = ((self.used + more) * 8 / 5 + 1).next_power_of_two().max(FIRST_SLOTS);
        let slots = if four_times * size_of::<E>() <= QUADRUPLED { slots.max(four_times) } else { slots };
        let old = std::mem::replace(&mut self.entries, Pages::zeroed(slots));
        let (entries, mask) = (self.entries.all_mut(), slots - 1);
        for entry in old.all().iter().filter(|entry| !entry.is_free()) {
            let mut slot = hash(entry) as usize & mask;
            while !entries[slot].is_free() {
                slot = (slot + 1) & mask;
            }
            entries[slot] = *entry;
        }
    }

    /// Prefetches the slot where the search for a hash begins.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let entries = self.entries.all();
        prefetch(entries, hash as usize & entries.len().wrapping_sub(1));
    }

    /// The slot where the search for a hash begins. The table has slots.
    #[inline]
    pub(crate) fn home(&self, hash: u64) -> &E {
        let entries = self.entries.all();
        &entries[hash as usize & (entries.len() - 1)]
    }

    /// The entry for which `is_it` returns true, or else the first free slot, which `make` fills; and whether it did. The
    /// caller makes room with [`Table::make_room`] first.
    #[inline]
    pub(crate) fn entry(
        &mut self,
        hash: u64,
        is_it: impl Fn(&E) -> bool,
        make: impl FnOnce() -> E,
    ) -> (&mut E, bool) {
        let entries = self.entries.all_mut();
        let mask = entries.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            if is_it(&entries[slot]) {
                return (&mut entries[slot], false);
            }
            if entries[slot].is_free() {
                self.used += 1;
                entries[slot] = make();
                return (&mut entries[slot], true);
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// Combines both halves of the product, so that every bit of either word affects the low bits, as in wyhash (Wang Yi,
/// 2019, public domain).
#[inline]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// Two random words, different in each run, so that no corpus can be made to cause collisions. No output depends on
/// them.
pub(crate) fn seed() -> [u64; 2] {
    use std::hash::{BuildHasher, RandomState};
    let state = RandomState::new();
    [state.hash_one(1), state.hash_one(2)]
}
