//! The settings that change the result: chosen by a caller ([`SettingsBuilder`]), written to the manifest, and read from an
//! earlier one when its vocabulary is used again. Knows no command line.

mod builder;
mod kinds;
mod pruning;

pub(crate) use builder::needs;
pub use builder::{Base, DEFAULT_PATTERN, Setting, SettingsBuilder, SettingsError};
pub use kinds::{
    AnalyzerKind, Binary, Bm25, DecodeError, Dtype, Encoding, FeatureKind, NgramSizes, Norm, StripAccents,
    TokenizerKind, WeightKind, name,
};
pub use pruning::{Df, Pruning};

use bowline_workers::analyzer::pattern::TokenPattern;
use bowline_workers::analyzer::stems::Stemmer;
use bowline_workers::analyzer::stop_words::StopWords;
use bowline_workers::analyzer::unicode::UnicodeVersion;
use bowline_workers::analyzer::{Grams, TextSettings, Tokenizer};
use bowline_workers::hashing::Buckets;
use bowline_workers::idf::Idf;
use bowline_workers::lexicon::TermFilter;
use bowline_workers::matrix_plan::{Bm25Tf, ValueSettings, Weight};
use bowline_workers::reader::{Decoding, ReadSettings};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Every setting that changes the result.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// How documents are read and become terms.
    pub text: Text,
    /// What columns are.
    pub columns: ColumnSettings,
    /// What cells hold.
    pub values: Values,
}

/// How documents are read and become terms.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Text {
    /// Larger documents fail.
    pub max_document_bytes: Option<u64>,
    /// The treatment of documents with a NUL byte.
    pub binary: Binary,
    /// The encoding of documents. Outputs of earlier versions do not name it: it was UTF-8.
    #[serde(default)]
    pub encoding: Encoding,
    /// The treatment of bytes that are not valid in it.
    pub decode_error: DecodeError,
    /// Whether capital letters go.
    pub lowercase: bool,
    /// How accents go.
    pub strip_accents: Option<StripAccents>,
    /// What terms are made of.
    pub analyzer: AnalyzerKind,
    /// Words or characters a term.
    pub ngrams: NgramSizes,
    /// The tokenizer, which finds words.
    pub tokenizer: TokenizerKind,
    /// What words are, for the tokenizer that asks.
    pub token_pattern: String,
    /// Stop words: words that are not terms.
    pub stop_words: Option<StopWordList>,
    /// The language whose endings are cut off.
    pub stem: Option<String>,
}

/// Stop words: words that are not terms.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StopWordList {
    /// The built-in list of a language.
    Language(String),
    /// These.
    Given {
        /// The words, in lower case if text is lowered.
        words: Vec<String>,
    },
}

/// What columns are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ColumnSettings {
    /// Terms or buckets.
    pub features: FeatureKind,
    /// Whether the vocabulary was given, not found.
    pub fixed_vocabulary: bool,
    /// Documents that a term must have.
    pub min_df: Df,
    /// Documents that a term may have.
    pub max_df: Df,
    /// Terms that are kept.
    pub max_features: Option<u64>,
    /// Buckets.
    pub n_features: Option<u32>,
    /// Whether half of the buckets' terms count negatively.
    pub alternate_sign: Option<bool>,
}

/// What cells hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Values {
    /// By what formula.
    pub weight: WeightKind,
    /// Whether tf is 1 + ln(tf).
    pub sublinear_tf: bool,
    /// Whether idf counts an extra document that has every term.
    pub smooth_idf: bool,
    /// Which BM25.
    pub bm25: Bm25,
    /// How late a term's count saturates.
    pub k1: f64,
    /// How much a document's length counts.
    pub b: f64,
    /// What BM25+ and BM25L give a term that occurs in addition.
    #[serde(default = "default_delta")]
    pub delta: f64,
    /// What rows are divided by.
    pub norm: Norm,
    /// Their type.
    pub dtype: Dtype,
}

