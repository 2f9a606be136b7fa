//! Words of any script: the segments of UAX #29 that contain a letter or a number, with dictionaries for Chinese,
//! Japanese, Thai, Khmer, Lao and Burmese, which are written without spaces. For languages that the word pattern
//! cannot separate.
//!
//! The rules and the dictionaries are ICU4X's (`icu_segmenter`, Unicode, compiled in). The dictionaries are used
//! instead of its neural networks: they are faster, closer to ICU4C's results in Thai and Lao, and independent of
//! rounding. Whether a segment is a word is determined here, not by ICU4X, which answers no for a segment that ends in a
//! combining mark and is followed by text (icu4x issue 8321). That would lose words of Hindi, Tamil or Arabic.
//!
//! Segments have ICU4X's version of Unicode. Under an older version, a letter or number of a later one does not make a
//! segment a word.
//!
//! In ASCII, the rules are few and are applied here, since most of many texts is ASCII. ICU4X gets the parts with other
//! characters.

use super::characters::Properties;
use super::chunks::ChunkBoundary;
use super::unicode::UnicodeVersion;
use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};
use std::ops::Range;

/// Finds the words of a text of any script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnicodeWords {
    segmenter: WordSegmenterBorrowed<'static>,
    version: UnicodeVersion,
}

impl UnicodeWords {
    /// Creates a segmenter over the compiled data, at no cost.
    pub(crate) fn new(version: UnicodeVersion) -> Self {
        let segmenter = WordSegmenter::new_dictionary(WordBreakInvariantOptions::default());
        UnicodeWords { segmenter, version }
    }

    /// Calls `found` with each word of `text` in order, as a range of its bytes. A segment is a word if it contains a
    /// letter or a number (general category L* or N*), even a single one. Spaces, punctuation and emoji are not words.
    pub(crate) fn find(&self, text: &str, found: &mut impl FnMut(Range<usize>)) {
        let bytes = text.as_bytes();
        let mut start = 0;
        while let Some(beyond) = first_beyond_ascii(&bytes[start..]) {
            // The part with the character begins and ends where segments end in any context.
            let beyond = start + beyond;
            let begin = (start + 1..=beyond).rev().find(|&at| separates(bytes, at)).unwrap_or(start);
            let end = (beyond + 1..bytes.len()).find(|&at| separates(bytes, at)).unwrap_or(bytes.len());
            find_in_ascii(bytes, start..begin, found);
            self.find_in_any(text, begin..end, found);
            start = end;
        }
        find_in_ascii(bytes, start..bytes.len(), found);
    }

    /// As `find`, in a part of `text`.
    fn find_in_any(&self, text: &str, part: Range<usize>, found: &mut impl FnMut(Range<usize>)) {
        let mut start = part.start;
        for end in self.segmenter.segment_str(&text[part.clone()]) {
            let end = part.start + end;
            if is_word(&text[start..end], self.version) {
                found(start..end);
            }
            start = end;
        }
    }
}

/// The first byte that is not ASCII.
fn first_beyond_ascii(bytes: &[u8]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks::<16>();
    let passed = 16 * chunks.iter().take_while(|chunk| chunk.is_ascii()).count();
    bytes[passed..].iter().position(|byte| !byte.is_ascii()).map(|at| passed + at)
}

/// Whether segments end before `text[at]` in any context.
fn separates(text: &[u8], at: usize) -> bool {
    ChunkBoundary::BetweenSegments.allows(text[at - 1], text[at])
}

/// The classes of ASCII characters in the rules for words (UAX #29, Word_Break).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Other,
    Letter,
    Digit,
    /// `_`, which connects letters and digits.
    Connector,
    /// Between two letters.
    MidLetter,
    /// Between two digits.
    MidNumber,
    /// Between two letters or two digits.
    Mid,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'_' => Class::Connector,
            b':' => Class::MidLetter,
            b',' | b';' => Class::MidNumber,
            b'.' | b'\'' => Class::Mid,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// As `UnicodeWords::find`, in a part of `text` that is ASCII. Rules WB5 to WB13b.
fn find_in_ascii(text: &[u8], part: Range<usize>, found: &mut impl FnMut(Range<usize>)) {
    let text = &text[..part.end];
    let class = |at: usize| text.get(at).map_or(Class::Other, |&byte| CLASSES[byte as usize]);
    let mut at = part.start;
    while at < text.len() {
        let start = at;
        let mut is_word = false;
        loop {
            match class(at) {
                Class::Letter | Class::Digit => is_word = true,
                Class::Connector => {}
                between => {
                    let joins = at > start
                        && match (class(at - 1), class(at + 1)) {
                            (Class::Letter, Class::Letter) => {
                                matches!(between, Class::MidLetter | Class::Mid)
                            }
                            (Class::Digit, Class::Digit) => matches!(between, Class::MidNumber | Class::Mid),
                            _ => false,
                        };
                    if !joins {
                        break;
                    }
                }
            }
            at += 1;
        }
        if is_word {
            found(start..at);
        }
        at += usize::from(at == start);
    }
}

