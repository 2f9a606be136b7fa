//! The options of `bowline embed` and `bowline inspect`, and the settings that they choose.

use super::values::{
    EstimateFormat, Progress, choice, parse_count, parse_delimiter, parse_from_0, parse_latency,
    parse_number, parse_seconds, parse_shard, parse_share, parse_size,
};
use crate::Shard;
use crate::corpus::InputFormat;
use crate::memory::MemoryLimits;
use crate::output::Format;
use crate::pool::{Confinement, Mode};
use crate::settings::{
    AnalyzerKind, Binary, Bm25, DecodeError, Df, Dtype, Encoding, FeatureKind, NgramSizes, Norm,
    SettingsBuilder, StripAccents, TokenizerKind, WeightKind,
};
use bowline_workers::hashing::MAX_FEATURES;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// `bowline embed`.
#[derive(Args, Debug)]
pub struct EmbedArgs {
    /// Directories (walked recursively), files, and `-` for standard input; rows are sorted by path
    #[arg(required_unless_present = "files_from", value_name = "CORPUS")]
    pub corpus: Vec<PathBuf>,

    /// Write the output to DIR; DIR appears when the run has finished
    #[arg(short, long, value_name = "DIR", required_unless_present = "estimate", help_heading = "Output")]
    pub output: Option<PathBuf>,

    /// Write nothing: read a sample of the corpus and print how many documents, columns and non-zeros, how many bytes, how much
    /// memory and how many seconds to expect, each with an interval
    #[arg(long, value_name = "FORMAT", value_parser = choice::<EstimateFormat>(), num_args = 0..=1, require_equals = true, default_missing_value = "text", conflicts_with = "report", help_heading = "Output")]
    pub estimate: Option<EstimateFormat>,

    /// What is written.
    #[command(flatten)]
    pub sink: SinkArgs,

    /// Choose how to find documents in files [default: auto]
    #[arg(long, value_parser = choice::<InputFormat>(), default_value = "auto", hide_default_value = true, help_heading = "Documents")]
    pub input_format: InputFormat,

    /// Take the text of a record from the field NAME; may be repeated: the texts are joined by newlines [default: text]
    #[arg(long = "text-field", value_name = "NAME", help_heading = "Documents")]
    pub text_fields: Vec<String>,

    /// Take the identifier of a record from the field NAME, which it must have [default: id or _id, if it has one]
    #[arg(long, value_name = "NAME", help_heading = "Documents")]
    pub id_field: Option<String>,

    /// Separate the fields of CSV and TSV files by the ASCII character C; \t is a tab [default: a comma, or a tab in TSV files]
    #[arg(long, value_name = "C", value_parser = parse_delimiter, help_heading = "Documents")]
    pub delimiter: Option<u8>,

    /// Read the first record of CSV and TSV files as a document; fields are numbers from 1 [default: it contains the names]
    #[arg(long, help_heading = "Documents")]
    pub no_header: bool,

    /// Embed also the files whose paths FILE contains, one per line, in this order; - reads the paths from standard input
    #[arg(long, value_name = "FILE", help_heading = "Documents")]
    pub files_from: Option<PathBuf>,

    /// Read the paths of --files-from as NUL-terminated (find -print0), not as lines
    #[arg(short = '0', long, help_heading = "Documents")]
    pub null: bool,

    /// Embed only files that match GLOB; with a leading `!`, leave out files and folders that match. May be repeated: the last
    /// match decides. GLOB without a slash matches a name, with a slash a path below CORPUS; `sub/` matches all files below sub
    #[arg(long = "glob", value_name = "GLOB", help_heading = "Documents", verbatim_doc_comment)]
    pub globs: Vec<String>,

    /// Embed hidden files and enter hidden folders, too
    #[arg(long, help_heading = "Documents")]
    pub hidden: bool,

    /// Follow links to files and folders, except to a folder above the link or above CORPUS; embed each file once, even
    /// if several paths lead to it
    #[arg(long, help_heading = "Documents")]
    pub follow: bool,

    /// Fail documents larger than SIZE bytes (K, M, G: powers of 1024) [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Documents")]
    pub max_document_bytes: Option<u64>,

    /// Choose how to treat a document with a NUL byte in its first 8 KiB [default: fail]
    #[arg(long, value_parser = choice::<Binary>(), help_heading = "Documents")]
    pub binary: Option<Binary>,

