//! The map from a term's bytes to its id. Ids count from 0 in order of first occurrence.
//!
//! A term of up to 15 bytes is its own key, together with its length. A longer term is found by a 64-bit digest and its
//! bytes. Terms come in groups. A group first passes the front, a table of fixed size in the second-level cache, with the
//! last term of each slot: without a branch that depends on the terms, since a wrong guess of the processor costs more
//! than all the rest of a lookup. Only the terms that the front does not contain go on to the table of all terms, whose
//! slots are prefetched. The front affects the time only.

use super::pages::{Pages, prefetch};
use super::table::{self, Table, fold, seed};
use crate::analyzer::{PADDING, Span};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// A short term's bytes, and its length plus one in the last byte. A long term's digest, and its place in the arena
/// with `LONG` in the last byte. No term has the key 0.
type Key = [u64; 2];

/// Maximum length of a short term.
const SHORT: usize = PADDING - 1;

/// The lowest bit of a key's last byte.
const LENGTH: u32 = 56;

/// The last byte of a long term's key, at its place.
const LONG: u64 = 0xFF << LENGTH;

/// Bits of a place in the front, which takes 512 KiB.
const FRONT_BITS: u32 = 14;

/// Terms that pass the front together.
const GROUP: usize = 128;

/// Terms that are prefetched in the table before the first of them is accessed.
const MISSES: usize = table::GROUP;

/// A slot of the table. All zero means a free slot.
#[derive(Clone, Copy, Pod, Zeroable, Debug)]
#[repr(C)]
struct Slot {
    /// The term's index among the keys, which is its id plus one.
    index: u32,
    /// The low bits of the term's hash.
    tag: u32,
}

impl table::Entry for Slot {
    #[inline]
    fn is_free(&self) -> bool {
        self.index == 0
    }
}

/// A slot of the front: a short term. All zero means a free slot.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Front {
    key: Key,
    id: u32,
    /// Makes it half a cache line.
    unused: [u32; 3],
}

/// A term of the current group.
#[derive(Clone, Copy)]
struct Hashed {
    key: Key,
    hash: u64,
}

/// Masks for a 16-byte load that keep a short term's bytes, by its length, and no byte of a longer term.
const KEPT: [Key; PADDING + 1] = {
    let mut kept = [[0; 2]; PADDING + 1];
    let mut n = 1;
    while n <= SHORT {
        kept[n] = if n < 8 { [(1 << (8 * n)) - 1, 0] } else { [u64::MAX, (1 << (8 * (n - 8))) - 1] };
        n += 1;
    }
    kept
};

/// The map.
pub(crate) struct Slots {
    seed: [u64; 2],
    front: Pages<Front>,
    table: Table<Slot>,
    /// Key 0, and then the key of each term in order of their ids.
    keys: Vec<Key>,
    /// The long terms: the length of each in four bytes, then its bytes.
    long: Vec<u8>,
    /// The terms of the current group.
    hashed: Box<[Hashed; GROUP]>,
    /// The places of those that the front does not contain.
    missed: Box<[u32; GROUP]>,
}

impl Slots {
    /// An empty map. Allocates almost nothing before the first term.
    pub(crate) fn new() -> Self {
        Slots {
            seed: seed(),
            front: Pages::none(),
            table: Table::new(),
            keys: vec![[0; 2]],
            long: Vec::new(),
            hashed: Box::new([Hashed { key: [0; 2], hash: 0 }; GROUP]),
            missed: Box::new([0; GROUP]),
        }
    }

    /// The number of terms.
    pub(crate) fn len(&self) -> usize {
        self.keys.len() - 1
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        let keys = self.keys.capacity() * size_of::<Key>();
        self.front.bytes() + self.table.bytes() + keys + self.long.capacity()
    }

    /// Removes all terms and frees the memory.
    pub(crate) fn clear(&mut self) {
        *self = Slots::new();
    }

    /// Replaces `ids` with the ids of the terms of `text` at `spans`. Calls `new` with the span of each new term, in order
    /// of their ids. From each term's first byte on, [`PADDING`] bytes of `text` must be readable.
    #[inline]
    pub(crate) fn look_up(
        &mut self,
        text: &[u8],
        spans: &[Span],
        ids: &mut Vec<u32>,
        mut new: impl FnMut(Span),
    ) {
        if self.front.all().is_empty() {
            self.front = Pages::zeroed(1 << FRONT_BITS);
        }
        ids.clear();
        ids.resize(spans.len(), 0);
        for (spans, ids) in spans.chunks(GROUP).zip(ids.chunks_mut(GROUP)) {
            let hashed = &mut self.hashed[..spans.len()];
            hash_group(self.seed, text, spans, self.front.all(), hashed);
            let misses = pass_front(self.front.all(), hashed, ids, &mut self.missed);
            for first in (0..misses).step_by(MISSES) {
                self.look_up_missed(text, spans, first..misses.min(first + MISSES), ids, &mut new);
            }
        }
    }

