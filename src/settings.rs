//! The settings that change the result: resolved from the command line, written to the manifest, and read from an
//! earlier one when its vocabulary is used again.

use crate::cli::{
    Analyzer, Binary, Bm25, DecodeErrorChoice, DtypeChoice, EmbedArgs, FeaturesChoice, NgramSizes,
    NormChoice, StripAccentsChoice, TokenizerChoice, WeightChoice,
};
use crate::coordinator::{Pruning, Share};
use crate::corpus::display_path;
use crate::usage_error::UsageError;
use crate::word_list;
use anyhow::{Context as _, Result, anyhow, ensure};
use bowline_workers::analyzer::accents::StripAccents;
use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::analyzer::pattern::TokenPattern;
use bowline_workers::analyzer::stems::Stemmer;
use bowline_workers::analyzer::stop_words::{self, StopWords};
use bowline_workers::analyzer::{Grams, TextSettings, Tokenizer};
use bowline_workers::hashing::{Buckets, MOST_FEATURES};
use bowline_workers::idf::Idf;
use bowline_workers::lexicon::Sieve;
use bowline_workers::plan::{Bm25Tf, Dtype, Norm, ValueSettings, Weight};
use bowline_workers::reader::{ReadSettings, WINDOW};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// scikit-learn's default: words of two or more characters.
pub const DEFAULT_PATTERN: &str = r"(?u)\b\w\w+\b";

/// Buckets of hashed features, as in scikit-learn.
const DEFAULT_FEATURES: u32 = 1 << 20;

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
    /// What becomes of documents with a NUL.
    pub binary: Binary,
    /// What becomes of bytes that are no UTF-8.
    pub decode_error: DecodeErrorChoice,
    /// Whether capital letters go.
    pub lowercase: bool,
    /// How accents go.
    pub strip_accents: Option<StripAccentsChoice>,
    /// What terms are made of.
    pub analyzer: Analyzer,
    /// Words or characters a term.
    pub ngrams: NgramSizes,
    /// What finds words.
    pub tokenizer: TokenizerChoice,
    /// What words are, for the tokenizer that asks.
    pub token_pattern: String,
    /// Words that are no terms.
    pub stop_words: Option<StopWordList>,
    /// The language whose endings are cut off.
    pub stem: Option<String>,
}

/// Words that are no terms.
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
    pub features: FeaturesChoice,
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

/// A number or a share of documents, as it was written: `1` is one document, `1.0` all of them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Df {
    /// A number of documents, 1 at least.
    Documents(u64),
    /// A share of them.
    Share(f64),
}

/// What cells hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Values {
    /// By what formula.
    pub weight: WeightChoice,
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
    pub norm: NormChoice,
    /// Their type.
    pub dtype: DtypeChoice,
}

/// The delta of the bm25s package.
fn default_delta() -> f64 {
    0.5
}

impl std::str::FromStr for Df {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse::<u64>() {
            return if number >= 1 {
                Ok(Df::Documents(number))
            } else {
                Err("a number of documents is 1 or more".into())
            };
        }
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Df::Share(share)),
            _ => Err("a number of documents such as 2, or a share from 0.0 to 1.0".into()),
        }
    }
}

impl From<Df> for Share {
    fn from(df: Df) -> Self {
        match df {
            Df::Documents(number) => Share::Documents(number),
            Df::Share(share) => Share::Of(share),
        }
    }
}

/// An option's value: as given, or else the earlier output's, or else the default. What contradicts an earlier
/// output is refused.
struct Resolver<'a, S> {
    earlier: Option<&'a S>,
}

impl<S> Resolver<'_, S> {
    fn text<T: PartialEq + Clone>(
        &self,
        option: &str,
        given: Option<T>,
        earlier: impl Fn(&S) -> T,
        default: T,
    ) -> Result<T, UsageError> {
        match (given, self.earlier.map(earlier)) {
            (Some(given), Some(earlier)) if given != earlier => Err(UsageError(format!(
                "{option} contradicts the earlier output given by --vocabulary (leave it out)"
            ))),
            (Some(given), _) => Ok(given),
            (None, earlier) => Ok(earlier.unwrap_or(default)),
        }
    }

    /// As `text`, but of an option that may differ from the earlier output's.
    fn value<T>(&self, given: Option<T>, earlier: impl Fn(&S) -> T, default: T) -> T {
        given.or(self.earlier.map(earlier)).unwrap_or(default)
    }
}

