//! Words of any script: the segments of UAX #29 that contain a letter or a number, with dictionaries for Chinese,
//! Japanese, Thai, Khmer, Lao and Burmese, which are written without spaces. For languages that the word pattern
//! cannot separate.
//!
//! The rules and the dictionaries are ICU4X's (`icu_segmenter`, Unicode, compiled in). The dictionaries are used
//! instead of its neural networks: they are faster, closer to ICU4C's results in Thai and Lao, and independent of
//! rounding. Whether a segment is a word is determined here, not by ICU4X, which answers no for a segment that ends in a
//! combining mark and is followed by text (icu4x issue 8321). That would lose words of Hindi, Tamil or Arabic.

use super::characters::Properties;
use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};
use std::ops::Range;

/// Finds the words of a text of any script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnicodeWords {
    segmenter: WordSegmenterBorrowed<'static>,
}

impl UnicodeWords {
    /// Creates a segmenter over the compiled data, at no cost.
    pub(crate) fn new() -> Self {
        UnicodeWords { segmenter: WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()) }
    }

    /// Calls `found` with each word of `text` in order, as a range of its bytes. A segment is a word if it contains a
    /// letter or a number (general category L* or N*), even a single one. Spaces, punctuation and emoji are not words.
    pub(crate) fn find(&self, text: &str, found: &mut impl FnMut(Range<usize>)) {
        let mut start = 0;
        for end in self.segmenter.segment_str(text) {
            if is_word(&text[start..end]) {
                found(start..end);
            }
            start = end;
        }
    }
}

#[inline]
fn is_word(segment: &str) -> bool {
    segment.chars().any(|c| c != '_' && Properties::of(c as u32).is_word())
}

impl Default for UnicodeWords {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        UnicodeWords::new().find(text, &mut |range| found.push(&text[range]));
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
    fn scripts_without_spaces() {
        assert_eq!(words("今天天气很好。"), ["今天", "天气", "很好"]);
        assert_eq!(words("これは日本語の文章です。"), ["これ", "は", "日本語", "の", "文章", "です"]);
        assert_eq!(words("ภาษาไทยง่าย"), ["ภาษา", "ไทย", "ง่าย"]);
        assert_eq!(words("ພາສາລາວ"), ["ພາສາ", "ລາວ"]);
        assert_eq!(words("ខ្ញុំស្រលាញ់ភាសាខ្មែរ"), ["ខ្ញុំ", "ស្រលាញ់", "ភាសាខ្មែរ"]);
        assert_eq!(words("မြန်မာစာ"), ["မြန်မာ", "စာ"]);
    }

    proptest! {
        #[test]
        fn words_are_in_order_and_part_no_character(text in any::<String>()) {
            let mut last = 0;
            UnicodeWords::new().find(&text, &mut |range| {
                assert!(last <= range.start && range.start < range.end, "{text:?} {range:?}");
                assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end));
                last = range.end;
            });
        }
    }
}