impl Text {
    /// Whether terms are words without white space in them.
    pub fn has_plain_words(&self) -> bool {
        let is_plain =
            self.tokenizer == TokenizerKind::Unicode || TokenPattern::is_default(&self.token_pattern);
        self.analyzer == AnalyzerKind::Word && is_plain
    }

    /// Which files are read.
    pub fn reading(&self) -> ReadSettings {
        ReadSettings {
            max_bytes: self.max_document_bytes.unwrap_or(u64::MAX),
            embed_binary: self.binary == Binary::Embed,
            decoding: (!self.encoding.is_utf8())
                .then_some(Decoding { encoding: self.encoding, decode_error: self.decode_error }),
            ..ReadSettings::default()
        }
    }

    /// How text becomes terms.
    ///
    /// # Errors
    /// A token pattern that does not compile.
    pub fn analysis(&self) -> Result<TextSettings, SettingsError> {
        let sizes = self.ngrams.min as usize..=self.ngrams.max as usize;
        let tokenizer = match self.tokenizer {
            TokenizerKind::Unicode => Tokenizer::Unicode,
            TokenizerKind::Pattern if TokenPattern::is_default(&self.token_pattern) => Tokenizer::Words,
            TokenizerKind::Pattern => {
                let pattern = TokenPattern::new(&self.token_pattern);
                Tokenizer::Pattern(Arc::new(pattern.map_err(invalid(Setting::TokenPattern))?))
            }
        };
        Ok(TextSettings {
            lowercase: self.lowercase,
            decode_error: self.decode_error,
            strip_accents: self.strip_accents,
            grams: match self.analyzer {
                AnalyzerKind::Word => Grams::Words { tokenizer, sizes },
                AnalyzerKind::Char => Grams::Chars { sizes },
                AnalyzerKind::CharWb => Grams::WordChars { sizes },
            },
            unicode: UnicodeVersion::Newest,
        })
    }

    /// The processing of words before they become terms.
    ///
    /// # Errors
    /// A language without a stemmer or a list of stop words.
    pub fn term_filter(&self) -> Result<TermFilter, SettingsError> {
        let stop_words = match &self.stop_words {
            None => None,
            Some(StopWordList::Language(language)) => {
                let list = StopWords::of_language(language).map_err(invalid(Setting::StopWords))?;
                // Accents last: a curly apostrophe may be what is taken off.
                Some(list.with_curly_apostrophes().normalised(&self.analysis()?))
            }
            Some(StopWordList::Given { words }) => {
                let list: StopWords = words.iter().map(String::as_str).collect();
                Some(match self.tokenizer {
                    TokenizerKind::Unicode => list.with_curly_apostrophes(),
                    TokenizerKind::Pattern => list,
                })
            }
        };
        let stemmer = self.stem.as_deref().map(Stemmer::new).transpose();
        let stemmer = stemmer.map_err(invalid(Setting::Stem))?;
        Ok(TermFilter { stop_words: stop_words.map(Arc::new), stemmer: stemmer.map(Arc::new) })
    }
}

impl ColumnSettings {
    /// Which terms get no column.
    pub fn pruning(&self) -> Pruning {
        Pruning {
            min_df: self.min_df,
            max_df: self.max_df,
            max_features: self.max_features.map(|most| most as usize),
        }
    }

    /// The buckets of hashed features.
    pub fn buckets(&self) -> Option<Buckets> {
        let n_features = self.n_features?;
        Some(Buckets { n_features, alternate_sign: self.alternate_sign.unwrap_or(true) })
    }
}

impl Values {
    /// The formula of idf, if the weight has one.
    pub fn idf(&self) -> Option<Idf> {
        match (self.weight, self.bm25) {
            (WeightKind::Count | WeightKind::Binary, _) => None,
            (WeightKind::Tfidf, _) if self.smooth_idf => Some(Idf::Smooth),
            (WeightKind::Tfidf, _) => Some(Idf::Plain),
            (WeightKind::Bm25, Bm25::Lucene) => Some(Idf::Lucene),
            (WeightKind::Bm25, Bm25::Robertson) => Some(Idf::Robertson),
            (WeightKind::Bm25, Bm25::Atire) => Some(Idf::Atire),
            (WeightKind::Bm25, Bm25::Plus) => Some(Idf::Plus),
            (WeightKind::Bm25, Bm25::Long) => Some(Idf::Long),
        }
    }

