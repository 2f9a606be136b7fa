//! Classes of bytes, 64 at a time: which bytes are ASCII word bytes, which are part of a longer character, and which do not
//! stand for themselves in a string of JSON.
//!
//! Owns the vector kernels, one for each instruction set, all with the same results. They also lower ASCII letters, since
//! the bytes are in a register. Knows neither characters beyond ASCII nor tokens.

pub(crate) use super::edges::BLOCK;
use super::edges::{self, Edges};

/// The bit masks of a text's blocks; bit `i` of element `b` stands for byte `64 * b + i`.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Masks {
    /// ASCII letters, digits and `_`.
    pub(crate) word: Vec<u64>,
    /// Bytes of 0x80 and above.
    pub(crate) high: Vec<u64>,
}

/// An instruction set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// AVX-512 F, BW and VBMI2 (AMD since Zen 4, Intel since Ice Lake): a block is one register.
    Avx512,
    /// AVX2, BMI1 and POPCNT (AMD and Intel since 2013): a block is two registers.
    Avx2,
    /// The instructions of every Rust target.
    Portable,
}

impl Kernel {
    /// The kernels that this machine can run, best first.
    pub fn available() -> Vec<Kernel> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                kernels.push(Kernel::Avx512);
            }
            if has_avx2() {
                kernels.push(Kernel::Avx2);
            }
        }
        kernels.push(Kernel::Portable);
        kernels
    }

    /// The best kernel for this machine.
    pub(crate) fn best() -> Kernel {
        Self::available()[0]
    }

    /// Replaces `masks` with those of `text`, whose length is a multiple of `BLOCK`. Lowers its ASCII letters in
    /// place if `lowercase`.
    ///
    /// # Panics
    /// If the length is not a multiple of `BLOCK`: the caller pads.
    pub fn classify(self, text: &mut [u8], lowercase: bool, masks: &mut Masks) {
        assert!(text.len().is_multiple_of(BLOCK), "the text is padded to whole blocks");
        masks.word.clear();
        masks.high.clear();
        masks.word.reserve(text.len() / BLOCK);
        masks.high.reserve(text.len() / BLOCK);
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if has_avx512() => x86::avx512(text, lowercase, masks),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 if has_avx2() => x86::avx2(text, lowercase, masks),
            _ => portable(text, lowercase, masks),
        }
    }

    /// `Edges::fill` with the fastest way to extract bits from a word.
    pub(crate) fn find_edges(self, edges: &mut Edges, mask: &[u64]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if has_avx512() => x86::avx512_edges(edges, mask),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 if has_avx2() => x86::avx2_edges(edges, mask),
            _ => edges.fill(mask, edges::spread),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi2")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("popcnt")
}

/// The reference for the other kernels: eight bytes at a time in ordinary registers.
fn portable(text: &mut [u8], lowercase: bool, masks: &mut Masks) {
    for block in text.as_chunks_mut::<BLOCK>().0 {
        if lowercase {
            block.make_ascii_lowercase();
        }
        let (mut word, mut high) = (0, 0);
        for (index, bytes) in block.as_chunks::<8>().0.iter().enumerate() {
            word |= gather(bytes.map(|b| (b.is_ascii_alphanumeric() || b == b'_') as u8)) << (8 * index);
            high |= gather(bytes.map(|b| b >> 7)) << (8 * index);
        }
        masks.word.push(word);
        masks.high.push(high);
    }
}

/// The bytes of a block that do not stand for themselves in a string of JSON: quotes, backslashes and control characters.
#[inline]
pub(crate) fn json_marks(block: &[u8; BLOCK]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    return x86::json_marks(block);
    #[cfg(not(target_arch = "x86_64"))]
    portable_json_marks(block)
}

/// The reference for `json_marks`.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable_json_marks(block: &[u8; BLOCK]) -> u64 {
    let is_mark = |byte| matches!(byte, 0..0x20 | b'"' | b'\\') as u8;
    let words = block.as_chunks::<8>().0.iter().enumerate();
    words.fold(0, |marks, (index, word)| marks | gather(word.map(is_mark)) << (8 * index))
}

