//! The command line, and nothing else: names, defaults, and the checks that need no file. `exit` has the exit codes, `signals`
//! the signals that end a command, `reference` the manual pages and completions.

pub mod exit;
pub mod reference;
pub mod signals;

use crate::progress::ProgressChoice;
use crate::say::{printable, say};
use crate::settings::Df;
use bowline_workers::hashing::MOST_FEATURES;
use clap::{Arg, Args, CommandFactory as _, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Bag-of-words document embeddings of a corpus: a row a document, a column a term.
///
/// Exit codes: 0 all documents embedded; 3 finished, some documents failed; 1 could not finish; 2 wrong usage;
/// 130, 143, 129 ended by SIGINT, SIGTERM, SIGHUP.
#[derive(Parser, Debug)]
#[command(name = "bowline", bin_name = "bowline", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Embed a corpus: write the matrix, its vocabulary and its list of documents
    Embed(Box<EmbedArgs>),
    /// Show what an output holds
    Inspect(InspectArgs),
    /// Measure processes against threads against one worker, on your corpus (runs bowline-bench)
    #[command(disable_help_flag = true)]
    Bench(BenchProgramArgs),
    /// Write a synthetic corpus of a natural shape, for measurements (runs bowline-bench)
    #[command(disable_help_flag = true)]
    Generate(BenchProgramArgs),
    /// Print completions of the command line for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages to a directory
    #[command(hide = true)]
    Man(ManArgs),
}

/// `bowline completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `bowline man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// A directory that exists
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// The arguments of a command that `bowline-bench` has, as they were written.
#[derive(Args, Debug)]
pub struct BenchProgramArgs {
    /// Passed on to bowline-bench, which explains them with --help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<OsString>,
}

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
    #[arg(long, value_enum, default_value = "npz", help_heading = "Output")]
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
    #[arg(long, value_enum, help_heading = "Documents")]
    pub binary: Option<Binary>,

    /// What becomes of bytes that are no UTF-8 (scikit-learn: decode_error) [default: strict]
    #[arg(long, value_enum, help_heading = "Documents")]
    pub decode_error: Option<DecodeErrorChoice>,

    /// What terms are made of (scikit-learn: analyzer) [default: word]
    #[arg(long, value_enum, help_heading = "Terms")]
    pub analyzer: Option<Analyzer>,

    /// Terms are runs of MIN to MAX words or characters (scikit-learn: ngram_range) [default: 1:1]
    #[arg(long, value_name = "MIN[:MAX]", help_heading = "Terms")]
    pub ngrams: Option<NgramSizes>,

    /// What finds words [default: pattern]
    #[arg(long, value_enum, help_heading = "Terms")]
    pub tokenizer: Option<TokenizerChoice>,

    /// Words are what REGEX matches, with Python's meaning; one capture group is the word (scikit-learn: token_pattern)
    /// [default: (?u)\b\w\w+\b]
    #[arg(long, value_name = "REGEX", help_heading = "Terms", verbatim_doc_comment)]
    pub token_pattern: Option<String>,

    /// Keep capital letters (scikit-learn: lowercase=False)
    #[arg(long, help_heading = "Terms")]
    pub no_lowercase: bool,

    /// Take accents off: by Unicode decomposition, or all that is not ASCII (scikit-learn: strip_accents) [default: keep]
    #[arg(long, value_enum, help_heading = "Terms")]
    pub strip_accents: Option<StripAccentsChoice>,

    /// Leave out the stop words of a language (english, german, ...), or those of a file with a word a line (scikit-learn:
    /// stop_words) [default: none]
    #[arg(long, value_name = "LANGUAGE|FILE", help_heading = "Terms", verbatim_doc_comment)]
    pub stop_words: Option<String>,

    /// Cut words to their stems (Snowball), after stop words are out [default: keep words]
    #[arg(long, value_name = "LANGUAGE", help_heading = "Terms")]
    pub stem: Option<String>,

    /// What columns are: terms, or buckets that terms are hashed to (scikit-learn: HashingVectorizer) [default: vocabulary]
    #[arg(long, value_enum, help_heading = "Columns")]
    pub features: Option<FeaturesChoice>,

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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_FEATURES as i64), help_heading = "Columns")]
    pub n_features: Option<u32>,

    /// Count all terms positively, with --features hashed (scikit-learn: alternate_sign=False)
    #[arg(long, help_heading = "Columns")]
    pub no_alternate_sign: bool,

    /// Write which terms fell in each bucket to hash_terms.jsonl, with --features hashed
    #[arg(long, help_heading = "Columns")]
    pub hash_terms: bool,

    /// What a stored cell holds (scikit-learn: CountVectorizer, binary=True, TfidfVectorizer) [default: count]
    #[arg(long, value_enum, help_heading = "Values")]
    pub weight: Option<WeightChoice>,

    /// Take 1 + ln(tf) for tf, with --weight tfidf (scikit-learn: sublinear_tf)
    #[arg(long, help_heading = "Values")]
    pub sublinear_tf: bool,

    /// Take idf without an extra document that has every term, with --weight tfidf (scikit-learn: smooth_idf=False)
    #[arg(long, help_heading = "Values")]
    pub no_smooth_idf: bool,

    /// Which BM25 (bm25s: method) [default: lucene]
    #[arg(long, value_enum, help_heading = "Values")]
    pub bm25: Option<Bm25>,

    /// How late a term's count saturates, with --weight bm25 (bm25s: k1) [default: 1.5]
    #[arg(long, value_name = "NUMBER", value_parser = parse_k1, help_heading = "Values")]
    pub k1: Option<f64>,

    /// How much a document's length counts, from 0 to 1, with --weight bm25 (bm25s: b) [default: 0.75]
    #[arg(long, value_name = "NUMBER", value_parser = parse_share, help_heading = "Values")]
    pub b: Option<f64>,

    /// What a term gets because it occurs at all, with --bm25 bm25+ or bm25l (bm25s: delta) [default: 0.5]
    #[arg(long, value_name = "NUMBER", value_parser = parse_k1, help_heading = "Values")]
    pub delta: Option<f64>,

    /// What each row is divided by (scikit-learn: norm) [default: l2 for tfidf, else none]
    #[arg(long, value_enum, help_heading = "Values")]
    pub norm: Option<NormChoice>,

    /// Type of the values [default: i32 for count and binary without a norm, else f32]
    #[arg(long, value_enum, help_heading = "Values")]
    pub dtype: Option<DtypeChoice>,

    /// Where workers live
    #[arg(long, value_enum, default_value = "processes", help_heading = "Running")]
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
    #[arg(long, value_enum, default_value = "auto", help_heading = "Running")]
    pub sandbox: SandboxChoice,

    /// Seconds that a document may make no progress before its worker is ended
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds, help_heading = "Running")]
    pub document_timeout: f64,

    /// Documents that may kill their worker before the run gives up
    #[arg(long, alias = "max-failures", value_name = "N", default_value = "100", value_parser = parse_number, help_heading = "Running")]
    pub max_crashes: usize,

    /// When to draw the progress bar
    #[arg(long, value_enum, default_value = "auto", help_heading = "Running")]
    pub progress: ProgressChoice,

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