    /// How counts become values.
    pub fn cells(&self) -> ValueSettings {
        ValueSettings {
            weight: match self.weight {
                WeightKind::Count => Weight::Count,
                WeightKind::Binary => Weight::Binary,
                WeightKind::Tfidf => Weight::TfIdf { sublinear: self.sublinear_tf },
                WeightKind::Bm25 => {
                    let tf = match self.bm25 {
                        Bm25::Lucene | Bm25::Robertson => Bm25Tf::Plain { ceiling: 1.0 },
                        Bm25::Atire => Bm25Tf::Plain { ceiling: self.k1 + 1.0 },
                        Bm25::Plus => Bm25Tf::Plus { delta: self.delta },
                        Bm25::Long => Bm25Tf::Long { delta: self.delta },
                    };
                    Weight::Bm25 { k1: self.k1, b: self.b, tf }
                }
            },
            norm: self.norm,
            dtype: self.dtype,
        }
    }
}

fn default_delta() -> f64 {
    builder::DEFAULT_DELTA
}

/// An error about the value of one setting.
fn invalid<E: std::fmt::Display>(setting: Setting) -> impl Fn(E) -> SettingsError {
    move |error| SettingsError::Invalid(setting, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_workers::analyzer::chunks::Chunk;
    use bowline_workers::analyzer::{Analyzer, Span, TermSink, stop_words};

    /// The terms of a text.
    #[derive(Default)]
    struct Found(Vec<Vec<u8>>);

    impl TermSink for Found {
        fn terms(&mut self, text: &[u8], spans: &[Span]) {
            self.0.extend(spans.iter().map(|&[start, end]| text[start as usize..end as usize].to_vec()));
        }
    }

    #[test]
    fn each_word_of_a_built_in_list_is_dropped() {
        let text = |language: &str, tokenizer, strip_accents| Text {
            max_document_bytes: None,
            binary: Binary::Fail,
            encoding: Encoding::UTF_8,
            decode_error: DecodeError::Strict,
            lowercase: true,
            strip_accents,
            analyzer: AnalyzerKind::Word,
            ngrams: NgramSizes { min: 1, max: 1 },
            tokenizer,
            token_pattern: DEFAULT_PATTERN.to_owned(),
            stop_words: Some(StopWordList::Language(language.to_owned())),
            stem: None,
        };
        let accents = [None, Some(StripAccents::Unicode), Some(StripAccents::Ascii)];
        for tokenizer in [TokenizerKind::Pattern, TokenizerKind::Unicode] {
            for (language, accents) in
                stop_words::languages().flat_map(|language| accents.map(|accents| (language, accents)))
            {
                let text = text(language, tokenizer, accents);
                let (settings, term_filter) = (text.analysis().unwrap(), text.term_filter().unwrap());
                let mut analyzer = Analyzer::new(&settings);
                let mut dropped = 0;
                for word in stop_words::list_of(language).unwrap() {
                    let mut found = Found::default();
                    analyzer.analyze(&mut word.as_bytes().to_vec(), Chunk::WHOLE, &mut found).unwrap();
                    // A word that is broken up, or of which only a part is a token, can't be dropped.
                    if found.0 == [settings.normalised(word).into_bytes()] {
                        let kept = term_filter.filtered(&found.0[0]);
                        assert_eq!(kept, None, "{language} {tokenizer:?} {accents:?} {word}");
                        dropped += 1;
                    }
                }
                assert!(dropped > 0 || accents.is_some(), "{language} {tokenizer:?}");
            }
        }
    }
}