/// Eight bytes of 0 or 1 to eight bits: the product moves the bit of byte `i` to bit `56 + i`.
fn gather(flags: [u8; 8]) -> u64 {
    u64::from_le_bytes(flags).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions, behind a check that the processor has them")]
mod x86 {
    use super::{BLOCK, Edges, Masks, edges::spread, has_avx2, has_avx512};
    use std::arch::x86_64::*;

    pub(super) fn avx512(text: &mut [u8], lowercase: bool, masks: &mut Masks) {
        debug_assert!(has_avx512());
        // SAFETY: `Kernel::classify` checked that the processor has these features.
        unsafe { avx512_blocks(text, lowercase, masks) }
    }

    pub(super) fn avx2(text: &mut [u8], lowercase: bool, masks: &mut Masks) {
        debug_assert!(has_avx2());
        // SAFETY: `Kernel::classify` checked that the processor has these features.
        unsafe { avx2_blocks(text, lowercase, masks) }
    }

    #[inline]
    pub(super) fn json_marks(block: &[u8; BLOCK]) -> u64 {
        // SAFETY: SSE2 belongs to every x86-64 processor.
        unsafe { sse2_json_marks(block) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn sse2_json_marks(block: &[u8; BLOCK]) -> u64 {
        let (quote, backslash) = (_mm_set1_epi8(b'"' as i8), _mm_set1_epi8(b'\\' as i8));
        let control = _mm_set1_epi8(0x1F);
        let quarters = block.as_chunks::<16>().0.iter().enumerate();
        quarters.fold(0, |marks, (index, quarter)| {
            // SAFETY: the quarter is 16 bytes long, and the load needs no alignment.
            let bytes = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
            let found = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
            // The greater of a control character and the last of them is the last.
            let found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_max_epu8(bytes, control), control));
            marks | (_mm_movemask_epi8(found) as u16 as u64) << (16 * index)
        })
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn avx512_blocks(text: &mut [u8], lowercase: bool, masks: &mut Masks) {
        let letters = _mm512_set1_epi8(26);
        for block in text.as_chunks_mut::<BLOCK>().0 {
            // SAFETY: the block is 64 bytes long, and the load needs no alignment.
            let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            let upper = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, _mm512_set1_epi8(b'A' as i8)), letters);
            let lower = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, _mm512_set1_epi8(b'a' as i8)), letters);
            let digit = _mm512_cmplt_epu8_mask(
                _mm512_sub_epi8(bytes, _mm512_set1_epi8(b'0' as i8)),
                _mm512_set1_epi8(10),
            );
            let underscore = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'_' as i8));
            masks.word.push(upper | lower | digit | underscore);
            masks.high.push(_mm512_movepi8_mask(bytes));
            if lowercase && upper != 0 {
                let lowered = _mm512_mask_add_epi8(bytes, upper, bytes, _mm512_set1_epi8(0x20));
                // SAFETY: as for the load.
                unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), lowered) };
            }
        }
    }

    pub(super) fn avx512_edges(edges: &mut Edges, mask: &[u64]) {
        debug_assert!(has_avx512());
        // SAFETY: `Kernel::find_edges` checked that the processor has these features.
        unsafe { avx512_fill(edges, mask) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
    fn avx512_fill(edges: &mut Edges, mask: &[u64]) {
        const PLACES: [u8; BLOCK] = {
            let mut places = [0; BLOCK];
            let mut place = 0;
            while place < BLOCK {
                places[place] = place as u8;
                place += 1;
            }
            places
        };
        // SAFETY: the array is 64 bytes long, and the load needs no alignment.
        let places = unsafe { _mm512_loadu_si512(PLACES.as_ptr().cast()) };
        edges.fill(mask, |found, base, out| {
            let base = _mm512_set1_epi32(base as i32);
            let bytes = _mm512_maskz_compress_epi8(found, places);
            let mut store = |sixteen: usize, bytes: __m128i| {
                let edges = _mm512_add_epi32(_mm512_cvtepu8_epi32(bytes), base);
                // SAFETY: `out` has room for 128 edges, and at most 64 are written; no alignment is needed.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(sixteen * 16).cast(), edges) };
            };
            store(0, _mm512_extracti32x4_epi32::<0>(bytes));
            store(1, _mm512_extracti32x4_epi32::<1>(bytes));
            if found.count_ones() > 32 {
                store(2, _mm512_extracti32x4_epi32::<2>(bytes));
                store(3, _mm512_extracti32x4_epi32::<3>(bytes));
            }
        });
    }

    /// Bits of the kinds of word bytes, by the low and by the high half of a byte. A byte is a word byte if both have a bit in
    /// common: 1 for digits, 2 for letters up to `o`, 4 for letters from `p` on, 8 for `_`.
    const LOW: [u8; 16] = [5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 2, 2, 2, 2, 10];
    const HIGH: [u8; 16] = [0, 0, 0, 1, 2, 12, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0];

    #[target_feature(enable = "avx2")]
    fn avx2_blocks(text: &mut [u8], lowercase: bool, masks: &mut Masks) {
        // SAFETY: the arrays are 16 bytes long, and the loads need no alignment.
        let [low, high] = [LOW, HIGH]
            .map(|kinds| _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(kinds.as_ptr().cast()) }));
        for block in text.as_chunks_mut::<BLOCK>().0 {
            let (mut word, mut long) = (0, 0);
            for (index, half) in block.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                // SAFETY: the half is 32 bytes long, and the load needs no alignment.
                let bytes = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
                let upper_half = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(0x0F));
                // The lookup by a byte of 0x80 or above returns 0.
                let kinds =
                    _mm256_and_si256(_mm256_shuffle_epi8(low, bytes), _mm256_shuffle_epi8(high, upper_half));
                // The sum has the highest bit unless the byte is of no kind. A comparison here would make the compiler
                // take the register apart byte by byte.
                let flags = _mm256_add_epi8(kinds, _mm256_set1_epi8(0x7F));
                word |= (_mm256_movemask_epi8(flags) as u32 as u64) << (32 * index);
                long |= (_mm256_movemask_epi8(bytes) as u32 as u64) << (32 * index);
                if lowercase {
                    let upper = within(bytes, b'A', 26);
                    let lowered = _mm256_add_epi8(bytes, _mm256_and_si256(upper, _mm256_set1_epi8(0x20)));
                    // SAFETY: as for the load.
                    unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), lowered) };
                }
            }
            masks.word.push(word);
            masks.high.push(long);
        }
    }

    pub(super) fn avx2_edges(edges: &mut Edges, mask: &[u64]) {
        debug_assert!(has_avx2());
        // SAFETY: `Kernel::find_edges` checked that the processor has these features.
        unsafe { avx2_fill(edges, mask) }
    }

    #[target_feature(enable = "avx2,bmi1,popcnt")]
    #[expect(clippy::redundant_closure, reason = "the closure has these features, the function has not")]
    fn avx2_fill(edges: &mut Edges, mask: &[u64]) {
        edges.fill(mask, |found, base, out| spread(found, base, out));
    }

    /// 0xFF where `first <= byte < first + count`, else 0. The comparison is of signed bytes, so both sides are lowered
    /// by 128.
    #[target_feature(enable = "avx2")]
    fn within(bytes: __m256i, first: u8, count: u8) -> __m256i {
        let moved = _mm256_sub_epi8(bytes, _mm256_set1_epi8(first.wrapping_add(128) as i8));
        _mm256_cmpgt_epi8(_mm256_set1_epi8(count.wrapping_add(128) as i8), moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn portable_knows_every_byte() {
        let mut text: Vec<u8> = (0..=255).collect();
        let mut masks = Masks::default();
        Kernel::Portable.classify(&mut text, true, &mut masks);
        for byte in 0..=255u8 {
            let bit = |mask: &[u64]| mask[byte as usize / 64] >> (byte % 64) & 1 == 1;
            assert_eq!(bit(&masks.word), byte.is_ascii_alphanumeric() || byte == b'_', "{byte}");
            assert_eq!(bit(&masks.high), !byte.is_ascii(), "{byte}");
            assert_eq!(text[byte as usize], byte.to_ascii_lowercase());
        }
    }

    #[test]
    fn marks_of_json_are_those_of_every_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (number, block) in bytes.as_chunks().0.iter().enumerate() {
            let expected = [u32::MAX as u64 | 1 << b'"', 1 << (b'\\' - 64), 0, 0][number];
            assert_eq!(portable_json_marks(block), expected);
            assert_eq!(json_marks(block), expected);
        }
    }

    /// The groups as `Edges::next` returns them: the base of each group, and its runs.
    fn edges(kernel: Kernel, mask: &[u64]) -> Vec<(usize, Vec<[u32; 2]>)> {
        let (mut edges, mut found) = (Edges::new(), Vec::new());
        edges.begin();
        while let Some((base, runs)) = edges.next(mask, |edges, mask| kernel.find_edges(edges, mask)) {
            found.push((base, runs.to_vec()));
        }
        found
    }

    proptest! {
        #[test]
        fn kernels_agree(blocks in 0usize..5, seed in proptest::collection::vec(any::<u8>(), 320), lowercase: bool) {
            let text = &seed[..blocks * BLOCK];
            let mut expected = (text.to_vec(), Masks::default());
            Kernel::Portable.classify(&mut expected.0, lowercase, &mut expected.1);
            for kernel in Kernel::available() {
                let mut found = (text.to_vec(), Masks::default());
                kernel.classify(&mut found.0, lowercase, &mut found.1);
                prop_assert_eq!(&found, &expected, "{:?}", kernel);
            }
        }

        #[test]
        fn kernels_find_the_same_edges(
            words in proptest::collection::vec(
                prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), (0u32..64).prop_map(|n| 1 << n),
                            Just(0x5555_5555_5555_5555)], 0..120),
        ) {
            let mut mask = words;
            mask.push(0);
            let expected = edges(Kernel::Portable, &mask);
            for kernel in Kernel::available() {
                prop_assert_eq!(edges(kernel, &mask), expected.clone(), "{:?}", kernel);
            }
        }
    }
}
