//! Stop words: terms that are left out. Asked about every token, so most tokens are told apart by their first byte
//! and their length, before anything is hashed.
//!
//! The English list is that of NLTK's stop word corpus (198 words; Snowball's list, with the parts into which a word
//! pattern breaks contractions, such as `don` and `ll`), from the `stop-words` package. A file gives any other list.

use rustc_hash::FxHashSet;

/// A set of terms.
#[derive(Clone, Debug)]
pub struct StopWords {
    words: FxHashSet<Box<[u8]>>,
    /// For each first byte, which lengths there are: bit `n` for `n` bytes, the last bit for all longer ones.
    lengths: Box<[u64; 256]>,
}

impl StopWords {
    /// The built-in English list, in lower case.
    pub fn english() -> Self {
        stop_words::lookup("en").unwrap_or_default().iter().copied().collect()
    }

    /// The lines of `text`, exactly as they are; a carriage return before a newline is no part of a line. Empty lines
    /// mean nothing.
    pub fn from_list(text: &str) -> Self {
        text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect()
    }

    /// Whether `term` is a stop word.
    #[inline]
    pub fn contains(&self, term: &[u8]) -> bool {
        term.first().is_some_and(|&first| self.lengths[first as usize] & length_bit(term) != 0)
            && self.words.contains(term)
    }

    /// How many different words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

impl<'a> FromIterator<&'a str> for StopWords {
    /// The set of these words; an empty one means nothing.
    fn from_iter<I: IntoIterator<Item = &'a str>>(words: I) -> Self {
        let mut lengths = Box::new([0; 256]);
        let words = words
            .into_iter()
            .filter_map(|word| {
                let word = word.as_bytes();
                lengths[*word.first()? as usize] |= length_bit(word);
                Some(word.into())
            })
            .collect();
        StopWords { words, lengths }
    }
}

#[inline]
fn length_bit(word: &[u8]) -> u64 {
    1 << word.len().min(63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn english_is_the_published_list() {
        let english = StopWords::english();
        assert_eq!(english.len(), 198);
        for word in ["the", "and", "i", "don", "don't", "ll", "ve", "yourselves"] {
            assert!(english.contains(word.as_bytes()), "{word}");
        }
        for word in ["The", "", "whale", "thee", "yourselve", "\u{e9}"] {
            assert!(!english.contains(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn a_list_is_taken_as_it_is() {
        let list = StopWords::from_list("Foo\r\n\r\n\n bar \né\n\rx\nFoo\nlast\r");
        assert_eq!(list.len(), 5);
        for word in ["Foo", " bar ", "é", "\rx", "last"] {
            assert!(list.contains(word.as_bytes()), "{word:?}");
        }
        for word in ["foo", "bar", "", "\r", "x", "Foo\r"] {
            assert!(!list.contains(word.as_bytes()), "{word:?}");
        }
        assert!(StopWords::from_list("").is_empty());
        assert!(!StopWords::from_list("").contains(b""));
    }

    proptest! {
        #[test]
        fn contains_what_it_was_given(
            words in proptest::collection::vec("[ab]{0,3}|[a-cé]{60,70}", 0..20),
            others in proptest::collection::vec("[ab]{0,3}|[a-cé]{60,70}", 0..20),
        ) {
            let set: HashSet<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
            let ours = StopWords::from_list(&words.join("\n"));
            prop_assert_eq!(ours.len(), set.len());
            for word in words.iter().chain(&others) {
                prop_assert_eq!(ours.contains(word.as_bytes()), set.contains(word.as_str()));
            }
        }
    }
}
