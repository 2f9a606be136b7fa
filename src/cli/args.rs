//! The options of `bowline embed` and `bowline inspect`, and what they choose.

use super::values::{
    Progress, choice, parse_count, parse_from_0, parse_latency, parse_number, parse_seconds, parse_share,
    parse_size,
};
use crate::memory::MemoryLimits;
use crate::output::Format;
use crate::pool::{Confinement, Mode};
use crate::settings::{
    AnalyzerKind, Binary, Bm25, DecodeError, Df, Dtype, FeatureKind, NgramSizes, Norm, SettingsBuilder,
    StripAccents, TokenizerKind, WeightKind,
};
use bowline_workers::hashing::MAX_FEATURES;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// `bowline embed`.
#[derive(Args, Debug)]
pub struct EmbedArgs {
    /// Directories (walked recursively) and files; rows are sorted by path
    #[arg(required = true, value_name = "CORPUS")]
    pub corpus: Vec<PathBuf>,

    /// Directory to write; it appears when all is done
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub output: PathBuf,

    /// Replace an output that exists, or an empty directory; one with other files stays
    #[arg(long, help_heading = "Output")]
    pub force: bool,

    /// Container of the matrix: npz is sparse (scipy.sparse.load_npz), npy dense (numpy.load)
    #[arg(long, value_parser = choice::<Format>(), default_value = "npz", help_heading = "Output")]
    pub format: Format,

    /// The same as --format npy
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub dense: bool,

    /// Don't wait until the output is on disk
    #[arg(long, help_heading = "Output")]
    pub no_sync: bool,

    /// Take files that match GLOB, or with a leading `!` leave out files and folders that match; the last match decides.
    /// Without a slash GLOB is a name, with one a path beneath CORPUS; `sub/` is all that is beneath sub. May be repeated
    #[arg(long = "glob", value_name = "GLOB", help_heading = "Documents", verbatim_doc_comment)]
    pub globs: Vec<String>,

    /// Hidden files and folders too
    #[arg(long, help_heading = "Documents")]
    pub hidden: bool,

    /// Follow links to files and folders, but not to a folder above the link or above CORPUS; each file and folder is
    /// taken once, however many paths lead to it
    #[arg(long, help_heading = "Documents")]
    pub follow: bool,

    /// Documents above SIZE bytes fail as too large (K, M, G: powers of 1024) [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Documents")]
    pub max_document_bytes: Option<u64>,

    /// What becomes of a document with a NUL in its first 8 KiB [default: fail]
    #[arg(long, value_parser = choice::<Binary>(), help_heading = "Documents")]
    pub binary: Option<Binary>,

    /// What becomes of bytes that are no UTF-8 (scikit-learn: decode_error) [default: strict]
    #[arg(long, value_parser = choice::<DecodeError>(), help_heading = "Documents")]
    pub decode_error: Option<DecodeError>,

    /// What terms are made of (scikit-learn: analyzer) [default: word]
    #[arg(long, value_parser = choice::<AnalyzerKind>(), help_heading = "Terms")]
    pub analyzer: Option<AnalyzerKind>,

    /// Terms are runs of MIN to MAX words or characters (scikit-learn: ngram_range) [default: 1:1]
    #[arg(long, value_name = "MIN[:MAX]", help_heading = "Terms")]
    pub ngrams: Option<NgramSizes>,

    /// What finds words [default: pattern]
    #[arg(long, value_parser = choice::<TokenizerKind>(), help_heading = "Terms")]
    pub tokenizer: Option<TokenizerKind>,

    /// Words are what REGEX matches, with Python's meaning; one capture group is the word (scikit-learn: token_pattern)
    /// [default: (?u)\b\w\w+\b]
    #[arg(long, value_name = "REGEX", help_heading = "Terms", verbatim_doc_comment)]
    pub token_pattern: Option<String>,

    /// Keep capital letters (scikit-learn: lowercase=False)
    #[arg(long, help_heading = "Terms")]
    pub no_lowercase: bool,