/// Containers of the matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// Compressed sparse rows
    Npz,
    /// A dense array
    Npy,
}

/// What becomes of binary documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binary {
    /// They fail
    Fail,
    /// They are text; NUL is a separator
    Embed,
}

/// What becomes of bytes that are no UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecodeErrorChoice {
    /// The document fails
    Strict,
    /// They become U+FFFD
    Replace,
    /// They are left out
    Ignore,
}

/// What columns are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeaturesChoice {
    /// A column a term
    Vocabulary,
    /// A column a hash bucket
    Hashed,
}

/// What a stored cell holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightChoice {
    /// Occurrences
    Count,
    /// 1
    Binary,
    /// Occurrences times inverse document frequency
    Tfidf,
    /// BM25 of a term and a document
    Bm25,
}

/// What terms are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Analyzer {
    /// Words
    Word,
    /// Characters
    Char,
    /// Characters of words, with a space on either side
    CharWb,
}

/// What finds words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerChoice {
    /// A regular expression: --token-pattern
    Pattern,
    /// Unicode's word boundaries (UAX #29), with dictionaries for Chinese, Japanese, Thai and others
    Unicode,
}

/// How accents are taken off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StripAccentsChoice {
    /// Characters are decomposed, and their marks dropped
    Unicode,
    /// Characters are decomposed, and all that is not ASCII dropped
    Ascii,
}

/// Variants of BM25.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bm25 {
    /// idf is never negative
    Lucene,
    /// idf is 0 for terms of half of the documents and more
    Robertson,
    /// idf is ln(N / df), and tf tends to k1 + 1
    Atire,
    /// BM25+: as atire, and each term that occurs gets --delta
    #[value(name = "bm25+")]
    #[serde(rename = "bm25+")]
    Plus,
    /// BM25L: tf by length gets --delta before it saturates
    #[value(name = "bm25l")]
    #[serde(rename = "bm25l")]
    Long,
}

/// Sizes of n-grams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NgramSizes {
    /// The least, from 1.
    pub min: u32,
    /// The most.
    pub max: u32,
}

impl std::str::FromStr for NgramSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once(':').unwrap_or((text, text));
        let size = |text: &str| text.parse().map_err(|_| Self::wrong());
        NgramSizes { min: size(min)?, max: size(max)? }.checked()
    }
}

impl NgramSizes {
    fn wrong() -> String {
        format!("sizes are MIN or MIN:MAX, from 1 to {LARGEST_NGRAM}, as 1:2")
    }

    /// These sizes, if there are n-grams of them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn checked(self) -> Result<Self, String> {
        let NgramSizes { min, max } = self;
        if min > max {
            return Err(format!("the least size, {min}, is above the largest, {max}"));
        }
        if min < 1 || max > LARGEST_NGRAM { Err(Self::wrong()) } else { Ok(self) }
    }
}

