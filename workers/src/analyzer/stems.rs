//! Stems: words without their endings, by the Snowball algorithms (Martin Porter and others, snowballstem.org).
//!
//! The algorithms are the Rust output of Snowball's compiler 3.1 (`snowstem`). Results equal those of PyStemmer 3.1,
//! which was checked word by word. The algorithms expect words in lower case; they leave other words unchanged, or
//! nearly so.

use snowstem::Algorithm;
use std::borrow::Cow;

/// The supported languages, by their Snowball names.
const LANGUAGES: [&str; 21] = [
    "arabic",
    "czech",
    "danish",
    "dutch",
    "dutch_porter",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hungarian",
    "italian",
    "norwegian",
    "polish",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
];

/// A language without a stemmer.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("no stemmer for {0:?}; there are {list}", list = LANGUAGES.join(", "))]
pub struct UnknownLanguage(pub String);

/// The stemmer of one language.
#[derive(Clone, Debug)]
pub struct Stemmer {
    stemmer: snowstem::Stemmer,
}

impl Stemmer {
    /// The stemmer of a language, by its English name in lower case.
    ///
    /// # Errors
    /// [`UnknownLanguage`], whose message lists the names there are.
    pub fn new(language: &str) -> Result<Self, UnknownLanguage> {
        match language.parse::<Algorithm>() {
            Ok(algorithm) => Ok(Stemmer { stemmer: snowstem::Stemmer::create(algorithm) }),
            Err(_) => Err(UnknownLanguage(language.to_owned())),
        }
    }

    /// The stem of `word`; the word itself if the algorithm does not change it.
    pub(crate) fn stem<'a>(&self, word: &'a str) -> Cow<'a, str> {
        self.stemmer.stem(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of language, word, and stem by PyStemmer 3.1.0. The words are those of the Universal Declaration
    /// of Human Rights in each language, and of the Snowball project's descriptions.
    const EXPECTED: &str = include_str!("testdata/stems.tsv");

    #[test]
    fn stems_are_pystemmers() {
        let mut stem = String::new();
        let mut languages = Vec::new();
        for line in EXPECTED.lines() {
            let [language, word, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line:?}")
            };
            let stemmer = Stemmer::new(language).unwrap();
            assert_eq!(stemmer.stem(word), expected, "{language} {word}");
            stemmer.stemmer.stem_into(word, &mut stem);
            assert_eq!(stem, expected, "{language} {word}");
            languages.push(language);
        }
        languages.dedup();
        assert_eq!(languages, LANGUAGES);
    }

    #[test]
    fn an_unknown_language_is_told_the_known_ones() {
        for name in ["klingon", "English", "", "en"] {
            let error = Stemmer::new(name).unwrap_err();
            assert_eq!(error, UnknownLanguage(name.to_owned()));
            assert!(
                error.to_string().starts_with(&format!("no stemmer for {name:?}; there are arabic, czech, "))
            );
        }
    }

    #[test]
    fn a_word_that_stays_is_not_copied() {
        let stemmer = Stemmer::new("english").unwrap();
        assert!(matches!(stemmer.stem("run"), Cow::Borrowed("run")));
        assert!(matches!(stemmer.stem(""), Cow::Borrowed("")));
    }

    proptest! {
        #[test]
        fn any_word_has_a_stem_in_any_language(word in "\\PC{0,20}", index in 0..LANGUAGES.len()) {
            let mut stem = String::from("before");
            let stemmer = Stemmer::new(LANGUAGES[index]).unwrap();
            stemmer.stemmer.stem_into(&word, &mut stem);
            prop_assert_eq!(stemmer.stem(&word), stem);
        }
    }
}