    /// Take accents off: by Unicode decomposition, or all that is not ASCII (scikit-learn: strip_accents) [default: keep]
    #[arg(long, value_parser = choice::<StripAccents>(), help_heading = "Terms")]
    pub strip_accents: Option<StripAccents>,

    /// Leave out the stop words of a language (english, german, ...), or those of a file with a word a line (scikit-learn:
    /// stop_words) [default: none]
    #[arg(long, value_name = "LANGUAGE|FILE", help_heading = "Terms", verbatim_doc_comment)]
    pub stop_words: Option<String>,

    /// Cut words to their stems (Snowball), after stop words are out [default: keep words]
    #[arg(long, value_name = "LANGUAGE", help_heading = "Terms")]
    pub stem: Option<String>,

    /// What columns are: terms, or buckets that terms are hashed to (scikit-learn: HashingVectorizer) [default: vocabulary]
    #[arg(long, value_parser = choice::<FeatureKind>(), help_heading = "Columns")]
    pub features: Option<FeatureKind>,

    /// Drop terms of fewer documents: 2 is two documents, 0.1 a tenth of them (scikit-learn: min_df) [default: 1]
    #[arg(long, value_name = "N|SHARE", help_heading = "Columns")]
    pub min_df: Option<Df>,

    /// Drop terms of more documents: 1 is one document, 1.0 all of them (scikit-learn: max_df) [default: 1.0]
    #[arg(long, value_name = "N|SHARE", help_heading = "Columns")]
    pub max_df: Option<Df>,

    /// Keep the K terms that occur most often, the lesser one between equals (scikit-learn: max_features) [default: all]
    #[arg(long, value_name = "K", value_parser = parse_count, help_heading = "Columns")]
    pub max_features: Option<u64>,

    /// Use these columns: a file with a term a line, an output's vocabulary.jsonl, or an earlier output (then its text settings and
    /// idf, too)
    #[arg(long, value_name = "PATH", help_heading = "Columns")]
    pub vocabulary: Option<PathBuf>,

    /// Number of buckets, with --features hashed (scikit-learn: n_features) [default: 1048576]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_FEATURES as i64), help_heading = "Columns")]
    pub n_features: Option<u32>,

    /// Count all terms positively, with --features hashed (scikit-learn: alternate_sign=False)
    #[arg(long, help_heading = "Columns")]
    pub no_alternate_sign: bool,

    /// Write which terms fell in each bucket to hash_terms.jsonl, with --features hashed
    #[arg(long, help_heading = "Columns")]
    pub hash_terms: bool,

    /// What a stored cell holds (scikit-learn: CountVectorizer, binary=True, TfidfVectorizer) [default: count]
    #[arg(long, value_parser = choice::<WeightKind>(), help_heading = "Values")]
    pub weight: Option<WeightKind>,

    /// Take 1 + ln(tf) for tf, with --weight tfidf (scikit-learn: sublinear_tf)
    #[arg(long, help_heading = "Values")]
    pub sublinear_tf: bool,

    /// Take idf without an extra document that has every term, with --weight tfidf (scikit-learn: smooth_idf=False)
    #[arg(long, help_heading = "Values")]
    pub no_smooth_idf: bool,

    /// Which BM25 (bm25s: method) [default: lucene]
    #[arg(long, value_parser = choice::<Bm25>(), help_heading = "Values")]
    pub bm25: Option<Bm25>,

    /// How late a term's count saturates, with --weight bm25 (bm25s: k1) [default: 1.5]
    #[arg(long, value_name = "NUMBER", value_parser = parse_from_0, help_heading = "Values")]
    pub k1: Option<f64>,

    /// How much a document's length counts, from 0 to 1, with --weight bm25 (bm25s: b) [default: 0.75]
    #[arg(long, value_name = "NUMBER", value_parser = parse_share, help_heading = "Values")]
    pub b: Option<f64>,

    /// What a term gets because it occurs at all, with --bm25 bm25+ or bm25l (bm25s: delta) [default: 0.5]
    #[arg(long, value_name = "NUMBER", value_parser = parse_from_0, help_heading = "Values")]
    pub delta: Option<f64>,