/// The largest n-gram: nobody has asked for one this long on purpose.
const LARGEST_NGRAM: u32 = 1000;

/// What each row is divided by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormChoice {
    /// Nothing
    None,
    /// The sum of absolute values
    L1,
    /// The Euclidean length
    L2,
}

/// Type of the values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DtypeChoice {
    /// 32-bit integers
    I32,
    /// 64-bit integers
    I64,
    /// Single precision
    F32,
    /// Double precision
    F64,
}

/// What worker processes may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SandboxChoice {
    /// No network, programs, processes, signals, nor any file to write; as far as the kernel can forbid it (seccomp,
    /// Landlock)
    Auto,
    /// The same, and no file to read but the corpus (Landlock); an error where the kernel can't forbid it
    Strict,
    /// Whatever this user may
    Off,
}

/// Where workers live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Mode {
    /// A process each: a document that kills its worker costs that document only
    Processes,
    /// A thread each, for comparison
    Threads,
    /// One worker and nothing beside it, for comparison: a thread that the program waits for
    Inline,
}

/// The name of a value as the command line has it.
pub fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The command line that this program was started with; or what is wrong with it, or was asked for instead, is printed, and
/// the exit code is returned.
///
/// # Errors
/// The exit code.
pub fn parse<T: FromArgMatches>(command: clap::Command) -> Result<T, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let parsed = |arguments: &[OsString]| {
        let matches = command.clone().try_get_matches_from(arguments)?;
        T::from_arg_matches(&matches)
    };
    let error = match parsed(&arguments) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    // clap repeats arguments as they are. With printable ones it finds the same fault, and its message is printable.
    let shown = arguments.iter().map(|argument| printable(&argument.to_string_lossy()).into_owned().into());
    let shown = parsed(&shown.collect::<Vec<_>>()).err().unwrap_or(error);
    let text = shown.render().to_string();
    match text.lines().all(|line| printable(line) == line) {
        // In colours, where the terminal has them. If it is closed there is nowhere to report it.
        true => _ = shown.print(),
        false => text.lines().for_each(say),
    }
    Err(ExitCode::from(shown.exit_code() as u8))
}

/// The command line's definition.
pub fn command() -> clap::Command {
    with_negative_numbers(Cli::command())
}

/// `command`, whose options take what begins with a hyphen as their value if they ask for a number: it is a wrong one, and
/// their own messages say so.
pub fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let asks_for_a_number = |argument: &Arg| {
        let names = argument.get_value_names().unwrap_or_default();
        let is_number = |name: &clap::builder::Str| NUMBERS.contains(&name.as_str());
        argument.get_long().is_some() && names.iter().any(is_number)
    };
    let taking = |argument: Arg| match asks_for_a_number(&argument) {
        true => argument.allow_hyphen_values(true),
        false => argument,
    };
    command.mut_subcommands(|command| command.mut_args(taking))
}

/// What values of options are called that are numbers.
const NUMBERS: [&str; 10] =
    ["N", "K", "S", "SIZE", "NUMBER", "SECONDS", "MILLISECONDS", "LIST", "N|SHARE", "MIN[:MAX]"];

/// A number of bytes: a plain number, or one with K, M, G or T (powers of 1024), `B` and `iB` allowed.
fn parse_size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        other => return Err(format!("unknown unit `{other}` (K, M, G or T)")),
    };
    let number: u64 =
        digits.trim().parse().map_err(|_| "a size is a whole number and a unit, as 64M".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "larger than any file".to_owned())
}

/// A whole number.
fn parse_number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a whole number, as 100".to_owned())
}

/// A whole number from 1 on.
fn parse_count(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|&number| number >= 1).ok_or_else(|| "a whole number from 1 on".to_owned())
}

/// A number from 0 on.
fn parse_k1(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err("a number from 0 on".to_owned()),
    }
}

/// A number from 0 to 1.
fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("a number from 0 to 1".to_owned()),
    }
}

/// A number of milliseconds, up to ten seconds.
///
/// # Errors
/// If the text is no such number.
pub fn parse_latency(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(milliseconds) if (0.0..=10_000.0).contains(&milliseconds) => {
            Ok(Duration::from_secs_f64(milliseconds / 1000.0))
        }
        _ => Err("a number of milliseconds, as 2 or 0.5, up to 10000".to_owned()),
    }
}

/// A positive number of seconds, up to a year.
fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3.2e7 => Ok(seconds),
        _ => Err("a positive number of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn ngram_sizes() {
        assert_eq!("1:2".parse(), Ok(NgramSizes { min: 1, max: 2 }));
        assert_eq!("3".parse(), Ok(NgramSizes { min: 3, max: 3 }));
        for wrong in ["3:1", "0:1", "", ":", "1:", "a", "1:2:3", "1:5000", "-1"] {
            assert!(wrong.parse::<NgramSizes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("17"), Ok(17));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("2 GiB"), Ok(2 << 30));
        assert!(parse_size("").is_err() && parse_size("1x").is_err() && parse_size("-1").is_err());
        assert!(parse_size("99999999T").is_err());
    }
}
