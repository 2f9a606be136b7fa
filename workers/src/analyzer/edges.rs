//! The edges of the runs of set bits in a mask, as a list of numbers: two for each run.
//!
//! Extracts a fixed number of bits of a block at a time, even if fewer are set, so that the processor need not predict
//! their number, as simdjson does (Langdale and Lemire, Parsing Gigabytes of JSON per Second, 2019).

use super::sink::offset;

/// Bits of a block of a mask, one for each byte of a text.
pub(crate) const BLOCK: usize = u64::BITS as usize;

/// Edges that are collected before they are returned.
const EDGES: usize = 1024;

/// Room behind the last valid edge for the numbers that one step writes.
const SLACK: usize = 2 * BLOCK;

/// Finds the runs of two or more set bits in a mask.
#[derive(Debug)]
pub(crate) struct Edges {
    list: Vec<u32>,
    count: usize,
    /// The next block to process.
    block: usize,
    /// The place in the text that the list's numbers are relative to.
    base: usize,
    /// Bit 0: the last bit of the previous block.
    before: u64,
    /// Bit 0: whether that bit is within a run of two or more.
    inside: u64,
}

impl Edges {
    /// Creates a finder with its own buffer.
    pub(crate) fn new() -> Self {
        Edges { list: vec![0; EDGES + SLACK], count: 0, block: 0, base: 0, before: 0, inside: 0 }
    }

    /// Begins a mask.
    pub(crate) fn begin(&mut self) {
        (self.count, self.block, self.base, self.before, self.inside) = (0, 0, 0, 0, 0);
    }

    /// The next runs of `mask`, whose last bit must not be set; `None` at the end. Returns a base, and for each run its
    /// first bit and the bit after its last, relative to the base. `fill` calls [`Edges::fill`] with the `spread` of
    /// its choice.
    pub(crate) fn next(
        &mut self,
        mask: &[u64],
        fill: impl FnOnce(&mut Edges, &[u64]),
    ) -> Option<(usize, &[[u32; 2]])> {
        // The beginning of a run that continues beyond the runs returned before.
        let open = self.count % 2;
        if open == 1 {
            let start = self.list[self.count - 1] as usize;
            self.base += start;
            self.list[0] = 0;
        } else {
            self.base = self.block * BLOCK;
        }
        self.count = open;
        fill(self, mask);
        let runs = self.list[..self.count].as_chunks::<2>().0;
        (!runs.is_empty() || self.block < mask.len()).then_some((self.base, runs))
    }

    /// Appends edges until the list is full or the mask ends. `spread` writes the places of a word's bits, each plus
    /// its second argument, and may write further numbers behind them.
    #[inline(always)]
    pub(super) fn fill(&mut self, mask: &[u64], spread: impl Fn(u64, u32, &mut [u32; SLACK])) {
        let Edges { list, count, block, base, before, inside } = self;
        while let Some(&bits) = mask.get(*block) {
            let Some(room) = list[*count..].first_chunk_mut::<SLACK>() else { return };
            let after = mask.get(*block + 1).map_or(0, |next| next << (BLOCK - 1));
            let kept = bits & ((bits << 1 | *before) | (bits >> 1 | after));
            let found = kept ^ (kept << 1 | *inside);
            (*before, *inside) = (bits >> (BLOCK - 1), kept >> (BLOCK - 1));
            spread(found, offset(*block * BLOCK - *base), room);
            *count += found.count_ones() as usize;
            *block += 1;
        }
    }
}

/// Writes the places of the bits of `found`: sixteen without a check, and the rest in groups of eight.
#[inline(always)]
pub(super) fn spread(mut found: u64, base: u32, out: &mut [u32; SLACK]) {
    for (index, eight) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        if index >= 2 && found == 0 {
            break;
        }
        for edge in eight {
            *edge = base.wrapping_add(found.trailing_zeros());
            found &= found.wrapping_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs(mask: &[u64]) -> Vec<(usize, usize)> {
        let (mut edges, mut found) = (Edges::new(), Vec::new());
        edges.begin();
        while let Some((base, runs)) = edges.next(mask, |edges, mask| edges.fill(mask, spread)) {
            found.extend(runs.iter().map(|&[start, end]| (base + start as usize, base + end as usize)));
        }
        found
    }

    fn naive(mask: &[u64]) -> Vec<(usize, usize)> {
        let is_set = |at: usize| mask[at / BLOCK] >> (at % BLOCK) & 1 == 1;
        let mut found = Vec::new();
        let mut start = None;
        for at in 0..mask.len() * BLOCK {
            match (is_set(at), start) {
                (true, None) => start = Some(at),
                (false, Some(first)) => {
                    found.extend((at - first > 1).then_some((first, at)));
                    start = None;
                }
                _ => {}
            }
        }
        found
    }

    proptest! {
        #[test]
        fn as_one_bit_after_the_other_does(
            words in proptest::collection::vec(
                prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), (0u32..64).prop_map(|n| 1 << n),
                            Just(0x5555_5555_5555_5555)], 0..120),
        ) {
            let mut mask = words;
            mask.push(0);
            prop_assert_eq!(runs(&mask), naive(&mask));
        }
    }
}
