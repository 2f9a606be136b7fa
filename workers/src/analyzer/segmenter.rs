//! Words of any script: the word-like segments of UAX #29, with dictionaries for Chinese, Japanese, Thai, Khmer, Lao
//! and Burmese, which are written without spaces. For languages that the word pattern cannot part.
//!
//! The rules and the dictionaries are ICU4X's (`icu_segmenter`, Unicode, compiled in). Its dictionaries are taken
//! rather than its neural networks: they are faster, and what they find does not hang on rounding.

use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};
use std::ops::Range;

/// Finds the words of a text of any script.
#[derive(Clone, Copy, Debug)]
pub struct UnicodeWords {
    segmenter: WordSegmenterBorrowed<'static>,
}

impl UnicodeWords {
    /// A segmenter over the compiled data. Costs nothing.
    pub fn new() -> Self {
        UnicodeWords { segmenter: WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()) }
    }

    /// Calls `found` with each word of `text` in order, as a range of its bytes. A segment is a word if it has a letter,
    /// a number or an ideograph; spaces, punctuation and emoji are none. A single letter is a word too.
    pub fn find(&self, text: &str, found: &mut impl FnMut(Range<usize>)) {
        let mut start = 0;
        let mut ends = self.segmenter.segment_str(text);
        while let Some(end) = ends.next() {
            if ends.is_word_like() {
                found(start..end);
            }
            start = end;
        }
    }
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
        assert_eq!(words("한국어 문장입니다."), ["한국어", "문장입니다"]);
    }

    #[test]
    fn scripts_without_spaces() {
        assert_eq!(words("今天天气很好。"), ["今天", "天气", "很好"]);
        assert_eq!(words("これは日本語の文章です。"), ["これ", "は", "日本語", "の", "文章", "です"]);
        assert_eq!(words("ภาษาไทยง่าย"), ["ภาษา", "ไทย", "ง่าย"]);
        assert_eq!(words("ພາສາລາວ"), ["ພາສາ", "ລາວ"]);
        assert_eq!(words("ភាសាខ្មែរ"), ["ភាសា", "ខ្មែរ"]);
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
