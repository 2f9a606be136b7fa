//! Character n-grams: over a whole text (`char`) or within its words (`char_wb`), as scikit-learn's `_char_ngrams` and
//! `_char_wb_ngrams` (`sklearn.feature_extraction.text`) count them.
//!
//! Each analyzer is two steps, because its n-grams are ranges of a text that the first step writes: `Overlap::join`
//! (which is `collapse_spaces` for a text in one chunk) then `char_ngrams`, or `pad_words` then `longest_ngrams`. N-grams
//! count characters; in ASCII those are bytes.

use super::chunks::Chunk;
use std::ops::{Range, RangeInclusive};

/// White space as in Python's `str.isspace` and `\s`: Unicode's, and the four separators of ASCII.
#[inline]
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c)
}

/// The state between two chunks of a text: n-grams and runs of white space may cross a chunk boundary.
#[derive(Default, Debug)]
pub(crate) struct Overlap {
    /// The text's last characters, with spaces collapsed, then white space that may continue.
    end: String,
    /// Bytes of `end` before that white space. N-grams that end in them were found already.
    passed: usize,
}

impl Overlap {
    /// Replaces `out` with the text that contains the n-grams of up to `max` characters that end in the chunk `text`:
    /// some characters from before the chunk, then the chunk, all with spaces collapsed. Returns how many bytes of
    /// `out` precede the chunk. White space at the end is left to the next chunk.
    pub(crate) fn join(&mut self, text: &mut String, max: usize, chunk: Chunk, out: &mut String) -> usize {
        let Overlap { end, passed } = self;
        if chunk.offset == 0 {
            end.clear();
            *passed = 0;
        }
        text.insert_str(0, end);
        end.clear();
        if !chunk.is_last {
            let length = text.trim_end_matches(is_space).len();
            // Two characters suffice, since a run of two or more becomes one space.
            end.extend(text[length..].chars().take(2));
            text.truncate(length);
        }
        collapse_spaces(text, out);
        let kept = out.char_indices().rev().take(max.saturating_sub(1)).last();
        let kept = kept.map_or("", |(start, _)| &out[start..]);
        end.insert_str(0, kept);
        std::mem::replace(passed, kept.len())
    }
}

/// Replaces `out` with `text` in which each run of two or more white space characters is one space. A single one,
/// such as a newline, stays as it is.
pub(crate) fn collapse_spaces(text: &str, out: &mut String) {
    out.clear();
    out.reserve(text.len());
    replace_space_runs(text, out, |run| run.len() == 1 || run.chars().nth(1).is_none());
}

/// Replaces `out` with the words of `text`, separated at white space, with one space before, between and after them.
/// Clears `out` if `text` contains no word.
pub(crate) fn pad_words(text: &str, out: &mut String) {
    out.clear();
    out.reserve(text.len() + 2);
    if !text.starts_with(is_space) {
        out.push(' ');
    }
    replace_space_runs(text, out, |run| run == " ");
    if !out.ends_with(' ') {
        out.push(' ');
    }
    if out.len() == 1 {
        out.clear();
    }
}

/// Appends `text` to `out`, with one space for each maximal run of white space for which `stays` returns false.
#[inline]
fn replace_space_runs(text: &str, out: &mut String, stays: impl Fn(&str) -> bool) {
    let mut copied = 0;
    for_each_space_run(text, |run| {
        if !stays(&text[run.clone()]) {
            out.push_str(&text[copied..run.start]);
            out.push(' ');
            copied = run.end;
        }
    });
    out.push_str(&text[copied..]);
}

/// Calls `found` with every n-gram of `text`, of `min` to `max` characters, as a range of its bytes: shorter n-grams
/// first, and n-grams of the same length in order.
pub(crate) fn char_ngrams(text: &str, min: usize, max: usize, found: &mut impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let ascii = text.is_ascii();
    for n in min.max(1)..=max {
        let any = if ascii {
            slide_bytes(0..bytes.len(), n, found)
        } else {
            slide(bytes, 0..bytes.len(), n, found)
        };
        if !any {
            return;
        }
    }
}