impl Settings {
    /// The settings that the command line means, on top of an earlier output's if there is one. `has_vocabulary`
    /// tells whether any vocabulary is given; `interrupted` holds the number of a signal that asked the run to end.
    ///
    /// # Errors
    /// Wrong usage: options that contradict each other or the earlier output; files of stop words that can't be read;
    /// `RunError::Interrupted`.
    pub fn resolve(
        args: &EmbedArgs,
        earlier: Option<&Settings>,
        has_vocabulary: bool,
        interrupted: &AtomicUsize,
    ) -> Result<Self> {
        let text = Text::resolve(args, earlier.map(|settings| &settings.text), interrupted)?;
        let columns =
            ColumnSettings::resolve(args, earlier.map(|settings| &settings.columns), has_vocabulary)?;
        let values = Values::resolve(args, earlier.map(|settings| &settings.values))?;
        let has_signs = columns.alternate_sign == Some(true);
        let needs = |what: &str| {
            UsageError(format!("{what} needs --no-alternate-sign: it has no meaning for negative counts"))
        };
        if has_signs && values.weight == WeightChoice::Tfidf && values.sublinear_tf {
            return Err(needs("--sublinear-tf with --features hashed").into());
        }
        if has_signs && values.weight == WeightChoice::Bm25 {
            return Err(needs("--weight bm25 with --features hashed").into());
        }
        Ok(Settings { text, columns, values })
    }

    /// Refuses values that no command line could have given: a manifest may come from anywhere.
    ///
    /// # Errors
    /// Which setting is wrong.
    pub fn check(&self) -> Result<()> {
        let Settings { text, columns, values } = self;
        text.ngrams.checked().map_err(|error| anyhow!("ngrams: {error}"))?;
        let is_hashed = columns.features == FeaturesChoice::Hashed;
        let is_count = |count: u32| (1..=MOST_FEATURES).contains(&count);
        ensure!(columns.n_features.is_none_or(is_count), "n_features: from 1 to {MOST_FEATURES}");
        ensure!(columns.n_features.is_some() == is_hashed, "n_features: only where features are hashed");
        let is_finite = |number: f64| number >= 0.0 && number.is_finite();
        ensure!(is_finite(values.k1), "k1: a number from 0 on");
        ensure!(is_finite(values.delta), "delta: a number from 0 on");
        ensure!((0.0..=1.0).contains(&values.b), "b: a number from 0 to 1");
        // A token pattern, a language. Nobody has used the command line wrong if these are.
        text.analysis().and(text.sieve()).map_err(|error| anyhow!(error.0))?;
        Ok(())
    }
}

