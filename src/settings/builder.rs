//! Builds complete settings from a caller's choices, on top of an earlier output's settings or else of the defaults. Owns
//! the defaults, and the rules about settings that need or exclude each other.

use super::{
    AnalyzerKind, Binary, Bm25, ColumnSettings, DecodeError, Df, Dtype, Encoding, FeatureKind, NgramSizes,
    Norm, Settings, StopWordList, StripAccents, Text, TokenizerKind, Values, WeightKind, kinds,
};
use bowline_workers::analyzer::pattern::TokenPattern;
use bowline_workers::hashing::MAX_FEATURES;
use serde::Serialize;
use std::fmt;

/// scikit-learn's default: words of two or more characters.
pub const DEFAULT_PATTERN: &str = r"(?u)\b\w\w+\b";

/// Buckets of hashed features, as in scikit-learn.
const DEFAULT_FEATURES: u32 = 1 << 20;

/// The delta of the bm25s package.
pub(super) const DEFAULT_DELTA: f64 = 0.5;

/// What a caller chooses. A setting that is `None` is the earlier output's, or else has its default.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SettingsBuilder {
    /// Larger documents fail: bytes. No limit by default.
    pub max_document_bytes: Option<u64>,
    /// Whether binary documents are embedded; they fail by default.
    pub binary: Option<Binary>,
    /// The encoding of documents; UTF-8 by default.
    pub encoding: Option<Encoding>,
    /// What to do with bytes that are not valid in the encoding; by default the document fails.
    pub decode_error: Option<DecodeError>,
    /// Whether capital letters are lowered; they are by default.
    pub lowercase: Option<bool>,
    /// How accents are taken off; they stay by default.
    pub strip_accents: Option<StripAccents>,
    /// What terms are made of; words by default.
    pub analyzer: Option<AnalyzerKind>,
    /// Sizes of n-grams; 1 to 1 by default.
    pub ngrams: Option<NgramSizes>,
    /// What finds words; the token pattern by default.
    pub tokenizer: Option<TokenizerKind>,
    /// The regular expression of a word, [`DEFAULT_PATTERN`] by default.
    pub token_pattern: Option<String>,
    /// Stop words: words that are not terms; none by default.
    pub stop_words: Option<StopWordList>,
    /// The language of the stemmer; none by default.
    pub stem: Option<String>,
    /// What a column is; a term by default.
    pub features: Option<FeatureKind>,
    /// Documents that a term must occur in; 1 by default.
    pub min_df: Option<Df>,
    /// Documents that a term may occur in; all by default.
    pub max_df: Option<Df>,
    /// Terms that are kept; all by default.
    pub max_features: Option<u64>,
    /// Buckets of hashed features; 1,048,576 by default.
    pub n_features: Option<u32>,
    /// Whether half of the terms of hashed features count negatively; they do by default.
    pub alternate_sign: Option<bool>,
    /// What a stored cell holds; the count by default.
    pub weight: Option<WeightKind>,
    /// Whether tf is 1 + ln(tf); not by default.
    pub sublinear_tf: Option<bool>,
    /// Whether idf counts an extra document that has every term; it does by default.
    pub smooth_idf: Option<bool>,
    /// Which BM25; lucene by default.
    pub bm25: Option<Bm25>,
    /// How late a term's count saturates in BM25; 1.5 by default.
    pub k1: Option<f64>,
    /// How much a document's length counts in BM25, from 0 to 1; 0.75 by default.
    pub b: Option<f64>,
    /// What BM25+ and BM25L add for a term that occurs; 0.5 by default.
    pub delta: Option<f64>,
    /// What rows are divided by; l2 for tfidf, else nothing by default.
    pub norm: Option<Norm>,
    /// The type of the values; i32 for counts without a norm, else f32 by default.
    pub dtype: Option<Dtype>,
}

/// What settings are built on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Base<'a> {
    /// The settings of an earlier output whose vocabulary is used again.
    pub earlier: Option<&'a Settings>,
    /// Whether any vocabulary is given, by an earlier output or a list.
    pub has_vocabulary: bool,
}

