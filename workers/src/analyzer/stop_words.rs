//! Stop words: terms that are dropped. Every token is looked up, so most tokens are rejected by their first byte and
//! their length, before anything is hashed.
//!
//! The lists of languages are those of NLTK's stop word corpus, and of Stopwords ISO where NLTK has none, from the
//! `stop-words` package. The English list has 198 words: Snowball's list, with the parts into which a word pattern splits
//! contractions, such as `don` and `ll`. A file can give any other list.

use super::TextSettings;
use rustc_hash::FxHashSet;

/// A set of terms.
#[derive(Clone, Debug)]
pub struct StopWords {
    words: FxHashSet<Box<[u8]>>,
    /// The lengths of the terms with each first byte: bit `n` for `n` bytes, the last bit for all longer ones.
    lengths: Box<[u64; 256]>,
}

/// Languages with a list, in alphabetical order, and their codes in the package.
const LANGUAGES: [(&str, &str); 67] = [
    ("afrikaans", "af"),
    ("albanian", "sq"),
    ("arabic", "ar"),
    ("armenian", "hy"),
    ("azerbaijani", "az"),
    ("basque", "eu"),
    ("belarusian", "be"),
    ("bengali", "bn"),
    ("breton", "br"),
    ("bulgarian", "bg"),
    ("catalan", "ca"),
    ("chinese", "zh"),
    ("croatian", "hr"),
    ("czech", "cs"),
    ("danish", "da"),
    ("dutch", "nl"),
    ("english", "en"),
    ("esperanto", "eo"),
    ("estonian", "et"),
    ("finnish", "fi"),
    ("french", "fr"),
    ("galician", "gl"),
    ("german", "de"),
    ("greek", "el"),
    ("gujarati", "gu"),
    ("hausa", "ha"),
    ("hebrew", "he"),
    ("hindi", "hi"),
    ("hinglish", "hinglish"),
    ("hungarian", "hu"),
    ("indonesian", "id"),
    ("irish", "ga"),
    ("italian", "it"),
    ("japanese", "ja"),
    ("kazakh", "kk"),
    ("korean", "ko"),
    ("kurdish", "ku"),
    ("latin", "la"),
    ("latvian", "lv"),
    ("lithuanian", "lt"),
    ("malay", "ms"),
    ("marathi", "mr"),
    ("nepali", "ne"),
    ("norwegian", "no"),
    ("persian", "fa"),
    ("polish", "pl"),
    ("portuguese", "pt"),
    ("romanian", "ro"),
    ("russian", "ru"),
    ("slovak", "sk"),
    ("slovenian", "sl"),
    ("somali", "so"),
    ("sotho", "st"),
    ("spanish", "es"),
    ("swahili", "sw"),
    ("swedish", "sv"),
    ("tagalog", "tl"),
    ("tajik", "tg"),
    ("tamil", "ta"),
    ("thai", "th"),
    ("turkish", "tr"),
    ("ukrainian", "uk"),
    ("urdu", "ur"),
    ("uzbek", "uz"),
    ("vietnamese", "vi"),
    ("yoruba", "yo"),
    ("zulu", "zu"),
];

/// A language without a list.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("no list of stop words for {0:?}; there are {list}", list = languages().collect::<Vec<_>>().join(", "))]
pub struct UnknownLanguage(pub String);

/// The names of all languages with a list, in alphabetical order.
pub fn languages() -> impl Iterator<Item = &'static str> {
    LANGUAGES.iter().map(|&(name, _)| name)
}

/// The list of a language, in lower case; `None` if there is none.
pub fn list_of(language: &str) -> Option<impl Iterator<Item = &'static str>> {
    let (_, code) = LANGUAGES.iter().find(|&&(name, _)| name == language)?;
    // Some lists contain words with spaces at their ends.
    Some(stop_words::lookup(code)?.iter().map(|word| word.trim()))
}