impl Text {
    fn resolve(args: &EmbedArgs, earlier: Option<&Text>, interrupted: &AtomicUsize) -> Result<Self> {
        let with = Resolver { earlier };
        let analyzer = with.text("--analyzer", args.analyzer, |t| t.analyzer, Analyzer::Word)?;
        let word_only: [(&str, bool); 4] = [
            ("--tokenizer", args.tokenizer.is_some()),
            ("--token-pattern", args.token_pattern.is_some()),
            ("--stop-words", args.stop_words.is_some()),
            ("--stem", args.stem.is_some()),
        ];
        if let (true, Some((option, _))) =
            (analyzer != Analyzer::Word, word_only.iter().find(|option| option.1))
        {
            return Err(UsageError(format!("{option} needs --analyzer word")).into());
        }
        let tokenizer =
            with.text("--tokenizer", args.tokenizer, |t| t.tokenizer, TokenizerChoice::Pattern)?;
        if tokenizer == TokenizerChoice::Unicode && args.token_pattern.is_some() {
            return Err(UsageError("--token-pattern needs --tokenizer pattern".to_owned()).into());
        }
        let has_pattern = args.token_pattern.is_some() || earlier.is_some_and(|text| !text.has_plain_words());
        let read = |list| StopWordList::read(list, !has_pattern, interrupted);
        let stop_words = args.stop_words.as_deref().map(read);
        let stop_words = stop_words.transpose()?;
        let pattern = args.token_pattern.clone();
        Ok(Text {
            max_document_bytes: with.value(args.max_document_bytes.map(Some), |t| t.max_document_bytes, None),
            binary: with.text("--binary", args.binary, |t| t.binary, Binary::Fail)?,
            decode_error: with.text(
                "--decode-error",
                args.decode_error,
                |t| t.decode_error,
                DecodeErrorChoice::Strict,
            )?,
            lowercase: with.text(
                "--no-lowercase",
                args.no_lowercase.then_some(false),
                |t| t.lowercase,
                true,
            )?,
            strip_accents: with.text(
                "--strip-accents",
                args.strip_accents.map(Some),
                |t| t.strip_accents,
                None,
            )?,
            analyzer,
            ngrams: with.text("--ngrams", args.ngrams, |t| t.ngrams, NgramSizes { min: 1, max: 1 })?,
            tokenizer,
            token_pattern: with.text(
                "--token-pattern",
                pattern,
                |t| t.token_pattern.clone(),
                DEFAULT_PATTERN.to_owned(),
            )?,
            stop_words: with.text("--stop-words", stop_words.map(Some), |t| t.stop_words.clone(), None)?,
            stem: with.text("--stem", args.stem.clone().map(Some), |t| t.stem.clone(), None)?,
        })
    }

    /// Whether terms are words without white space in them.
    pub fn has_plain_words(&self) -> bool {
        let is_plain =
            self.tokenizer == TokenizerChoice::Unicode || TokenPattern::is_default(&self.token_pattern);
        self.analyzer == Analyzer::Word && is_plain
    }

    /// Which files are read.
    pub fn reading(&self) -> ReadSettings {
        ReadSettings {
            max_bytes: self.max_document_bytes.unwrap_or(u64::MAX),
            embed_binary: self.binary == Binary::Embed,
            window: WINDOW,
        }
    }

    /// How text becomes terms.
    ///
    /// # Errors
    /// Wrong usage: a pattern that does not compile.
    pub fn analysis(&self) -> Result<TextSettings, UsageError> {
        let sizes = self.ngrams.min as usize..=self.ngrams.max as usize;
        let tokenizer = match self.tokenizer {
            TokenizerChoice::Unicode => Tokenizer::Unicode,
            TokenizerChoice::Pattern if TokenPattern::is_default(&self.token_pattern) => Tokenizer::Words,
            TokenizerChoice::Pattern => {
                let pattern = TokenPattern::new(&self.token_pattern);
                Tokenizer::Pattern(Arc::new(
                    pattern.map_err(|error| UsageError(format!("--token-pattern: {error}")))?,
                ))
            }
        };
        Ok(TextSettings {
            lowercase: self.lowercase,
            decode_error: match self.decode_error {
                DecodeErrorChoice::Strict => DecodeError::Strict,
                DecodeErrorChoice::Replace => DecodeError::Replace,
                DecodeErrorChoice::Ignore => DecodeError::Ignore,
            },
            strip_accents: self.strip_accents.map(|choice| match choice {
                StripAccentsChoice::Unicode => StripAccents::Unicode,
                StripAccentsChoice::Ascii => StripAccents::Ascii,
            }),
            grams: match self.analyzer {
                Analyzer::Word => Grams::Words { tokenizer, sizes },
                Analyzer::Char => Grams::Chars { sizes },
                Analyzer::CharWb => Grams::WordChars { sizes },
            },
        })
    }

