//! The settings that are a choice among a few values. The engine defines some of them itself: [`DecodeError`],
//! [`Encoding`], [`StripAccents`], [`Norm`], [`Dtype`].
//!
//! Serde defines their names in the manifest, and the command line uses the same names.

pub use bowline_workers::analyzer::accents::StripAccents;
pub use bowline_workers::analyzer::decode::DecodeError;
pub use bowline_workers::encoding::Encoding;
pub use bowline_workers::matrix_plan::{Dtype, Norm};

use serde::{Deserialize, Serialize};

/// Whether documents with a NUL byte in their first 8 KiB are embedded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binary {
    /// They fail.
    Fail,
    /// They are text, in which NUL separates words.
    Embed,
}

/// What a column is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureKind {
    /// A term.
    Vocabulary,
    /// A bucket that terms are hashed to.
    Hashed,
}

/// What a stored cell holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightKind {
    /// Occurrences of the term in the document, tf.
    Count,
    /// 1.
    Binary,
    /// tf times inverse document frequency.
    Tfidf,
    /// BM25 of the term and the document.
    Bm25,
}

/// What terms are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnalyzerKind {
    /// Words.
    Word,
    /// Characters.
    Char,
    /// Characters of words, with a space on either side.
    CharWb,
}

/// The tokenizer, which finds words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerKind {
    /// A regular expression, the token pattern.
    Pattern,
    /// Unicode's word boundaries (UAX #29), with dictionaries for Chinese, Japanese, Thai and others.
    Unicode,
}

/// Variants of BM25, as the bm25s package names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bm25 {
    /// idf is never negative.
    Lucene,
    /// idf is 0 for terms of half of the documents and more.
    Robertson,
    /// idf is ln(N / df), and tf tends to k1 + 1.
    Atire,
    /// BM25+ (Lv and Zhai, 2011): as atire, and each term that occurs gets delta.
    #[serde(rename = "bm25+")]
    Plus,
    /// BM25L (Lv and Zhai, 2011): tf by length gets delta before it saturates.
    #[serde(rename = "bm25l")]
    Long,
}

/// Sizes of n-grams, in words or characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NgramSizes {
    /// The least, from 1.
    pub min: u32,
    /// The largest.
    pub max: u32,
}

/// The largest n-gram: longer ones are a mistake.
const MAX_NGRAM: u32 = 1000;

impl NgramSizes {
    /// These sizes, if there are n-grams of them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn checked(self) -> Result<Self, String> {
        let NgramSizes { min, max } = self;
        if min > max {
            return Err(format!("the least size, {min}, is above the largest, {max}"));
        }
        if min < 1 || max > MAX_NGRAM { Err(Self::wrong()) } else { Ok(self) }
    }

    fn wrong() -> String {
        format!("sizes are MIN or MIN:MAX, from 1 to {MAX_NGRAM}, as 1:2")
    }
}

impl std::str::FromStr for NgramSizes {
    type Err = String;

    /// Reads `MIN:MAX`, or `N` for `N:N`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once(':').unwrap_or((text, text));
        let size = |text: &str| text.parse().map_err(|_| Self::wrong());
        NgramSizes { min: size(min)?, max: size(max)? }.checked()
    }
}

/// The name of a choice, as the manifest and the command line have it; empty for a value that is no choice.
pub fn name(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ngram_sizes() {
        assert_eq!("1:2".parse(), Ok(NgramSizes { min: 1, max: 2 }));
        assert_eq!("3".parse(), Ok(NgramSizes { min: 3, max: 3 }));
        for wrong in ["3:1", "0:1", "", ":", "1:", "a", "1:2:3", "1:5000", "-1"] {
            assert!(wrong.parse::<NgramSizes>().is_err(), "{wrong}");
        }
    }
}