    /// What each row is divided by (scikit-learn: norm) [default: l2 for tfidf, else none]
    #[arg(long, value_parser = choice::<Norm>(), help_heading = "Values")]
    pub norm: Option<Norm>,

    /// Type of the values [default: i32 for count and binary without a norm, else f32]
    #[arg(long, value_parser = choice::<Dtype>(), help_heading = "Values")]
    pub dtype: Option<Dtype>,

    /// Where workers live
    #[arg(long, value_parser = choice::<Mode>(), default_value = "processes", help_heading = "Running")]
    pub mode: Mode,

    /// Number of workers [default: the cores this process may use, or as many as there is memory for]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Running")]
    pub workers: Option<u32>,

    /// Documents that may be read at the same time, by all workers together: for storage that must not be flooded
    /// [default: as many as there are workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Running", verbatim_doc_comment)]
    pub max_reads: Option<u32>,

    /// Milliseconds that each read of a document is delayed at least, as slow storage would: for measurements
    #[arg(long, value_name = "MILLISECONDS", default_value = "0", value_parser = parse_latency, hide_default_value = true, help_heading = "Running")]
    pub read_latency: Duration,

    /// Bytes of memory that the run may take: half of them for the rows that were counted, half for the workers
    /// [default: what is available]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Running", verbatim_doc_comment)]
    pub memory: Option<u64>,

    /// Bytes of memory that a worker may take; a document that needs more fails (in threads and
    /// inline mode: of all together, and the run ends)
    /// [default: available memory / (workers + 1), or a worker's part of --memory]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Running", verbatim_doc_comment)]
    pub worker_memory: Option<u64>,

    /// Where rows lie that memory has no room for, or that --resume keeps [default: beside the output]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub scratch: Option<PathBuf>,

    /// Keep what was counted on disk if the run does not finish, and go on from what an earlier one has kept
    #[arg(long, help_heading = "Running")]
    pub resume: bool,

    /// What worker processes may do besides reading files and computing
    #[arg(long, value_parser = choice::<Confinement>(), default_value = "auto", help_heading = "Running")]
    pub sandbox: Confinement,

    /// Seconds that a document may make no progress before its worker is ended
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds, help_heading = "Running")]
    pub document_timeout: f64,

    /// Documents that may kill their worker before the run gives up
    #[arg(long, alias = "max-failures", value_name = "N", default_value = "100", value_parser = parse_number, help_heading = "Running")]
    pub max_crashes: usize,

    /// When to draw the progress bar
    #[arg(long, value_parser = choice::<Progress>(), default_value = "auto", help_heading = "Running")]
    pub progress: Progress,

    /// No summary and no list of failed documents
    #[arg(short, long, help_heading = "Running")]
    pub quiet: bool,

    /// Write phases, times, bytes, tokens, retries and per-worker usage to FILE, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub report: Option<PathBuf>,
}

/// `bowline inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// An output of embed
    #[arg(value_name = "DIR")]
    pub output: PathBuf,

    /// Show one document's terms, best first: by its path as in documents.jsonl, or its row from 0
    #[arg(long, value_name = "PATH|ROW", conflicts_with = "term")]
    pub document: Option<String>,

    /// Show one term and the documents with its highest values
    #[arg(long, value_name = "TERM")]
    pub term: Option<String>,

    /// How many terms and documents to show
    #[arg(long, value_name = "N", default_value = "10")]
    pub top: usize,

    /// JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