    /// What becomes of words before they are terms.
    ///
    /// # Errors
    /// Wrong usage: a language without a stemmer.
    pub fn sieve(&self) -> Result<Sieve, UsageError> {
        let stop_words = match &self.stop_words {
            None => None,
            Some(StopWordList::Language(language)) => {
                let list = StopWords::of_language(language)
                    .map_err(|error| UsageError(format!("--stop-words: {error}")))?;
                // Accents last: a curly apostrophe may be what is taken off.
                Some(list.with_curly_apostrophes().normalised(&self.analysis()?))
            }
            Some(StopWordList::Given { words }) => {
                let list: StopWords = words.iter().map(String::as_str).collect();
                Some(match self.tokenizer {
                    TokenizerChoice::Unicode => list.with_curly_apostrophes(),
                    TokenizerChoice::Pattern => list,
                })
            }
        };
        let stemmer = self.stem.as_deref().map(Stemmer::new).transpose();
        let stemmer = stemmer.map_err(|error| UsageError(format!("--stem: {error}")))?;
        Ok(Sieve { stop_words: stop_words.map(Arc::new), stemmer: stemmer.map(Arc::new) })
    }
}

impl StopWordList {
    /// A language with a list, or else the words of a file, without the white space around them if `trims`. (`./german` is a
    /// file.)
    fn read(argument: &str, trims: bool, interrupted: &AtomicUsize) -> Result<Self> {
        if stop_words::list_of(argument).is_some() {
            return Ok(StopWordList::Language(argument.to_owned()));
        }
        let shown = || format!("--stop-words {}", display_path(argument.as_bytes()));
        if !Path::new(argument).exists() && !argument.contains(['/', '.']) {
            let error = stop_words::UnknownLanguage(argument.to_owned());
            return Err(UsageError(format!("{}: no such file, and {error}", shown())).into());
        }
        let words = word_list::read(Path::new(argument), trims, interrupted).with_context(shown)?.words;
        Ok(StopWordList::Given { words: words.into_iter().filter(|word| !word.is_empty()).collect() })
    }
}