/// A setting, by its name in [`SettingsBuilder`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are described where they are chosen, in SettingsBuilder")]
#[non_exhaustive]
pub enum Setting {
    MaxDocumentBytes,
    Binary,
    Encoding,
    DecodeError,
    Lowercase,
    StripAccents,
    Analyzer,
    Ngrams,
    Tokenizer,
    TokenPattern,
    StopWords,
    Stem,
    Features,
    MinDf,
    MaxDf,
    MaxFeatures,
    NFeatures,
    AlternateSign,
    HashTerms,
    Vocabulary,
    Weight,
    SublinearTf,
    SmoothIdf,
    Bm25,
    K1,
    B,
    Delta,
    Norm,
    Dtype,
}

impl Setting {
    /// All settings.
    pub const ALL: [Setting; 29] = [
        Setting::MaxDocumentBytes,
        Setting::Binary,
        Setting::Encoding,
        Setting::DecodeError,
        Setting::Lowercase,
        Setting::StripAccents,
        Setting::Analyzer,
        Setting::Ngrams,
        Setting::Tokenizer,
        Setting::TokenPattern,
        Setting::StopWords,
        Setting::Stem,
        Setting::Features,
        Setting::MinDf,
        Setting::MaxDf,
        Setting::MaxFeatures,
        Setting::NFeatures,
        Setting::AlternateSign,
        Setting::HashTerms,
        Setting::Vocabulary,
        Setting::Weight,
        Setting::SublinearTf,
        Setting::SmoothIdf,
        Setting::Bm25,
        Setting::K1,
        Setting::B,
        Setting::Delta,
        Setting::Norm,
        Setting::Dtype,
    ];

    /// Its name: that of its field, `min_df`.
    pub fn name(self) -> String {
        kinds::name(&self)
    }
}

/// Settings that make no sense together, or in themselves.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum SettingsError {
    /// The earlier output, whose vocabulary is used, has another value.
    Contradicts(Setting),
    /// A setting has a meaning only if another one has a certain value.
    Needs {
        /// The setting that was chosen, with its value if other values are possible.
        setting: (Setting, &'static str),
        /// The other one, and the values that it may have.
        needed: (Setting, &'static str),
        /// Why, if that is not plain.
        why: &'static str,
    },
    /// Both can't be chosen.
    Excludes(Setting, Setting),
    /// The first is larger than the second.
    Above(Setting, Setting),
    /// The weight needs an idf that the earlier output does not have.
    NoEarlierIdf,
    /// The value is wrong.
    Invalid(Setting, String),
}

impl SettingsError {
    /// The error in words. `named` writes a setting and the value that it has or needs, which may be empty.
    pub fn message(&self, named: impl Fn(Setting, &str) -> String) -> String {
        let name = |setting| named(setting, "");
        match self {
            SettingsError::Contradicts(setting) => format!(
                "{} contradicts the earlier output given by {} (leave it out)",
                name(*setting),
                name(Setting::Vocabulary)
            ),
            SettingsError::Needs { setting, needed, why } => {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                format!("{} needs {}{why}", named(setting.0, setting.1), named(needed.0, needed.1))
            }
            SettingsError::Excludes(one, other) => {
                format!("{} and {} exclude each other", name(*one), name(*other))
            }
            SettingsError::Above(low, high) => {
                format!("{} is above {}: no term could be kept", name(*low), name(*high))
            }
            SettingsError::NoEarlierIdf => format!(
                "{} needs an idf that the earlier output given by {} does not have",
                name(Setting::Weight),
                name(Setting::Vocabulary)
            ),
            SettingsError::Invalid(setting, what) => format!("{}: {what}", name(*setting)),
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message(|setting, value| match value {
            "" => setting.name(),
            value => format!("{}={value}", setting.name()),
        }))
    }
}

impl std::error::Error for SettingsError {}

type Result<T> = std::result::Result<T, SettingsError>;

/// A setting that needs another one.
pub(crate) fn needs(
    setting: Setting,
    needed: Setting,
    value: &'static str,
    why: &'static str,
) -> SettingsError {
    SettingsError::Needs { setting: (setting, ""), needed: (needed, value), why }
}

/// A setting: as chosen, or else the earlier output's, or else the default.
struct Resolver<'a, S> {
    earlier: Option<&'a S>,
}