    /// Read documents in this encoding: a name that Python or browsers know (latin1, utf-16, windows-1252, shift_jis, gb18030).
    /// auto reads UTF-8, a byte-order mark, or else guesses, for each document (scikit-learn: encoding) [default: utf-8]
    #[arg(long, value_name = "ENCODING", help_heading = "Documents", verbatim_doc_comment)]
    pub encoding: Option<Encoding>,

    /// Choose how to treat bytes that are not valid in the encoding (scikit-learn: decode_error) [default: strict]
    #[arg(long, value_parser = choice::<DecodeError>(), help_heading = "Documents")]
    pub decode_error: Option<DecodeError>,

    /// Embed only the part K of N of the corpus; the parts follow each other in the order of rows, and merge joins their outputs
    #[arg(long, value_name = "K/N", value_parser = parse_shard, conflicts_with = "estimate", help_heading = "Documents")]
    pub shard: Option<Shard>,

    /// Make terms of words or of characters (scikit-learn: analyzer) [default: word]
    #[arg(long, value_parser = choice::<AnalyzerKind>(), help_heading = "Terms")]
    pub analyzer: Option<AnalyzerKind>,

    /// Make terms of MIN to MAX consecutive words or characters (scikit-learn: ngram_range) [default: 1:1]
    #[arg(long, value_name = "MIN[:MAX]", help_heading = "Terms")]
    pub ngrams: Option<NgramSizes>,

    /// Choose how to find words [default: pattern]
    #[arg(long, value_parser = choice::<TokenizerKind>(), help_heading = "Terms")]
    pub tokenizer: Option<TokenizerKind>,

    /// Take each match of REGEX (Python syntax) as a word, or its capture group if it has one (scikit-learn: token_pattern)
    /// [default: (?u)\b\w\w+\b]
    #[arg(long, value_name = "REGEX", help_heading = "Terms", verbatim_doc_comment)]
    pub token_pattern: Option<String>,

    /// Keep capital letters (scikit-learn: lowercase=False)
    #[arg(long, help_heading = "Terms")]
    pub no_lowercase: bool,

    /// Strip accents by Unicode decomposition, or strip all characters that are not ASCII (scikit-learn: strip_accents) [default: keep]
    #[arg(long, value_parser = choice::<StripAccents>(), help_heading = "Terms")]
    pub strip_accents: Option<StripAccents>,

    /// Drop the stop words of a language (english, german, ...), or of a file with one word per line (scikit-learn:
    /// stop_words) [default: none]
    #[arg(long, value_name = "LANGUAGE|FILE", help_heading = "Terms", verbatim_doc_comment)]
    pub stop_words: Option<String>,

    /// Reduce words to their stems (Snowball) after stop words are dropped [default: keep words]
    #[arg(long, value_name = "LANGUAGE", help_heading = "Terms")]
    pub stem: Option<String>,

    /// Make one column per term, or hash terms to a fixed number of columns (scikit-learn: HashingVectorizer) [default: vocabulary]
    #[arg(long, value_parser = choice::<FeatureKind>(), help_heading = "Columns")]
    pub features: Option<FeatureKind>,

    /// Which terms are columns.
    #[command(flatten)]
    pub pruning: PruningArgs,

    /// Use the terms of PATH as columns: a file with one term per line, the vocabulary.jsonl of an output, or an earlier output
    /// (this uses its text settings and idf, too)
    #[arg(long, value_name = "PATH", help_heading = "Columns")]
    pub vocabulary: Option<PathBuf>,

    /// Hash terms to N columns, with --features hashed (scikit-learn: n_features) [default: 1048576]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_FEATURES as i64), help_heading = "Columns")]
    pub n_features: Option<u32>,

    /// Count every term with a positive sign, with --features hashed (scikit-learn: alternate_sign=False)
    #[arg(long, help_heading = "Columns")]
    pub no_alternate_sign: bool,

    /// Write the terms of each hash column to hash_terms.jsonl, with --features hashed
    #[arg(long, help_heading = "Columns")]
    pub hash_terms: bool,

    /// What cells hold.
    #[command(flatten)]
    pub values: ValueArgs,

    /// How it is done.
    #[command(flatten)]
    pub run: RunArgs,

    /// Read at most N documents at the same time, in all workers together, to protect slow storage
    /// [default: as many as there are workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Running", verbatim_doc_comment)]
    pub max_reads: Option<u32>,