impl EmbedArgs {
    /// The settings that the options choose, but for stop words, which may be in a file.
    pub fn settings(&self) -> SettingsBuilder {
        SettingsBuilder {
            max_document_bytes: self.max_document_bytes,
            binary: self.binary,
            decode_error: self.decode_error,
            lowercase: self.no_lowercase.then_some(false),
            strip_accents: self.strip_accents,
            analyzer: self.analyzer,
            ngrams: self.ngrams,
            tokenizer: self.tokenizer,
            token_pattern: self.token_pattern.clone(),
            stop_words: None,
            stem: self.stem.clone(),
            features: self.features,
            min_df: self.min_df,
            max_df: self.max_df,
            max_features: self.max_features,
            n_features: self.n_features,
            alternate_sign: self.no_alternate_sign.then_some(false),
            weight: self.weight,
            sublinear_tf: self.sublinear_tf.then_some(true),
            smooth_idf: self.no_smooth_idf.then_some(false),
            bm25: self.bm25,
            k1: self.k1,
            b: self.b,
            delta: self.delta,
            norm: self.norm,
            dtype: self.dtype,
        }
    }

    /// The memory that the run may take.
    pub fn memory(&self) -> MemoryLimits {
        MemoryLimits { run: self.memory, worker: self.worker_memory }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hints::option;
    use crate::cli::command;
    use crate::settings::{Base, Setting, SettingsBuilder, WeightKind};
    use serde_json::Value;

    /// The default that `--help` names for the option of a setting.
    fn in_help(setting: Setting) -> Option<String> {
        let command = command();
        let embed = command.find_subcommand("embed").expect("a command");
        let name = option(setting);
        let argument = embed.get_arguments().find(|argument| argument.get_long() == name.strip_prefix("--"));
        let help =
            argument.unwrap_or_else(|| panic!("no option {name}")).get_help().expect("help").to_string();
        let (_, default) = help.rsplit_once("[default: ")?;
        Some(default.strip_suffix(']').expect("the end of the default").to_owned())
    }

    #[test]
    fn defaults_in_help_are_those_that_settings_have() {
        let built = |builder: SettingsBuilder| {
            let settings = builder.build(Base::default()).expect("settings");
            serde_json::to_value(settings).expect("JSON")
        };
        let plain = built(SettingsBuilder::default());
        let weighted = |weight| built(SettingsBuilder { weight: Some(weight), ..SettingsBuilder::default() });
        let hashed = built(SettingsBuilder {
            features: Some(crate::settings::FeatureKind::Hashed),
            ..SettingsBuilder::default()
        });
        let value = |settings: &Value, setting: Setting| {
            let name = setting.name();
            let parts = settings.as_object().expect("parts").values();
            parts.filter_map(|part| part.get(&name)).next().expect("a setting").clone()
        };
        let mut compared = 0;
        for setting in Setting::ALL {
            let Some(said) = in_help(setting) else { continue };
            let real = match setting {
                Setting::NFeatures => value(&hashed, setting),
                _ => value(&plain, setting),
            };
            let real = match (setting, &real) {
                (Setting::Ngrams, sizes) => format!("{}:{}", sizes["min"], sizes["max"]),
                (Setting::Norm | Setting::Dtype, _) => {
                    let of = |weight| value(&weighted(weight), setting).as_str().expect("a name").to_owned();
                    let [count, binary, tfidf, bm25] =
                        [WeightKind::Count, WeightKind::Binary, WeightKind::Tfidf, WeightKind::Bm25].map(of);
                    assert_eq!(count, binary);
                    match setting {
                        Setting::Norm => {
                            assert_eq!(count, bm25);
                            format!("{tfidf} for tfidf, else {count}")
                        }
                        _ => {
                            assert_eq!(tfidf, bm25);
                            format!("{count} for count and binary without a norm, else {tfidf}")
                        }
                    }
                }
                (Setting::StripAccents, Value::Null) => "keep".to_owned(),
                (Setting::StopWords, Value::Null) => "none".to_owned(),
                (Setting::Stem, Value::Null) => "keep words".to_owned(),
                (Setting::MaxFeatures, Value::Null) => "all".to_owned(),
                (Setting::MaxDocumentBytes, Value::Null) => "no limit".to_owned(),
                (_, Value::String(name)) => name.clone(),
                (_, other) => other.to_string(),
            };
            assert_eq!(said, real, "{setting:?}");
            compared += 1;
        }
        assert!(compared > 15, "{compared} defaults");
    }
}