#[inline]
fn is_word(segment: &str, version: UnicodeVersion) -> bool {
    segment.chars().any(|c| c != '_' && Properties::of(c as u32, version).is_word())
}

impl Default for UnicodeWords {
    fn default() -> Self {
        Self::new(UnicodeVersion::Newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        UnicodeWords::default().find(text, &mut |range| found.push(&text[range]));
        found
    }

    #[test]
    fn spaced_scripts() {
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words(" . 😀 —"), [""; 0]);
        assert_eq!(
            words("The quick (“brown”) fox can’t jump 32.3 feet, right?"),
            ["The", "quick", "brown", "fox", "can’t", "jump", "32.3", "feet", "right"]
        );
        assert_eq!(
            words("a_b e\u{301}té l'été mp3-player 1,234.5 x"),
            ["a_b", "e\u{301}té", "l'été", "mp3", "player", "1,234.5", "x"]
        );
        assert_eq!(words("привет, мир! Ωμέγα"), ["привет", "мир", "Ωμέγα"]);
        assert_eq!(words("से मील तक।"), ["से", "मील", "तक"]);
        assert_eq!(
            words("cafe\u{301} menu, مُحَمَّدٌ قال, ג'ורג' דה"),
            ["cafe\u{301}", "menu", "مُحَمَّدٌ", "قال", "ג'ורג'", "דה"]
        );
        assert_eq!(words("_ __ \u{200D}\u{301} '\u{903}"), [""; 0]);
        assert_eq!(words("한국어 문장입니다."), ["한국어", "문장입니다"]);
    }

    #[test]
    fn a_later_letter_makes_no_word() {
        let words = |version| {
            let (text, mut found) = ("x \u{1E4D0}", Vec::new());
            UnicodeWords::new(version).find(text, &mut |range| found.push(&text[range]));
            found
        };
        assert_eq!(words(UnicodeVersion::V14_0), ["x"]);
        assert_eq!(words(UnicodeVersion::V15_0), ["x", "\u{1E4D0}"]);
    }

    #[test]
    fn scripts_without_spaces() {
        assert_eq!(words("今天天气很好。"), ["今天", "天气", "很好"]);
        assert_eq!(words("これは日本語の文章です。"), ["これ", "は", "日本語", "の", "文章", "です"]);
        assert_eq!(words("ภาษาไทยง่าย"), ["ภาษา", "ไทย", "ง่าย"]);
        assert_eq!(words("ພາສາລາວ"), ["ພາສາ", "ລາວ"]);
        assert_eq!(words("ខ្ញុំស្រលាញ់ភាសាខ្មែរ"), ["ខ្ញុំ", "ស្រលាញ់", "ភាសាខ្មែរ"]);
        assert_eq!(words("မြန်မာစာ"), ["မြန်မာ", "စာ"]);
    }

    /// The words of a text by ICU4X alone.
    fn words_by_icu(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        UnicodeWords::default().find_in_any(text, 0..text.len(), &mut |range| found.push(&text[range]));
        found
    }

    #[test]
    fn ascii_has_icus_words() {
        let of_classes = ["a", "Z", "0", "9", "_", ":", ".", "'", ",", ";", "-", " ", "\n", "\r", "\0", "\""];
        let pairs = || of_classes.iter().flat_map(|a| of_classes.iter().map(move |b| format!("{a}{b}")));
        for (first, second) in pairs().flat_map(|first| pairs().map(move |second| (first.clone(), second))) {
            let text = first + &second;
            assert_eq!(words(&text), words_by_icu(&text), "{text:?}");
        }
        for byte in 0..128 {
            let c = byte as u8 as char;
            for text in
                [format!("{c}"), format!("a{c}a"), format!("1{c}1"), format!("a{c}1"), format!("_{c}{c}")]
            {
                assert_eq!(words(&text), words_by_icu(&text), "{text:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn texts_of_any_script_have_icus_words(
            parts in proptest::collection::vec(
                prop_oneof![
                    "[a-c0-2_:.',; \n\r\t]{0,20}", "[’“é\u{300}\u{200D}\u{AD}א\u{2003}\u{2028} ]{0,4}",
                    "[中日本語ภาษาไทยかカ한 \n]{0,6}", any::<String>(),
                ], 0..12),
        ) {
            let text = parts.concat();
            prop_assert_eq!(words(&text), words_by_icu(&text));
        }

        #[test]
        fn words_are_in_order_and_part_no_character(text in any::<String>()) {
            let mut last = 0;
            UnicodeWords::default().find(&text, &mut |range| {
                assert!(last <= range.start && range.start < range.end, "{text:?} {range:?}");
                assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end));
                last = range.end;
            });
        }
    }
}