impl ColumnSettings {
    fn resolve(
        args: &EmbedArgs,
        earlier: Option<&ColumnSettings>,
        has_vocabulary: bool,
    ) -> Result<Self, UsageError> {
        let with = Resolver { earlier };
        let features = with.text("--features", args.features, |c| c.features, FeaturesChoice::Vocabulary)?;
        let hashed = features == FeaturesChoice::Hashed;
        let hashed_only = [
            ("--n-features", args.n_features.is_some()),
            ("--no-alternate-sign", args.no_alternate_sign),
            ("--hash-terms", args.hash_terms),
        ];
        let pruning = [
            ("--min-df", args.min_df.is_some()),
            ("--max-df", args.max_df.is_some()),
            ("--max-features", args.max_features.is_some()),
        ];
        let first =
            |options: &[(&'static str, bool)]| options.iter().find(|option| option.1).map(|option| option.0);
        match (first(&hashed_only), first(&pruning)) {
            (Some(option), _) if !hashed => {
                return Err(UsageError(format!("{option} needs --features hashed")));
            }
            (_, Some(option)) if hashed => {
                return Err(UsageError(format!(
                    "{option} needs --features vocabulary: buckets are not pruned"
                )));
            }
            (_, Some(option)) if has_vocabulary => {
                return Err(UsageError(format!("{option} and --vocabulary exclude each other")));
            }
            _ => {}
        }
        let cross = match (args.min_df, args.max_df) {
            (Some(Df::Documents(min)), Some(Df::Documents(max))) => min > max,
            (Some(Df::Share(min)), Some(Df::Share(max))) => min > max,
            _ => false,
        };
        if cross {
            return Err(UsageError("--min-df is above --max-df: no term could be kept".to_owned()));
        }
        if hashed && has_vocabulary && earlier.is_none() {
            return Err(UsageError(
                "--vocabulary needs --features vocabulary: buckets have no terms".to_owned(),
            ));
        }
        let n_features = hashed.then_some(args.n_features.unwrap_or(DEFAULT_FEATURES));
        let given_features = args.n_features.map(Some);
        let sign = args.no_alternate_sign.then_some(Some(false));
        Ok(ColumnSettings {
            features,
            fixed_vocabulary: has_vocabulary && !hashed,
            min_df: with.value(args.min_df, |c| c.min_df, Df::Documents(1)),
            max_df: with.value(args.max_df, |c| c.max_df, Df::Share(1.0)),
            max_features: with.value(args.max_features.map(Some), |c| c.max_features, None),
            n_features: with.text("--n-features", given_features, |c| c.n_features, n_features)?,
            alternate_sign: with.text(
                "--no-alternate-sign",
                sign,
                |c| c.alternate_sign,
                hashed.then_some(true),
            )?,
        })
    }

    /// Which terms get no column.
    pub fn pruning(&self) -> Pruning {
        Pruning {
            min_df: self.min_df.into(),
            max_df: self.max_df.into(),
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
    fn resolve(args: &EmbedArgs, earlier: Option<&Values>) -> Result<Self, UsageError> {
        let with = Resolver { earlier };
        let weight = with.value(args.weight, |v| v.weight, WeightChoice::Count);
        let needing = [
            ("--sublinear-tf", args.sublinear_tf, WeightChoice::Tfidf, "tfidf"),
            ("--no-smooth-idf", args.no_smooth_idf, WeightChoice::Tfidf, "tfidf"),
            ("--bm25", args.bm25.is_some(), WeightChoice::Bm25, "bm25"),
            ("--k1", args.k1.is_some(), WeightChoice::Bm25, "bm25"),
            ("--b", args.b.is_some(), WeightChoice::Bm25, "bm25"),
            ("--delta", args.delta.is_some(), WeightChoice::Bm25, "bm25"),
        ];
        if let Some((option, _, _, name)) =
            needing.iter().find(|(_, given, needed, _)| *given && weight != *needed)
        {
            return Err(UsageError(format!("{option} needs --weight {name}")));
        }
        let bm25 = with.value(args.bm25, |v| v.bm25, Bm25::Lucene);
        if args.delta.is_some() && !matches!(bm25, Bm25::Plus | Bm25::Long) {
            return Err(UsageError("--delta needs --bm25 bm25+ or bm25l".to_owned()));
        }
        let default_norm = if weight == WeightChoice::Tfidf { NormChoice::L2 } else { NormChoice::None };
        let same_weight = earlier.filter(|values| values.weight == weight);
        let norm = args.norm.or(same_weight.map(|values| values.norm)).unwrap_or(default_norm);
        let has_float_weight = matches!(weight, WeightChoice::Tfidf | WeightChoice::Bm25);
        let is_float = norm != NormChoice::None || has_float_weight;
        let default_dtype = if is_float { DtypeChoice::F32 } else { DtypeChoice::I32 };
        let same = same_weight.filter(|values| values.norm == norm);
        let dtype = args.dtype.or(same.map(|values| values.dtype)).unwrap_or(default_dtype);
        if is_float && matches!(dtype, DtypeChoice::I32 | DtypeChoice::I64) {
            let what = if has_float_weight { "--weight tfidf or bm25" } else { "--norm" };
            return Err(UsageError(format!(
                "{what} needs --dtype f32 or f64: an integer can't hold its values"
            )));
        }
        Ok(Values {
            weight,
            sublinear_tf: with.value(args.sublinear_tf.then_some(true), |v| v.sublinear_tf, false),
            smooth_idf: with.value(args.no_smooth_idf.then_some(false), |v| v.smooth_idf, true),
            bm25,
            k1: with.value(args.k1, |v| v.k1, 1.5),
            b: with.value(args.b, |v| v.b, 0.75),
            delta: with.value(args.delta, |v| v.delta, default_delta()),
            norm,
            dtype,
        })
    }

    /// The formula of idf, if the weight has one.
    pub fn idf(&self) -> Option<Idf> {
        match (self.weight, self.bm25) {
            (WeightChoice::Count | WeightChoice::Binary, _) => None,
            (WeightChoice::Tfidf, _) if self.smooth_idf => Some(Idf::Smooth),
            (WeightChoice::Tfidf, _) => Some(Idf::Plain),
            (WeightChoice::Bm25, Bm25::Lucene) => Some(Idf::Lucene),
            (WeightChoice::Bm25, Bm25::Robertson) => Some(Idf::Robertson),
            (WeightChoice::Bm25, Bm25::Atire) => Some(Idf::Atire),
            (WeightChoice::Bm25, Bm25::Plus) => Some(Idf::Plus),
            (WeightChoice::Bm25, Bm25::Long) => Some(Idf::Long),
        }
    }

    /// How counts become values.
    pub fn cells(&self) -> ValueSettings {
        ValueSettings {
            weight: match self.weight {
                WeightChoice::Count => Weight::Count,
                WeightChoice::Binary => Weight::Binary,
                WeightChoice::Tfidf => Weight::TfIdf { sublinear: self.sublinear_tf },
                WeightChoice::Bm25 => {
                    let tf = match self.bm25 {
                        Bm25::Lucene | Bm25::Robertson => Bm25Tf::Plain { ceiling: 1.0 },
                        Bm25::Atire => Bm25Tf::Plain { ceiling: self.k1 + 1.0 },
                        Bm25::Plus => Bm25Tf::Plus { delta: self.delta },
                        Bm25::Long => Bm25Tf::Long { delta: self.delta },
                    };
                    Weight::Bm25 { k1: self.k1, b: self.b, tf }
                }
            },
            norm: match self.norm {
                NormChoice::None => Norm::None,
                NormChoice::L1 => Norm::L1,
                NormChoice::L2 => Norm::L2,
            },
            dtype: match self.dtype {
                DtypeChoice::I32 => Dtype::I32,
                DtypeChoice::I64 => Dtype::I64,
                DtypeChoice::F32 => Dtype::F32,
                DtypeChoice::F64 => Dtype::F64,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_workers::analyzer::pieces::Piece;
    use bowline_workers::analyzer::{Analyzer as TextAnalyzer, Span, TermSink};

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
            decode_error: DecodeErrorChoice::Strict,
            lowercase: true,
            strip_accents,
            analyzer: Analyzer::Word,
            ngrams: NgramSizes { min: 1, max: 1 },
            tokenizer,
            token_pattern: DEFAULT_PATTERN.to_owned(),
            stop_words: Some(StopWordList::Language(language.to_owned())),
            stem: None,
        };
        let accents = [None, Some(StripAccentsChoice::Unicode), Some(StripAccentsChoice::Ascii)];
        for tokenizer in [TokenizerChoice::Pattern, TokenizerChoice::Unicode] {
            for (language, accents) in
                stop_words::languages().flat_map(|language| accents.map(|accents| (language, accents)))
            {
                let text = text(language, tokenizer, accents);
                let (settings, sieve) = (text.analysis().unwrap(), text.sieve().unwrap());
                let mut analyzer = TextAnalyzer::new(&settings);
                let mut dropped = 0;
                for word in stop_words::list_of(language).unwrap() {
                    let mut found = Found::default();
                    analyzer.analyze(&mut word.as_bytes().to_vec(), Piece::WHOLE, &mut found).unwrap();
                    // A word that is broken up, or of which only a part is a token, can't be dropped.
                    if found.0 == [settings.normalised(word).into_bytes()] {
                        let kept = sieve.sift(&found.0[0]);
                        assert_eq!(kept, None, "{language} {tokenizer:?} {accents:?} {word}");
                        dropped += 1;
                    }
                }
                assert!(dropped > 0 || accents.is_some(), "{language} {tokenizer:?}");
            }
        }
    }

    #[test]
    fn the_written_type_decides() {
        assert_eq!("1".parse(), Ok(Df::Documents(1)));
        assert_eq!("1.0".parse(), Ok(Df::Share(1.0)));
        assert_eq!("0.5".parse(), Ok(Df::Share(0.5)));
        assert_eq!("1e-3".parse(), Ok(Df::Share(0.001)));
        for wrong in ["0", "-1", "1.5", "x", "", "nan", "-0.5"] {
            assert!(wrong.parse::<Df>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_df_stays_what_it_was_in_the_manifest() {
        for df in [Df::Documents(1), Df::Share(1.0), Df::Share(0.07)] {
            let text = serde_json::to_string(&df).unwrap();
            assert_eq!(serde_json::from_str::<Df>(&text).unwrap(), df, "{text}");
        }
    }
}
