//! The command line, and nothing else: names, defaults, and the checks that need no file.

use crate::progress::ProgressChoice;
use bowline_workers::hashing::MOST_FEATURES;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Bag-of-words document embeddings of a corpus: a row a document, a column a term.
///
/// Exit codes: 0 all documents embedded; 3 finished, some documents failed; 1 could not finish; 2 wrong usage;
/// 130, 143, 129 ended by SIGINT, SIGTERM, SIGHUP.
#[derive(Parser, Debug)]
#[command(name = "bowline", version, max_term_width = 110)]
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
    /// Measure processes against threads against one worker, on a corpus of yours
    Bench(BenchArgs),
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

    /// Replace an output that exists
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

    /// Only files that match GLOB, or with a leading `!` only those that don't; may be repeated
    #[arg(long = "glob", value_name = "GLOB", help_heading = "Documents")]
    pub globs: Vec<String>,

    /// Hidden files and folders too
    #[arg(long, help_heading = "Documents")]
    pub hidden: bool,

    /// Documents above SIZE bytes fail as too large (K, M, G: powers of 1024) [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Documents")]
    pub max_document_bytes: Option<u64>,

    /// What becomes of a document with a NUL in its first 8 KiB
    #[arg(long, value_enum, default_value = "fail", help_heading = "Documents")]
    pub binary: Binary,

    /// What becomes of bytes that are no UTF-8 (scikit-learn: decode_error)
    #[arg(long, value_enum, default_value = "strict", help_heading = "Documents")]
    pub decode_error: DecodeErrorChoice,

    /// Keep capital letters (scikit-learn: lowercase=False)
    #[arg(long, help_heading = "Terms")]
    pub no_lowercase: bool,

    /// What columns are: terms of the corpus, or buckets that terms are hashed to (scikit-learn: HashingVectorizer)
    #[arg(long, value_enum, default_value = "vocabulary", help_heading = "Columns")]
    pub features: FeaturesChoice,

    /// Number of buckets, with --features hashed (scikit-learn: n_features) [default: 1048576]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_FEATURES as i64), help_heading = "Columns")]
    pub n_features: Option<u32>,

    /// Count all terms positively, with --features hashed (scikit-learn: alternate_sign=False)
    #[arg(long, help_heading = "Columns")]
    pub no_alternate_sign: bool,

    /// What a stored cell holds (scikit-learn: binary=True for binary)
    #[arg(long, value_enum, default_value = "count", help_heading = "Values")]
    pub weight: WeightChoice,

    /// What each row is divided by (scikit-learn: norm)
    #[arg(long, value_enum, default_value = "none", help_heading = "Values")]
    pub norm: NormChoice,

    /// Type of the values [default: i32 for counts, f32 with a norm]
    #[arg(long, value_enum, help_heading = "Values")]
    pub dtype: Option<DtypeChoice>,

    /// Where workers live
    #[arg(long, value_enum, default_value = "processes", help_heading = "Running")]
    pub mode: Mode,

    /// Number of workers [default: the cores this process may use]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Running")]
    pub workers: Option<u32>,

    /// Seconds that a document may make no progress before its worker is ended
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds, help_heading = "Running")]
    pub document_timeout: f64,

    /// Documents that may kill their worker before the run gives up
    #[arg(long, value_name = "N", default_value = "100", help_heading = "Running")]
    pub max_failures: usize,

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

/// `bowline bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Directories and files, as for embed
    #[arg(required = true, value_name = "CORPUS")]
    pub corpus: Vec<PathBuf>,

    /// Worker counts to measure
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: Vec<u32>,

    /// Runs of each mode; medians are shown
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Binary {
    /// They fail
    Fail,
    /// They are text; NUL is a separator
    Embed,
}

/// What becomes of bytes that are no UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum DecodeErrorChoice {
    /// The document fails
    Strict,
    /// They become U+FFFD
    Replace,
    /// They are left out
    Ignore,
}

/// What columns are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FeaturesChoice {
    /// A column a term
    Vocabulary,
    /// A column a hash bucket
    Hashed,
}

/// What a stored cell holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum WeightChoice {
    /// Occurrences
    Count,
    /// 1
    Binary,
}

/// What each row is divided by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum NormChoice {
    /// Nothing
    None,
    /// The sum of absolute values
    L1,
    /// The Euclidean length
    L2,
}

/// Type of the values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
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

/// Where workers live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Mode {
    /// A process each: a document that kills its worker costs that document only
    Processes,
    /// A thread each, for comparison
    Threads,
    /// One, in the program itself
    Inline,
}

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
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
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
