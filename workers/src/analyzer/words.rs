//! Words: the maximal runs of two or more word characters of a text, lowered. This is scikit-learn's default token
//! pattern, `(?u)\b\w\w+\b`, after its `lowercase` step, over all of Unicode.
//!
//! A text is classified 64 bytes at a time into a mask of word bytes (`classes`). Characters beyond ASCII are
//! added to it and lowered one by one (`characters`). The mask's edges are the tokens' borders (`edges`). Tokens are
//! passed on as places in the text, in groups.

use super::characters::{Properties, decode, is_final_sigma};
use super::classes::{Kernel, Masks};
use super::edges::{BLOCK, Edges};
use super::sink::{PADDING, TermSink, offset};
use super::unicode::UnicodeVersion;
use std::ops::Range;

/// The only character that lowers to two. The second is not a word character, so it ends its word.
const DOTTED_CAPITAL_I: u32 = 0x130;

/// Finds words. Keeps its buffers between texts.
#[derive(Debug)]
pub struct Words {
    kernel: Kernel,
    lowercase: bool,
    version: UnicodeVersion,
    masks: Masks,
    /// First bytes of the characters beyond ASCII whose lower case has another length; empty if there are none.
    capitals: Vec<u64>,
    lowered: Vec<u8>,
    edges: Edges,
}

impl Words {
    /// Creates a scanner by a version of Unicode. It lowers its words if `lowercase`.
    pub fn new(kernel: Kernel, lowercase: bool, version: UnicodeVersion) -> Self {
        let (masks, capitals, lowered) = (Masks::default(), Vec::new(), Vec::new());
        Words { kernel, lowercase, version, masks, capitals, lowered, edges: Edges::new() }
    }

    /// Passes every word of `text`, which is UTF-8, to `sink` in order. Leaves `text` padded and partly lowered.
    pub fn scan(&mut self, text: &mut Vec<u8>, sink: &mut impl TermSink) {
        let length = text.len();
        // Bytes behind the text that are not word bytes end its last word and pad every term.
        text.resize(length.next_multiple_of(BLOCK) + BLOCK, 0);
        self.kernel.classify(text, self.lowercase, &mut self.masks);
        self.capitals.clear();
        self.mark_long_characters(&mut text[..length]);

        let Words { kernel, version, masks, capitals, lowered, edges, .. } = self;
        edges.begin();
        while let Some((base, spans)) = edges.next(&masks.word, |edges, mask| kernel.find_edges(edges, mask))
        {
            if capitals.is_empty() {
                sink.terms(&text[base..], spans);
                continue;
            }
            for span in spans {
                let word = base + span[0] as usize..base + span[1] as usize;
                if any_bit(capitals, word.clone()) {
                    lower(&text[..length], word, *version, lowered);
                    let size = lowered.len();
                    lowered.resize(size + PADDING, 0);
                    sink.terms(lowered, &[[0, offset(size)]]);
                } else {
                    sink.terms(&text[base..], std::slice::from_ref(span));
                }
            }
        }
    }

    /// Adds the characters beyond ASCII to the mask of word bytes, except words of a single character, and
    /// lowers them in place. Notes those whose lower case has another length.
    fn mark_long_characters(&mut self, text: &mut [u8]) {
        let Masks { word, high } = &mut self.masks;
        let version = self.version;
        let mut next = 0;
        for (index, &bytes) in high.iter().enumerate() {
            let base = index * BLOCK;
            let mut bytes = from(bytes, next, base);
            while bytes != 0 {
                let at = base + bytes.trailing_zeros() as usize;
                let (code, length) = decode(text, at);
                let properties = Properties::of(code, version);
                next = at + length;
                bytes = from(bytes, next, base);
                if !properties.is_word() || is_alone(text, word, at, next, version) {
                    continue;
                }
                let splits = self.lowercase && code == DOTTED_CAPITAL_I;
                set_bits(word, at, if splits { 1 } else { length });
                if self.lowercase && properties.to_lower() != 0 {
                    let lower = lower_character(text, at, code, properties.to_lower(), version);
                    if lower.len_utf8() == length {
                        lower.encode_utf8(&mut text[at..]);
                    } else {
                        self.capitals.resize(word.len(), 0);
                        set_bits(&mut self.capitals, at, 1);
                    }
                }
            }
        }
    }
}