    /// Looks up the terms of a group at some of the places in `missed` in the table, and puts the short ones into the
    /// front.
    fn look_up_missed(
        &mut self,
        text: &[u8],
        spans: &[Span],
        range: Range<usize>,
        ids: &mut [u32],
        new: &mut impl FnMut(Span),
    ) {
        let Slots { seed, front, table, keys, long, hashed, missed } = self;
        let front = front.all_mut();
        table.make_room(range.len(), |slot| slot.tag as u64);
        for &place in &missed[range.clone()] {
            let ([start, end], hashed) = (spans[place as usize], &mut hashed[place as usize]);
            if (end - start) as usize > SHORT {
                hashed.key = [digest(*seed, &text[start as usize..end as usize]), 0];
                hashed.hash = hash(*seed, hashed.key);
            }
            table.prefetch(hashed.hash as u32 as u64);
        }
        for &place in &missed[range.clone()] {
            // Most terms are at home, or nowhere.
            let tag = hashed[place as usize].hash as u32;
            let home = table.home(tag as u64);
            if home.tag == tag {
                prefetch(keys, home.index as usize);
            }
        }
        for &place in &missed[range] {
            let ([start, end], Hashed { mut key, hash }) = (spans[place as usize], hashed[place as usize]);
            let tag = hash as u32;
            let make = || Slot { index: keys.len() as u32, tag };
            let is_short = (end - start) as usize <= SHORT;
            let (slot, is_new) = if is_short {
                let is_it = |slot: &Slot| slot.tag == tag && keys[slot.index as usize] == key;
                table.entry(tag as u64, is_it, make)
            } else {
                let term = &text[start as usize..end as usize];
                let is_it =
                    |slot: &Slot| slot.tag == tag && is_long(keys[slot.index as usize], key[0], term, long);
                table.entry(tag as u64, is_it, make)
            };
            let index = slot.index;
            let id = index - 1;
            if is_new {
                if !is_short {
                    key[1] = LONG | long.len() as u64;
                    long.extend_from_slice(&(end - start).to_le_bytes());
                    long.extend_from_slice(&text[start as usize..end as usize]);
                }
                keys.push(key);
                new([start, end]);
            }
            if is_short {
                front[front_slot(hash)] = Front { key, id, unused: [0; 3] };
            }
            ids[place as usize] = id;
        }
    }
}

/// Computes the keys and the hashes of a group of short terms, and prefetches their slots in the front. Those of long terms
/// have no meaning.
#[inline(never)]
fn hash_group(seed: [u64; 2], text: &[u8], spans: &[Span], front: &[Front], hashed: &mut [Hashed]) {
    for (&span, hashed) in spans.iter().zip(hashed) {
        let key = short_key(text, span);
        *hashed = Hashed { key, hash: hash(seed, key) };
        prefetch(front, front_slot(hashed.hash));
    }
}

/// Writes the ids of the terms that `front` contains to `ids`, and the places of the others to `missed`. Returns the number
/// of the others. It is a function of its own so that its few variables stay in registers.
#[inline(never)]
fn pass_front(front: &[Front], hashed: &[Hashed], ids: &mut [u32], missed: &mut [u32; GROUP]) -> usize {
    let front: &[Front; 1 << FRONT_BITS] = front.try_into().expect("a front of this size");
    let mut misses = 0;
    for (place, (hashed, id)) in hashed.iter().zip(ids).enumerate() {
        let known = &front[front_slot(hashed.hash)];
        *id = known.id;
        missed[misses % GROUP] = place as u32;
        misses += (known.key != hashed.key) as usize;
    }
    misses
}

/// The place in the front of a term with this hash.
#[inline]
fn front_slot(hash: u64) -> usize {
    (hash >> (u64::BITS - FRONT_BITS)) as usize
}