impl<S> Resolver<'_, S> {
    /// A setting that has to be the earlier output's, if there is one.
    fn fitted<T: PartialEq>(
        &self,
        setting: Setting,
        chosen: Option<T>,
        earlier: impl Fn(&S) -> T,
        default: T,
    ) -> Result<T> {
        match (chosen, self.earlier.map(earlier)) {
            (Some(chosen), Some(earlier)) if chosen != earlier => Err(SettingsError::Contradicts(setting)),
            (Some(chosen), _) => Ok(chosen),
            (None, earlier) => Ok(earlier.unwrap_or(default)),
        }
    }

    /// A setting that may differ from the earlier output's.
    fn free<T>(&self, chosen: Option<T>, earlier: impl Fn(&S) -> T, default: T) -> T {
        chosen.or(self.earlier.map(earlier)).unwrap_or(default)
    }
}

impl SettingsBuilder {
    /// The whole settings.
    ///
    /// # Errors
    /// Settings that make no sense together, in themselves, or on top of the earlier output. Languages are looked up later.
    pub fn build(&self, base: Base) -> Result<Settings> {
        let Base { earlier, has_vocabulary } = base;
        let text = self.text(earlier.map(|settings| &settings.text))?;
        let columns = self.columns(earlier.map(|settings| &settings.columns), has_vocabulary)?;
        let values = self.values(earlier.map(|settings| &settings.values))?;
        if columns.alternate_sign == Some(true) {
            let positive = (Setting::AlternateSign, "false");
            let why = "it has no meaning for negative counts, which hashed features have";
            let needs = |setting| Err(SettingsError::Needs { setting, needed: positive, why });
            match values.weight {
                WeightKind::Tfidf if values.sublinear_tf => return needs((Setting::SublinearTf, "")),
                WeightKind::Bm25 => return needs((Setting::Weight, "bm25")),
                _ => {}
            }
        }
        let settings = Settings { text, columns, values };
        settings.check_numbers()?;
        settings.text.analysis()?;
        Ok(settings)
    }

    /// Whether terms are words without white space in them, as far as that is known before all is resolved.
    pub fn has_plain_words(&self, earlier: Option<&Settings>) -> bool {
        let earlier = earlier.map(|settings| &settings.text);
        let analyzer = self.analyzer.or(earlier.map(|text| text.analyzer));
        let tokenizer = self.tokenizer.or(earlier.map(|text| text.tokenizer));
        let pattern = self.token_pattern.as_deref().or(earlier.map(|text| text.token_pattern.as_str()));
        let has_default_pattern = pattern.is_none_or(TokenPattern::is_default);
        analyzer.is_none_or(|analyzer| analyzer == AnalyzerKind::Word)
            && (tokenizer == Some(TokenizerKind::Unicode) || has_default_pattern)
    }

    fn text(&self, earlier: Option<&Text>) -> Result<Text> {
        let with = Resolver { earlier };
        let analyzer = with.fitted(Setting::Analyzer, self.analyzer, |t| t.analyzer, AnalyzerKind::Word)?;
        let word_only = [
            (Setting::Tokenizer, self.tokenizer.is_some()),
            (Setting::TokenPattern, self.token_pattern.is_some()),
            (Setting::StopWords, self.stop_words.is_some()),
            (Setting::Stem, self.stem.is_some()),
        ];
        match chosen(&word_only) {
            Some(setting) if analyzer != AnalyzerKind::Word => {
                return Err(needs(setting, Setting::Analyzer, "word", ""));
            }
            _ => {}
        }
        let tokenizer =
            with.fitted(Setting::Tokenizer, self.tokenizer, |t| t.tokenizer, TokenizerKind::Pattern)?;
        if tokenizer == TokenizerKind::Unicode && self.token_pattern.is_some() {
            return Err(needs(Setting::TokenPattern, Setting::Tokenizer, "pattern", ""));
        }
        let (one, pattern) = (NgramSizes { min: 1, max: 1 }, DEFAULT_PATTERN.to_owned());
        let chosen_pattern = self.token_pattern.clone();
        let stop_words = self.stop_words.clone().map(Some);
        let stem = self.stem.clone().map(Some);
        Ok(Text {
            max_document_bytes: with.free(self.max_document_bytes.map(Some), |t| t.max_document_bytes, None),
            binary: with.fitted(Setting::Binary, self.binary, |t| t.binary, Binary::Fail)?,
            // The documents of the two runs may be in different encodings; their text is the same.
            encoding: with.free(self.encoding, |t| t.encoding, Encoding::UTF_8),
            decode_error: with.fitted(
                Setting::DecodeError,
                self.decode_error,
                |t| t.decode_error,
                DecodeError::Strict,
            )?,
            lowercase: with.fitted(Setting::Lowercase, self.lowercase, |t| t.lowercase, true)?,
            strip_accents: with.fitted(
                Setting::StripAccents,
                self.strip_accents.map(Some),
                |t| t.strip_accents,
                None,
            )?,
            analyzer,
            ngrams: with.fitted(Setting::Ngrams, self.ngrams, |t| t.ngrams, one)?,
            tokenizer,
            token_pattern: with.fitted(
                Setting::TokenPattern,
                chosen_pattern,
                |t| t.token_pattern.clone(),
                pattern,
            )?,
            stop_words: with.fitted(Setting::StopWords, stop_words, |t| t.stop_words.clone(), None)?,
            stem: with.fitted(Setting::Stem, stem, |t| t.stem.clone(), None)?,
        })
    }