/// Calls `found` with the longest n-gram of a word at each of its characters where one of `sizes` fits, as a range of its
/// bytes. A word with fewer characters than the smallest size is one n-gram. `word` is UTF-8, with the space on each side.
pub(crate) fn longest_ngrams(
    word: &[u8],
    sizes: &RangeInclusive<usize>,
    found: &mut impl FnMut(Range<usize>),
) {
    let characters = word.iter().filter(|byte| !is_continuation(**byte)).count();
    let next = |at: usize| word.get(at).map_or(at, |&first| at + character_length(first));
    let mut ngram = 0..(0..characters.min(*sizes.end())).fold(0, |end, _| next(end));
    for _ in 0..=characters.saturating_sub(*sizes.start()) {
        found(ngram.clone());
        ngram = next(ngram.start)..next(ngram.end);
    }
}

/// Whether a byte of UTF-8 is not the first of its character.
#[inline]
pub(crate) fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// Calls `found` with every range of `n` bytes within `text`. Returns false if there is none.
#[inline]
fn slide_bytes(text: Range<usize>, n: usize, found: &mut impl FnMut(Range<usize>)) -> bool {
    if text.len() < n {
        return false;
    }
    for start in text.start..=text.end - n {
        found(start..start + n);
    }
    true
}

/// Calls `found` with every n-gram of `n` characters of `text[within]`. Returns false if there is none.
#[inline]
fn slide(text: &[u8], within: Range<usize>, n: usize, found: &mut impl FnMut(Range<usize>)) -> bool {
    let mut gram = within.start..within.start;
    for _ in 0..n {
        if gram.end == within.end {
            return false;
        }
        gram.end += character_length(text[gram.end]);
    }
    loop {
        found(gram.clone());
        if gram.end == within.end {
            return true;
        }
        gram.start += character_length(text[gram.start]);
        gram.end += character_length(text[gram.end]);
    }
}

/// Bytes of the character whose first byte is `first`.
#[inline]
fn character_length(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
    }
}

/// Bytes that are searched for white space at once.
const BLOCK: usize = 64;

/// Calls `found` with every maximal run of white space.
#[inline]
fn for_each_space_run(text: &str, mut found: impl FnMut(Range<usize>)) {
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let mut start = 0;
    let mut within = 0;
    let mut spilled = 0;
    for (index, block) in blocks.iter().chain([&last]).enumerate() {
        let base = index * BLOCK;
        let (mut spaces, mut leads) = space_masks(block);
        spaces |= std::mem::take(&mut spilled);
        while leads != 0 {
            let bit = leads.trailing_zeros() as usize;
            leads &= leads - 1;
            let bits = ((1u128 << space_length(text, base + bit)) - 1) << bit;
            spaces |= bits as u64;
            spilled |= (bits >> BLOCK) as u64;
        }
        let mut edges = spaces ^ (spaces << 1 | within);
        within = spaces >> (BLOCK - 1);
        let mut inside = (spaces ^ edges) & 1;
        while edges != 0 {
            let at = base + edges.trailing_zeros() as usize;
            edges &= edges - 1;
            if inside == 1 {
                found(start..at);
            } else {
                start = at;
            }
            inside ^= 1;
        }
    }
    if within == 1 {
        found(start..text.len());
    }
}

/// Two masks with a bit for each byte of a block: ASCII white space, and possible first bytes of other white space.
#[inline]
fn space_masks(block: &[u8; BLOCK]) -> (u64, u64) {
    let is_space = block.map(|b| (b == b' ' || b.wrapping_sub(9) < 5 || b.wrapping_sub(0x1C) < 4) as u8);
    let is_lead = block.map(|b| (b == 0xC2 || b.wrapping_sub(0xE1) < 3) as u8);
    (gather(&is_space), gather(&is_lead))
}

/// Eight bytes of 0 or 1 to eight bits: the product moves the bit of byte `i` to bit `56 + i`.
#[inline]
fn gather(flags: &[u8; BLOCK]) -> u64 {
    let eights = flags.as_chunks::<8>().0.iter().enumerate();
    eights.fold(0, |bits, (index, &flags)| {
        bits | (u64::from_le_bytes(flags).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * index)
    })
}

