//! The map from a pair of ids to an entry: a run of words and the word that extends it.

use super::row::LastSeen;
use super::table::{self, Entry as _, GROUP, Table, fold, seed};
use bytemuck::{Pod, Zeroable};

/// An entry. All zero means a free slot.
#[derive(Clone, Copy, Pod, Zeroable, Debug)]
#[repr(C)]
pub(crate) struct Pair {
    key: [u32; 2],
    /// The pair's own id plus one; ids count from 0 in order of first occurrence. 0 in a free slot.
    id: u32,
    /// For the owner: the pair's number.
    pub(crate) number: u32,
    /// For the owner: the last document that contains the pair.
    pub(crate) seen: LastSeen,
}

impl Pair {
    /// The pair's own id.
    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.id - 1
    }
}

impl table::Entry for Pair {
    #[inline]
    fn is_free(&self) -> bool {
        self.id == 0
    }
}

/// The map.
pub(crate) struct Pairs {
    table: Table<Pair>,
    seed: [u64; 2],
}

impl Pairs {
    /// An empty map.
    pub(crate) fn new() -> Self {
        Pairs { table: Table::new(), seed: seed() }
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.table.bytes()
    }

    /// Removes all entries and frees the memory.
    pub(crate) fn clear(&mut self) {
        self.table = Table::new();
    }

    /// Forgets the last document of each pair.
    pub(crate) fn wipe_documents(&mut self) {
        self.table.slots_mut().iter_mut().for_each(|pair| pair.seen = LastSeen::default());
    }

    /// Calls `found` with the place of each pair in `firsts` and `seconds` (which have the same length), its entry, and
    /// whether it is new. The owner's fields of a new entry are 0.
    #[inline]
    pub(crate) fn look_up(
        &mut self,
        firsts: &[u32],
        seconds: &[u32],
        mut found: impl FnMut(usize, &mut Pair, bool),
    ) {
        let seed = self.seed;
        let mut hashes = [0; GROUP];
        let mut base = 0;
        for (firsts, seconds) in firsts.chunks(GROUP).zip(seconds.chunks(GROUP)) {
            self.table.make_room(firsts.len(), |pair| hash(seed, pair.key));
            for ((slot, &first), &second) in hashes.iter_mut().zip(firsts).zip(seconds) {
                *slot = hash(seed, [first, second]);
                self.table.prefetch(*slot);
            }
            for (place, (&first, &second)) in firsts.iter().zip(seconds).enumerate() {
                let (key, id) = ([first, second], self.table.len() as u32 + 1);
                let make = || Pair { key, id, number: 0, seen: LastSeen::default() };
                let is_it = |pair: &Pair| pair.key == key && !pair.is_free();
                let (pair, is_new) = self.table.entry(hashes[place], is_it, make);
                found(base + place, pair, is_new);
            }
            base += firsts.len();
        }
    }
}

#[inline]
fn hash(seed: [u64; 2], key: [u32; 2]) -> u64 {
    fold(((key[0] as u64) << 32 | key[1] as u64) ^ seed[0], seed[1])
}