    /// Delay each read of a document by at least this many milliseconds, to measure with slow storage
    #[arg(long, value_name = "MILLISECONDS", default_value = "0", value_parser = parse_latency, hide_default_value = true, help_heading = "Running")]
    pub read_latency: Duration,

    /// Keep counted documents on disk if the run does not finish, and continue from an unfinished run
    #[arg(long, help_heading = "Running")]
    pub resume: bool,

    /// End a worker whose document makes no progress for this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds, help_heading = "Running")]
    pub document_timeout: f64,

    /// End the run when more than N documents have crashed their workers
    #[arg(long, alias = "max-failures", value_name = "N", default_value = "100", value_parser = parse_number, help_heading = "Running")]
    pub max_crashes: usize,
}

/// What is written: options of several commands.
#[derive(Args, Debug)]
pub struct SinkArgs {
    /// Replace an existing output or an empty directory; never replace a directory with other files
    #[arg(long, help_heading = "Output")]
    pub force: bool,

    /// Write the matrix in this format: npz is sparse (scipy.sparse.load_npz), npy is dense (numpy.load), mtx is Matrix Market
    /// text, svmlight is text with columns from 0, parquet and arrow have a row for each document
    #[arg(long, value_parser = choice::<Format>(), default_value = "npz", help_heading = "Output")]
    pub format: Format,

    /// Write a dense matrix, as --format npy does
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub dense: bool,

    /// Do not wait until the output is on disk
    #[arg(long, help_heading = "Output")]
    pub no_sync: bool,
}

/// Which terms are columns: options of several commands.
#[derive(Args, Debug)]
pub struct PruningArgs {
    /// Drop terms that occur in fewer documents: 2 means two documents, 0.1 a tenth of all (scikit-learn: min_df) [default: 1]
    #[arg(long, value_name = "N|SHARE", help_heading = "Columns")]
    pub min_df: Option<Df>,

    /// Drop terms that occur in more documents: 1 means one document, 1.0 all documents (scikit-learn: max_df) [default: 1.0]
    #[arg(long, value_name = "N|SHARE", help_heading = "Columns")]
    pub max_df: Option<Df>,

    /// Keep the K most frequent terms; of equally frequent terms, the first in order of bytes (scikit-learn: max_features) [default: all]
    #[arg(long, value_name = "K", value_parser = parse_count, help_heading = "Columns")]
    pub max_features: Option<u64>,
}

/// What cells hold: options of several commands.
#[derive(Args, Debug)]
pub struct ValueArgs {
    /// Choose the value of a term in a document (scikit-learn: CountVectorizer, binary=True, TfidfVectorizer) [default: count]
    #[arg(long, value_parser = choice::<WeightKind>(), help_heading = "Values")]
    pub weight: Option<WeightKind>,

    /// Replace the term frequency tf by 1 + ln(tf), with --weight tfidf (scikit-learn: sublinear_tf)
    #[arg(long, help_heading = "Values")]
    pub sublinear_tf: bool,

    /// Compute idf without an extra document that contains every term, with --weight tfidf (scikit-learn: smooth_idf=False)
    #[arg(long, help_heading = "Values")]
    pub no_smooth_idf: bool,

    /// Choose the variant of BM25 (bm25s: method) [default: lucene]
    #[arg(long, value_parser = choice::<Bm25>(), help_heading = "Values")]
    pub bm25: Option<Bm25>,

    /// Set the saturation of term counts (higher: later), with --weight bm25 (bm25s: k1) [default: 1.5]
    #[arg(long, value_name = "NUMBER", value_parser = parse_from_0, help_heading = "Values")]
    pub k1: Option<f64>,

    /// Set the weight of the document length, from 0 to 1, with --weight bm25 (bm25s: b) [default: 0.75]
    #[arg(long, value_name = "NUMBER", value_parser = parse_share, help_heading = "Values")]
    pub b: Option<f64>,

    /// Set the bonus of each term that occurs, with --bm25 bm25+ or bm25l (bm25s: delta) [default: 0.5]
    #[arg(long, value_name = "NUMBER", value_parser = parse_from_0, help_heading = "Values")]
    pub delta: Option<f64>,

    /// Divide each row by its norm (scikit-learn: norm) [default: l2 for tfidf, else none]
    #[arg(long, value_parser = choice::<Norm>(), help_heading = "Values")]
    pub norm: Option<Norm>,

    /// Store values of this type [default: i32 for count and binary without a norm, else f32]
    #[arg(long, value_parser = choice::<Dtype>(), help_heading = "Values")]
    pub dtype: Option<Dtype>,
}