    fn columns(&self, earlier: Option<&ColumnSettings>, has_vocabulary: bool) -> Result<ColumnSettings> {
        let with = Resolver { earlier };
        let features =
            with.fitted(Setting::Features, self.features, |c| c.features, FeatureKind::Vocabulary)?;
        let is_hashed = features == FeatureKind::Hashed;
        let hashed_only = [
            (Setting::NFeatures, self.n_features.is_some()),
            (Setting::AlternateSign, self.alternate_sign.is_some()),
        ];
        let pruning = [
            (Setting::MinDf, self.min_df.is_some()),
            (Setting::MaxDf, self.max_df.is_some()),
            (Setting::MaxFeatures, self.max_features.is_some()),
        ];
        match (chosen(&hashed_only), chosen(&pruning)) {
            (Some(setting), _) if !is_hashed => return Err(needs(setting, Setting::Features, "hashed", "")),
            (_, Some(setting)) if is_hashed => {
                return Err(needs(setting, Setting::Features, "vocabulary", "buckets are not pruned"));
            }
            (_, Some(setting)) if has_vocabulary => {
                return Err(SettingsError::Excludes(setting, Setting::Vocabulary));
            }
            _ => {}
        }
        let is_crossed = match (self.min_df, self.max_df) {
            (Some(Df::Documents(min)), Some(Df::Documents(max))) => min > max,
            (Some(Df::Share(min)), Some(Df::Share(max))) => min > max,
            _ => false,
        };
        if is_crossed {
            return Err(SettingsError::Above(Setting::MinDf, Setting::MaxDf));
        }
        if is_hashed && has_vocabulary && earlier.is_none() {
            return Err(needs(Setting::Vocabulary, Setting::Features, "vocabulary", "buckets have no terms"));
        }
        let n_features = is_hashed.then_some(self.n_features.unwrap_or(DEFAULT_FEATURES));
        let chosen_features = self.n_features.map(Some);
        let (sign, default_sign) = (self.alternate_sign.map(Some), is_hashed.then_some(true));
        Ok(ColumnSettings {
            features,
            fixed_vocabulary: has_vocabulary && !is_hashed,
            min_df: with.free(self.min_df, |c| c.min_df, Df::Documents(1)),
            max_df: with.free(self.max_df, |c| c.max_df, Df::Share(1.0)),
            max_features: with.free(self.max_features.map(Some), |c| c.max_features, None),
            n_features: with.fitted(Setting::NFeatures, chosen_features, |c| c.n_features, n_features)?,
            alternate_sign: with.fitted(Setting::AlternateSign, sign, |c| c.alternate_sign, default_sign)?,
        })
    }