/// Whether the character from `at` to `next` has no adjacent word character. The mask contains the characters before it,
/// and the ASCII characters behind it.
#[inline]
fn is_alone(text: &[u8], word: &[u64], at: usize, next: usize, version: UnicodeVersion) -> bool {
    let is_set = |at: usize| word[at / BLOCK] >> (at % BLOCK) & 1 == 1;
    if at > 0 && is_set(at - 1) {
        return false;
    }
    match text.get(next) {
        Some(0x80..) => !Properties::of(decode(text, next).0, version).is_word(),
        _ => !is_set(next),
    }
}

/// The bits of the block at `base` that stand for byte `next` of the text and later bytes.
fn from(bits: u64, next: usize, base: usize) -> u64 {
    match next.saturating_sub(base) {
        passed @ 0..BLOCK => bits & u64::MAX << passed,
        _ => 0,
    }
}

/// Sets `count` bits, at most 4, from bit `at` on.
fn set_bits(mask: &mut [u64], at: usize, count: usize) {
    let bits = (1 << count) - 1;
    let (index, shift) = (at / BLOCK, at % BLOCK);
    mask[index] |= bits << shift;
    if shift + count > BLOCK {
        mask[index + 1] |= bits >> (BLOCK - shift);
    }
}

/// Whether any bit of `range` is set.
fn any_bit(mask: &[u64], range: Range<usize>) -> bool {
    let (first, last) = (range.start / BLOCK, (range.end - 1) / BLOCK);
    let head = u64::MAX << (range.start % BLOCK);
    let tail = u64::MAX >> (BLOCK - 1 - (range.end - 1) % BLOCK);
    if first == last {
        return mask[first] & head & tail != 0;
    }
    mask[first] & head != 0 || mask[last] & tail != 0 || mask[first + 1..last].iter().any(|&bits| bits != 0)
}

/// Replaces `lowered` with the word at `word` of `text` in lower case.
#[cold]
fn lower(text: &[u8], word: Range<usize>, version: UnicodeVersion, lowered: &mut Vec<u8>) {
    lowered.clear();
    let mut at = word.start;
    while at < word.end {
        let (code, length) = decode(text, at);
        let change = Properties::of(code, version).to_lower();
        if change == 0 {
            lowered.extend_from_slice(&text[at..at + length]);
        } else {
            let lower = lower_character(text, at, code, change, version);
            lowered.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
        }
        at += length;
    }
}