/// The key of a short term. For a longer one, a key that no term has.
#[inline]
fn short_key(text: &[u8], [start, end]: Span) -> Key {
    let length = ((end - start) as usize).min(PADDING);
    let bytes: &[u8; PADDING] = text[start as usize..][..PADDING].try_into().expect("16 bytes");
    let kept = KEPT[length];
    [word(bytes, 0) & kept[0], word(bytes, 8) & kept[1] | (length as u64 + 1) << LENGTH]
}

/// Whether `key` is that of the long term `term`, whose digest is `digest`.
fn is_long(key: Key, digest: u64, term: &[u8], long: &[u8]) -> bool {
    if key[0] != digest || key[1] & LONG != LONG {
        return false;
    }
    let (length, bytes) = long[(key[1] & !LONG) as usize..].split_at(size_of::<u32>());
    length == (term.len() as u32).to_le_bytes() && bytes[..term.len()] == *term
}

/// A 64-bit digest of a long term.
fn digest(seed: [u64; 2], term: &[u8]) -> u64 {
    let mut digest = seed[1] ^ term.len() as u64;
    let (chunks, rest) = term.as_chunks::<PADDING>();
    let mut mix = |bytes: &[u8; PADDING]| {
        digest = fold(digest ^ word(bytes, 0) ^ seed[0], word(bytes, 8) ^ seed[1]);
    };
    chunks.iter().for_each(&mut mix);
    // The last bytes, overlapping the ones before, so that none is left over.
    if let (false, Some(last)) = (rest.is_empty(), term.last_chunk()) {
        mix(last);
    }
    digest
}

#[inline]
fn hash(seed: [u64; 2], key: Key) -> u64 {
    fold(key[0] ^ seed[0], key[1] ^ seed[1])
}

#[inline]
fn word(bytes: &[u8; PADDING], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// The ids of `terms`, looked up in groups of `group`, and the terms that were reported as new, in order.
    fn look_up(slots: &mut Slots, terms: &[Vec<u8>], group: usize) -> (Vec<u32>, Vec<Vec<u8>>) {
        let mut text = Vec::new();
        let spans: Vec<Span> = terms
            .iter()
            .map(|term| {
                // Bytes between terms differ, and must have no effect.
                text.push(text.len() as u8);
                text.extend_from_slice(term);
                [(text.len() - term.len()) as u32, text.len() as u32]
            })
            .collect();
        text.extend_from_slice(&[0xEE; PADDING]);
        let (mut all, mut new, mut ids) = (Vec::new(), Vec::new(), vec![7; 3]);
        for spans in spans.chunks(group) {
            slots.look_up(&text, spans, &mut ids, |[start, end]| {
                new.push(text[start as usize..end as usize].to_vec());
            });
            all.extend_from_slice(&ids);
        }
        (all, new)
    }

    /// The same by a map.
    fn expected(map: &mut HashMap<Vec<u8>, u32>, terms: &[Vec<u8>]) -> (Vec<u32>, Vec<Vec<u8>>) {
        let mut new = Vec::new();
        let ids = terms.iter().map(|term| {
            let next = map.len() as u32;
            *map.entry(term.clone()).or_insert_with(|| {
                new.push(term.clone());
                next
            })
        });
        (ids.collect(), new)
    }

    proptest! {
        /// Lengths around the borders of a key, and few bytes, so that many terms are equal or begin in the same way.
        #[test]
        fn as_a_map_does(
            batches in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(0), Just(0xFF), 0..3u8], 0..36), 0..400),
                1..4),
            group in 1usize..300,
        ) {
            let (mut slots, mut map) = (Slots::new(), HashMap::new());
            for terms in &batches {
                prop_assert_eq!(look_up(&mut slots, terms, group), expected(&mut map, terms));
                prop_assert_eq!(slots.len(), map.len());
            }
            slots.clear();
            for terms in &batches[..1] {
                prop_assert_eq!(look_up(&mut slots, terms, group), expected(&mut HashMap::new(), terms));
            }
        }
    }

    /// More terms than the front has slots, in an order in which each slot contains another term each time.
    #[test]
    fn terms_that_take_each_other_s_slot_in_the_front_keep_their_ids() {
        let terms: Vec<_> = (0..4u32 << FRONT_BITS).map(|n| format!("{n:x}").into_bytes()).collect();
        let (mut slots, mut map) = (Slots::new(), HashMap::new());
        for _ in 0..3 {
            assert_eq!(look_up(&mut slots, &terms, 512), expected(&mut map, &terms));
        }
        assert!(slots.memory() > size_of::<Front>() << FRONT_BITS);
    }
}