    fn values(&self, earlier: Option<&Values>) -> Result<Values> {
        let with = Resolver { earlier };
        let weight = with.free(self.weight, |v| v.weight, WeightKind::Count);
        let of_tfidf = [
            (Setting::SublinearTf, self.sublinear_tf.is_some()),
            (Setting::SmoothIdf, self.smooth_idf.is_some()),
        ];
        let of_bm25 = [
            (Setting::Bm25, self.bm25.is_some()),
            (Setting::K1, self.k1.is_some()),
            (Setting::B, self.b.is_some()),
            (Setting::Delta, self.delta.is_some()),
        ];
        match (chosen(&of_tfidf), chosen(&of_bm25)) {
            (Some(setting), _) if weight != WeightKind::Tfidf => {
                return Err(needs(setting, Setting::Weight, "tfidf", ""));
            }
            (_, Some(setting)) if weight != WeightKind::Bm25 => {
                return Err(needs(setting, Setting::Weight, "bm25", ""));
            }
            _ => {}
        }
        let bm25 = with.free(self.bm25, |v| v.bm25, Bm25::Lucene);
        if self.delta.is_some() && !matches!(bm25, Bm25::Plus | Bm25::Long) {
            return Err(needs(Setting::Delta, Setting::Bm25, "bm25+ or bm25l", ""));
        }
        let default_norm = if weight == WeightKind::Tfidf { Norm::L2 } else { Norm::None };
        let same_weight = earlier.filter(|values| values.weight == weight);
        let norm = self.norm.or(same_weight.map(|values| values.norm)).unwrap_or(default_norm);
        let has_float_weight = matches!(weight, WeightKind::Tfidf | WeightKind::Bm25);
        let is_float = norm != Norm::None || has_float_weight;
        let default_dtype = if is_float { Dtype::F32 } else { Dtype::I32 };
        let same = same_weight.filter(|values| values.norm == norm);
        let dtype = self.dtype.or(same.map(|values| values.dtype)).unwrap_or(default_dtype);
        if is_float && matches!(dtype, Dtype::I32 | Dtype::I64) {
            let setting = match has_float_weight {
                true => (Setting::Weight, "tfidf or bm25"),
                false => (Setting::Norm, ""),
            };
            let (needed, why) = ((Setting::Dtype, "f32 or f64"), "an integer can't hold its values");
            return Err(SettingsError::Needs { setting, needed, why });
        }
        Ok(Values {
            weight,
            sublinear_tf: with.free(self.sublinear_tf, |v| v.sublinear_tf, false),
            smooth_idf: with.free(self.smooth_idf, |v| v.smooth_idf, true),
            bm25,
            k1: with.free(self.k1, |v| v.k1, 1.5),
            b: with.free(self.b, |v| v.b, 0.75),
            delta: with.free(self.delta, |v| v.delta, DEFAULT_DELTA),
            norm,
            dtype,
        })
    }
}

/// The first setting that was chosen.
fn chosen(settings: &[(Setting, bool)]) -> Option<Setting> {
    settings.iter().find(|(_, is_chosen)| *is_chosen).map(|(setting, _)| *setting)
}

impl Settings {
    /// Refuses values that no [`SettingsBuilder`] gives: a manifest may come from anywhere.
    ///
    /// # Errors
    /// Which setting is wrong.
    pub fn check(&self) -> Result<()> {
        self.check_numbers()?;
        self.text.analysis()?;
        self.text.term_filter().map(drop)
    }

    fn check_numbers(&self) -> Result<()> {
        let Settings { text, columns, values } = self;
        let invalid = |setting, what: String| SettingsError::Invalid(setting, what);
        text.ngrams.checked().map_err(|error| invalid(Setting::Ngrams, error))?;
        let is_hashed = columns.features == FeatureKind::Hashed;
        let is_count = |count: u32| (1..=MAX_FEATURES).contains(&count);
        if !columns.n_features.is_none_or(is_count) {
            return Err(invalid(Setting::NFeatures, format!("from 1 to {MAX_FEATURES}")));
        }
        if columns.n_features.is_some() != is_hashed {
            return Err(invalid(Setting::NFeatures, "only where features are hashed".to_owned()));
        }
        let is_df = |df: Df| match df {
            Df::Documents(number) => number >= 1,
            Df::Share(share) => (0.0..=1.0).contains(&share),
        };
        let is_from_0 = |number: f64| number >= 0.0 && number.is_finite();
        let numbers = [
            (Setting::MinDf, is_df(columns.min_df), "a number of documents, or a share from 0.0 to 1.0"),
            (Setting::MaxDf, is_df(columns.max_df), "a number of documents, or a share from 0.0 to 1.0"),
            (Setting::K1, is_from_0(values.k1), "a number of 0 or more"),
            (Setting::Delta, is_from_0(values.delta), "a number of 0 or more"),
            (Setting::B, (0.0..=1.0).contains(&values.b), "a number from 0 to 1"),
        ];
        if let Some((setting, _, what)) = numbers.into_iter().find(|(_, is_right, _)| !is_right) {
            return Err(invalid(setting, what.to_owned()));
        }
        Ok(())
    }
}