/// Bytes of the white space character at byte `at`; 0 for any other character.
#[inline]
fn space_length(text: &str, at: usize) -> usize {
    match text.as_bytes()[at] {
        b'\t'..=b'\r' | 0x1C..=b' ' => 1,
        // The first bytes of all white space characters beyond ASCII.
        0xC2 | 0xE1 | 0xE2 | 0xE3 => {
            text[at..].chars().next().map_or(0, |c| if is_space(c) { c.len_utf8() } else { 0 })
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collapsed(text: &str) -> String {
        let mut out = String::from("before");
        collapse_spaces(text, &mut out);
        out
    }

    fn padded(text: &str) -> String {
        let mut out = String::from("before");
        pad_words(text, &mut out);
        out
    }

    fn grams(text: &str, min: usize, max: usize) -> Vec<&str> {
        let mut found = Vec::new();
        char_ngrams(text, min, max, &mut |range| found.push(&text[range]));
        found
    }

    /// scikit-learn's `_char_ngrams`, line for line, over characters.
    fn naive_grams(text: &str, min: usize, max: usize) -> Vec<String> {
        let text: Vec<char> = text.chars().collect();
        (min..=max.min(text.len()))
            .flat_map(|n| text.windows(n).map(|gram| gram.iter().collect()).collect::<Vec<String>>())
            .collect()
    }

    #[test]
    fn white_space_is_pythons() {
        let spaces: Vec<u32> =
            (0..=0x10FFFF).filter_map(char::from_u32).filter(|&c| is_space(c)).map(u32::from).collect();
        let expected: Vec<u32> =
            [0x09..=0x0D, 0x1C..=0x20, 0x85..=0x85, 0xA0..=0xA0, 0x1680..=0x1680, 0x2000..=0x200A]
                .into_iter()
                .chain([0x2028..=0x2029, 0x202F..=0x202F, 0x205F..=0x205F, 0x3000..=0x3000])
                .flatten()
                .collect();
        assert_eq!(spaces, expected);
        for c in '\0'..=char::MAX {
            let text = String::from(c);
            assert_eq!(space_length(&text, 0) > 0, is_space(c), "{c:?}");
        }
    }

    #[test]
    fn spaces_collapse_in_runs_only() {
        assert_eq!(collapsed("a\nb  c \t\n d\u{3000}e\u{2003}\u{85}f "), "a\nb c d\u{3000}e f ");
        assert_eq!(collapsed(" \n"), " ");
        assert_eq!(collapsed(""), "");
    }

    #[test]
    fn words_are_padded() {
        assert_eq!(padded("\n the  quick\u{A0}é\t"), " the quick é ");
        assert_eq!(padded(" \n\u{2003}"), "");
        assert_eq!(padded("x"), " x ");
    }

    #[test]
    fn known_grams() {
        assert_eq!(grams("abc", 1, 2), ["a", "b", "c", "ab", "bc"]);
        assert_eq!(grams("né", 2, 5), ["né"]);
        assert_eq!(grams("", 1, 3), [""; 0]);
    }

    #[test]
    fn the_longest_ngrams_of_a_word() {
        let longest = |word: &str, sizes| {
            let mut found = Vec::new();
            longest_ngrams(word.as_bytes(), &sizes, &mut |range| found.push(word[range].to_owned()));
            found
        };
        assert_eq!(longest(" cats ", 3..=5), [" cats", "cats ", "ats ", "ts "]);
        assert_eq!(longest(" née ", 2..=3), [" né", "née", "ée ", "e "]);
        assert_eq!(longest(" a ", 3..=5), [" a "]);
        assert_eq!(longest(" a ", 4..=7), [" a "]);
        assert_eq!(longest(" é ", 1..=1), [" ", "é", " "]);
    }

    fn texts() -> impl Strategy<Value = String> {
        let special = proptest::sample::select(
            "ab  \n\t\u{1C}\u{1F}\u{85}\u{A0}\u{2003}\u{2028}\u{3000}éß中😀\u{301}"
                .chars()
                .collect::<Vec<_>>(),
        );
        let mixed = proptest::collection::vec(prop_oneof![6 => special, 1 => any::<char>()], 0..200);
        let ascii = proptest::collection::vec(
            proptest::sample::select("abc  \n\u{1D}".chars().collect::<Vec<_>>()),
            0..200,
        );
        prop_oneof![mixed, ascii].prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn grams_are_the_definitions(text in texts(), min in 1usize..5, more in 0usize..4) {
            let max = min + more;
            prop_assert_eq!(grams(&text, min, max), naive_grams(&text, min, max));
        }

        #[test]
        fn collapsing_is_a_substitution(text in texts()) {
            let mut expected = String::new();
            let mut run = String::new();
            for c in text.chars().chain(['\0']) {
                if is_space(c) {
                    run.push(c);
                } else {
                    expected.push_str(if run.chars().count() > 1 { " " } else { &run });
                    run.clear();
                    expected.push(c);
                }
            }
            expected.pop();
            prop_assert_eq!(collapsed(&text), expected);
        }
    }
}