/// How it is done: options of several commands.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Run workers as processes, as threads, or as one thread
    #[arg(long, value_parser = choice::<Mode>(), default_value = "processes", help_heading = "Running")]
    pub mode: Mode,

    /// Run N workers [default: the cores this process may use, or as many as there is memory for]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Running")]
    pub workers: Option<u32>,

    /// Limit the memory of the run to SIZE bytes: half for counted rows, half for the workers
    /// [default: what is available]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Running", verbatim_doc_comment)]
    pub memory: Option<u64>,

    /// Limit the memory of each worker to SIZE bytes; a document that needs more fails (in the modes
    /// threads and inline the limit is for all workers together, and the run ends)
    /// [default: a worker's part of one half of --memory, or of the available memory]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Running", verbatim_doc_comment)]
    pub worker_memory: Option<u64>,

    /// Keep rows that do not fit into memory, or that --resume needs, in DIR [default: beside the output]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub scratch: Option<PathBuf>,

    /// Restrict worker processes to reading files and computing
    #[arg(long, value_parser = choice::<Confinement>(), default_value = "auto", help_heading = "Running")]
    pub sandbox: Confinement,

    /// Choose when to draw the progress bar, or write events as JSON
    #[arg(long, value_parser = choice::<Progress>(), default_value = "auto", help_heading = "Running")]
    pub progress: Progress,

    /// Do not print the summary, notices and the list of failed documents
    #[arg(short, long, help_heading = "Running")]
    pub quiet: bool,

    /// Write a JSON report of phases, times, bytes, tokens, retries and usage per worker to FILE
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub report: Option<PathBuf>,
}

/// `bowline merge`.
#[derive(Args, Debug)]
pub struct MergeArgs {
    /// The outputs, in the order of rows: of the parts of a corpus (--shard), or of any documents that were counted in the same way.
    /// Each contains counts (--weight count), and nothing is pruned from it
    #[arg(required = true, value_name = "OUTPUT")]
    pub outputs: Vec<PathBuf>,

    /// Write the merged output to DIR; DIR appears when the merge has finished
    #[arg(short, long, value_name = "DIR", required = true, help_heading = "Output")]
    pub output: PathBuf,

    /// What is written.
    #[command(flatten)]
    pub sink: SinkArgs,

    /// Which terms are columns.
    #[command(flatten)]
    pub pruning: PruningArgs,

    /// What cells hold.
    #[command(flatten)]
    pub values: ValueArgs,

    /// How it is done.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `bowline inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The output directory of an earlier embed
    #[arg(value_name = "DIR")]
    pub output: PathBuf,

    /// Show the terms of one document, highest value first. Name it by its path in documents.jsonl, by PATH:RECORD or
    /// PATH:MEMBER, by its row from 0, or by its identifier (id:ID if that is a number)
    #[arg(long, value_name = "NAME", conflicts_with = "term")]
    pub document: Option<String>,

    /// Show one term and the documents with its highest values
    #[arg(long, value_name = "TERM")]
    pub term: Option<String>,

    /// Show at most N terms and documents
    #[arg(long, value_name = "N", default_value = "10")]
    pub top: usize,

    /// Print JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// The memory that the run may take.
    pub fn memory(&self) -> MemoryLimits {
        MemoryLimits { run: self.memory, worker: self.worker_memory }
    }
}

/// The settings that these options choose.
pub fn columns_and_values(pruning: &PruningArgs, values: &ValueArgs) -> SettingsBuilder {
    SettingsBuilder {
        min_df: pruning.min_df,
        max_df: pruning.max_df,
        max_features: pruning.max_features,
        weight: values.weight,
        sublinear_tf: values.sublinear_tf.then_some(true),
        smooth_idf: values.no_smooth_idf.then_some(false),
        bm25: values.bm25,
        k1: values.k1,
        b: values.b,
        delta: values.delta,
        norm: values.norm,
        dtype: values.dtype,
        ..SettingsBuilder::default()
    }
}

impl EmbedArgs {
    /// The settings that the options choose, without stop words, which may be in a file.
    pub fn settings(&self) -> SettingsBuilder {
        SettingsBuilder {
            max_document_bytes: self.max_document_bytes,
            binary: self.binary,
            encoding: self.encoding,
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
            n_features: self.n_features,
            alternate_sign: self.no_alternate_sign.then_some(false),
            ..columns_and_values(&self.pruning, &self.values)
        }
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