impl StopWords {
    /// The built-in list of a language, named as in [`languages`].
    ///
    /// # Errors
    /// [`UnknownLanguage`], whose message lists the names there are.
    pub fn of_language(language: &str) -> Result<Self, UnknownLanguage> {
        let list = list_of(language).ok_or_else(|| UnknownLanguage(language.to_owned()))?;
        Ok(list.collect())
    }

    /// Adds, for each word with a straight apostrophe, the same word with a curly one (U+2019).
    pub fn with_curly_apostrophes(self) -> Self {
        let words = self.words.iter().filter_map(|word| std::str::from_utf8(word).ok());
        let curly =
            words.clone().filter(|word| word.contains('\'')).map(|word| word.replace('\'', "\u{2019}"));
        let curly: Vec<String> = curly.collect();
        words.chain(curly.iter().map(String::as_str)).collect()
    }

    /// The words after the normalisation of `settings`: lowered, without accents.
    pub fn normalised(self, settings: &TextSettings) -> Self {
        let words = self.words.iter().filter_map(|word| std::str::from_utf8(word).ok());
        let words: Vec<String> = words.map(|word| settings.normalised(word)).collect();
        words.iter().map(String::as_str).collect()
    }

    /// Whether `term` is a stop word.
    #[inline]
    pub(crate) fn contains(&self, term: &[u8]) -> bool {
        term.first().is_some_and(|&first| self.lengths[first as usize] & length_bit(term) != 0)
            && self.words.contains(term)
    }
}

impl<'a> FromIterator<&'a str> for StopWords {
    /// The set of these words. An empty word has no effect.
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
        let english = StopWords::of_language("english").unwrap();
        assert_eq!(english.words.len(), 198);
        for word in ["the", "and", "i", "don", "don't", "ll", "ve", "yourselves"] {
            assert!(english.contains(word.as_bytes()), "{word}");
        }
        for word in ["The", "", "whale", "thee", "yourselve", "\u{e9}"] {
            assert!(!english.contains(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn every_language_has_a_list() {
        for language in languages() {
            assert!(StopWords::of_language(language).is_ok_and(|list| list.words.len() > 10), "{language}");
        }
        assert!(languages().is_sorted());
        for (language, word) in [("german", "nicht"), ("polish", "jest"), ("basque", "ala")] {
            assert!(StopWords::of_language(language).unwrap().contains(word.as_bytes()), "{language}");
        }
        let error = StopWords::of_language("German").unwrap_err().to_string();
        assert!(error.starts_with("no list of stop words for \"German\"; there are afrikaans, "), "{error}");
    }

    #[test]
    fn apostrophes_may_be_curly() {
        let curly = StopWords::from_iter(["don't", "the"]).with_curly_apostrophes();
        for (word, is_stop_word) in [("don't", true), ("don\u{2019}t", true), ("the", true), ("dont", false)]
        {
            assert_eq!(curly.contains(word.as_bytes()), is_stop_word, "{word}");
        }
    }

    #[test]
    fn a_list_is_taken_as_it_is() {
        let list = StopWords::from_iter(["Foo", "", " bar ", "é", "\rx", "Foo", "last"]);
        assert_eq!(list.words.len(), 5);
        for word in ["Foo", " bar ", "é", "\rx", "last"] {
            assert!(list.contains(word.as_bytes()), "{word:?}");
        }
        for word in ["foo", "bar", "", "\r", "x", "Foo\r"] {
            assert!(!list.contains(word.as_bytes()), "{word:?}");
        }
    }

    proptest! {
        #[test]
        fn contains_what_it_was_given(
            words in proptest::collection::vec("[ab]{0,3}|[a-cé]{60,70}", 0..20),
            others in proptest::collection::vec("[ab]{0,3}|[a-cé]{60,70}", 0..20),
        ) {
            let set: HashSet<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
            let ours = StopWords::from_iter(words.iter().map(String::as_str));
            prop_assert_eq!(ours.words.len(), set.len());
            for word in words.iter().chain(&others) {
                prop_assert_eq!(ours.contains(word.as_bytes()), set.contains(word.as_str()));
            }
        }
    }
}
