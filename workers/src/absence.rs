//! The reason why a document that was read has no term: a hint for a user whose corpus has no term at all.
//!
//! Analyzes only documents without a term a second time, and only if they were read in one chunk, so the cost is small.

use crate::analyzer::chunks::Chunk;
use crate::analyzer::{Analyzer, Grams, Span, TermSink, Tokenizer};
use crate::lexicon::TermFilter;

/// A reason why a document has no term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Absence {
    /// The document is empty, or contains only white space and NULs.
    Empty,
    /// It contains no letter and no digit.
    NoWord,
    /// Its words have one character each, and the default pattern requires two.
    ShortWords,
    /// The token pattern matches nothing.
    NoMatch,
    /// All its words are stop words.
    StopWords,
    /// It has fewer words, or characters, than the smallest n-gram.
    FewerThanNgram,
}

/// All reasons, in the order of their numbers from 1.
const ALL: [Absence; 6] = [
    Absence::Empty,
    Absence::NoWord,
    Absence::ShortWords,
    Absence::NoMatch,
    Absence::StopWords,
    Absence::FewerThanNgram,
];

impl Absence {
    /// The reason's number in a record, from 1.
    pub(crate) fn encode(self) -> u32 {
        self as u32 + 1
    }

    /// The reason with that number in a record; `None` if there is none.
    pub fn decode(number: u32) -> Option<Self> {
        ALL.get((number as usize).checked_sub(1)?).copied()
    }

    /// The reason why `text` has no term. `text` is the text of a whole document as `analyzer` left it; it is
    /// overwritten.
    pub(crate) fn of(text: &mut Vec<u8>, analyzer: &mut Analyzer, term_filter: &TermFilter) -> Self {
        let shown = String::from_utf8_lossy(text);
        if shown.trim_matches(|c: char| c.is_whitespace() || c == '\0').is_empty() {
            return Absence::Empty;
        }
        let Grams::Words { tokenizer, .. } = analyzer.grams() else { return Absence::FewerThanNgram };
        let has_pattern = matches!(tokenizer, Tokenizer::Pattern(_));
        let has_character = shown.chars().any(char::is_alphanumeric);
        let mut words = Words { term_filter, all: 0, kept: 0 };
        // The text was analyzed before without an error, so an error is not possible now.
        let _ = analyzer.analyze(text, Chunk::WHOLE, &mut words);
        match words {
            Words { all: 0, .. } if has_pattern => Absence::NoMatch,
            Words { all: 0, .. } if has_character => Absence::ShortWords,
            Words { all: 0, .. } => Absence::NoWord,
            Words { kept: 0, .. } => Absence::StopWords,
            _ => Absence::FewerThanNgram,
        }
    }
}

/// Counts all words, and the words that are not stop words.
struct Words<'a> {
    term_filter: &'a TermFilter,
    all: u64,
    kept: u64,
}

impl TermSink for Words<'_> {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        for &[start, end] in spans {
            self.all += 1;
            self.kept += self.term_filter.filtered(&text[start as usize..end as usize]).is_some() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::TextSettings;
    use crate::analyzer::pattern::TokenPattern;
    use crate::analyzer::stop_words::StopWords;
    use std::sync::Arc;

    #[test]
    fn reasons_are_told_apart() {
        let settings = |grams| TextSettings::new(grams);
        let words = |tokenizer, sizes| settings(Grams::Words { tokenizer, sizes });
        let term_filter =
            TermFilter { stop_words: Some(Arc::new(StopWords::from_iter(["the", "and"]))), stemmer: None };
        let pattern = Tokenizer::Pattern(Arc::new(TokenPattern::new("x+").unwrap()));
        for (text, settings, absence) in [
            (" \n\t", words(Tokenizer::Words, 1..=1), Absence::Empty),
            ("... --", words(Tokenizer::Words, 1..=1), Absence::NoWord),
            ("a b c", words(Tokenizer::Words, 1..=1), Absence::ShortWords),
            ("cat", words(pattern, 1..=1), Absence::NoMatch),
            ("the and the", words(Tokenizer::Words, 1..=2), Absence::StopWords),
            ("the cat", words(Tokenizer::Words, 2..=2), Absence::FewerThanNgram),
            ("cat", settings(Grams::Chars { sizes: 9..=9 }), Absence::FewerThanNgram),
        ] {
            let mut analyzer = Analyzer::new(&settings);
            // Repeated, because one document must leave no state for the next.
            for _ in 0..3 {
                assert_eq!(Absence::of(&mut text.into(), &mut analyzer, &term_filter), absence, "{text:?}");
            }
            assert_eq!(Absence::decode(absence.encode()), Some(absence));
        }
        assert_eq!((Absence::decode(0), Absence::decode(7)), (None, None));
    }
}