/// The lower case of the character `code` at `text[at]`; `change` is its difference.
fn lower_character(text: &[u8], at: usize, code: u32, change: i32, version: UnicodeVersion) -> char {
    match code {
        0x3A3 if is_final_sigma(text, at, version) => 'ς',
        _ => char::from_u32(code.wrapping_add_signed(change)).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Collected(Vec<String>);

    impl TermSink for Collected {
        fn terms(&mut self, text: &[u8], spans: &[Span]) {
            for &[start, end] in spans {
                let (start, end) = (start as usize, end as usize);
                assert!(text.len() >= end.max(start + PADDING));
                self.0.push(String::from_utf8(text[start..end].to_vec()).expect("a term is UTF-8"));
            }
        }
    }

    /// The definition, literally: lower the whole text, then take the runs of word characters.
    fn naive(text: &str, lowercase: bool) -> Vec<String> {
        let text = if lowercase { text.to_lowercase() } else { text.to_owned() };
        text.split(|c: char| !Properties::of(c as u32, UnicodeVersion::Newest).is_word())
            .filter(|word| word.chars().count() >= 2)
            .map(str::to_owned)
            .collect()
    }

    fn scanned(kernel: Kernel, text: &str, lowercase: bool) -> Vec<String> {
        let mut found = Collected::default();
        Words::new(kernel, lowercase, UnicodeVersion::Newest).scan(&mut text.as_bytes().to_vec(), &mut found);
        found.0
    }

    #[test]
    fn every_alignment_to_a_block() {
        for word in
            ["Word", "a", "ÉTÉ", "Straße", "ΟΔΟΣ", "aİb", "日本語", "𝔄𝔅", "x²", "ab\u{301}cd", "İ", "ẞK"]
        {
            for before in 0..130 {
                let text = format!("{}{word} {word}.{word}", ".".repeat(before));
                for kernel in Kernel::available() {
                    assert_eq!(scanned(kernel, &text, true), naive(&text, true), "{word:?} after {before}");
                }
            }
        }
    }

    #[test]
    fn words_longer_than_blocks() {
        for length in [63, 64, 65, 127, 128, 129, 1000] {
            for letter in ["x", "É", "中", "𝔄"] {
                let text = format!("- {} -", letter.repeat(length));
                assert_eq!(scanned(Kernel::best(), &text, true), naive(&text, true));
            }
        }
    }

    #[test]
    fn known_cases() {
        let found = |text| scanned(Kernel::best(), text, true);
        assert_eq!(found("The quick_brown x 42"), ["the", "quick_brown", "42"]);
        assert_eq!(found("ΑΣ.Β ΑΣ"), ["ασ", "ας"]);
        assert_eq!(found("aİbc İx"), ["ai", "bc"]);
        assert_eq!(found("\u{A7D2}a"), ["\u{A7D3}a"]);
        assert_eq!(found(""), [""; 0]);
        assert_eq!(scanned(Kernel::best(), "The aİb", false), ["The", "aİb"]);
    }

    /// U+1E4D0 is a letter of Unicode 15.0, U+A7CB a capital of 16.0.
    #[test]
    fn a_later_character_ends_a_word() {
        for kernel in Kernel::available() {
            for (version, words) in [
                (UnicodeVersion::V14_0, &["ab", "cd", "ef", "gh"][..]),
                (UnicodeVersion::V15_0, &["ab\u{1E4D0}cd", "\u{1E4D0}\u{1E4D0}", "ef", "gh"]),
                (UnicodeVersion::Newest, &["ab\u{1E4D0}cd", "\u{1E4D0}\u{1E4D0}", "ef\u{264}gh", "\u{264}x"]),
            ] {
                let mut found = Collected::default();
                let mut text =
                    "ab\u{1E4D0}cd \u{1E4D0}\u{1E4D0} ef\u{A7CB}gh \u{A7CB}x".to_owned().into_bytes();
                Words::new(kernel, true, version).scan(&mut text, &mut found);
                assert_eq!(found.0, words, "{kernel:?} {version:?}");
            }
        }
    }

    /// Characters that the rules depend on, and any others.
    fn nasty() -> impl Strategy<Value = String> {
        let special = proptest::sample::select(
            "aZ_9 .'-:\u{AD}\u{300}\u{345}\u{2019}ΣσςΑİıIẞßKÅǅéÉДд中か한Ⅷ½²٣५𝔄😀\u{200D}\u{0}\u{1C}\r\n\u{FEFF}ʰª"
                .chars()
                .collect::<Vec<_>>(),
        );
        proptest::collection::vec(
            prop_oneof![4 => special, 1 => any::<char>(), 2 => proptest::char::range('a', 'z')],
            0..200,
        )
        .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn kernels_and_the_definition_agree(text in nasty(), lowercase: bool) {
            for kernel in Kernel::available() {
                prop_assert_eq!(scanned(kernel, &text, lowercase), naive(&text, lowercase), "{:?}", kernel);
            }
        }
    }
}
