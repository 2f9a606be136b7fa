//! The map from a pair of ids to an id: a run of words and the word that extends it.

use super::table::{self, GROUP, Table, fold, seed};
use bytemuck::{Pod, Zeroable};

/// An entry. All zero means a free slot.
#[derive(Clone, Copy, Pod, Zeroable, Debug)]
#[repr(C)]
struct Pair {
    key: [u32; 2],
    /// The pair's id.
    id: u32,
    /// 1 for an entry, 0 for a free slot.
    is_taken: u32,
}

impl table::Entry for Pair {
    #[inline]
    fn is_free(&self) -> bool {
        self.is_taken == 0
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

    /// The number of pairs.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.table.bytes()
    }

    /// Removes all entries and frees the memory.
    pub(crate) fn clear(&mut self) {
        self.table = Table::new();
    }

    /// Appends the ids of the pairs of `firsts` and `seconds` (which have the same length) to `ids`. A new pair gets the
    /// id that `new` returns for its place in them.
    #[inline]
    pub(crate) fn look_up(
        &mut self,
        firsts: &[u32],
        seconds: &[u32],
        ids: &mut Vec<u32>,
        mut new: impl FnMut(usize) -> u32,
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
                let key = [first, second];
                let is_it = |pair: &Pair| pair.key == key && pair.is_taken != 0;
                let make = || Pair { key, id: new(base + place), is_taken: 1 };
                ids.push(self.table.entry(hashes[place], is_it, make).0.id);
            }
            base += firsts.len();
        }
    }
}

#[inline]
fn hash(seed: [u64; 2], key: [u32; 2]) -> u64 {
    fold(((key[0] as u64) << 32 | key[1] as u64) ^ seed[0], seed[1])
}
