//! The values of options: choices with their help, numbers, sizes.

use crate::Shard;
use crate::corpus::InputFormat;
use crate::output::Format;
use crate::pool::{Confinement, Mode};
use crate::settings::{
    AnalyzerKind, Binary, Bm25, DecodeError, Dtype, FeatureKind, Norm, StripAccents, TokenizerKind,
    WeightKind, name,
};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use std::time::Duration;

/// An enum whose values an option takes by the names that serde gives them.
pub trait Choice: Copy + Serialize + Send + Sync + 'static {
    /// All values, and the help of each.
    fn all() -> &'static [(Self, &'static str)];
}

/// The parser of an option that takes a choice.
pub fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let values = T::all().iter().map(|(value, help)| PossibleValue::new(name(value)).help(*help));
    PossibleValuesParser::new(values).try_map(|given| {
        let mut all = T::all().iter().map(|(value, _)| *value);
        all.find(|value| name(value) == given).ok_or("no such value")
    })
}

/// A [`Choice`] with its values and their help; a value that is left out does not compile.
macro_rules! choices {
    ($kind:ident { $($value:ident => $help:literal,)+ }) => {
        impl Choice for $kind {
            fn all() -> &'static [(Self, &'static str)] {
                // Makes the compiler check that no value is missing.
                let _ = |value: $kind| match value { $($kind::$value => (),)+ };
                &[$(($kind::$value, $help)),+]
            }
        }
    };
}

/// The form of an estimate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EstimateFormat {
    /// A table.
    Text,
    /// A JSON object.
    Json,
}

choices!(EstimateFormat {
    Text => "A table for people",
    Json => "A JSON object for scripts",
});

choices!(Format {
    Npz => "Compressed sparse rows",
    Npy => "A dense array",
    Mtx => "Matrix Market coordinates, as text",
    Svmlight => "A line a row, as text; columns are numbered from 0",
    Parquet => "A row a document, its cells in two lists",
    Arrow => "An IPC file with the same columns as parquet",
});

choices!(InputFormat {
    Auto => "By the name of a file; of a directory, each file is one document",
    Files => "Each file is one document",
    Lines => "Each line is one document",
    Jsonl => "Each line is a JSON object",
    Csv => "Each record of a CSV file is one document",
    Tsv => "Each record of a file with tabs between fields is one document",
    Parquet => "Each row of a Parquet file is one document",
    Tar => "Each file of a tar archive is one document",
    Zip => "Each file of a ZIP archive is one document",
});

choices!(Binary {
    Fail => "The document fails",
    Embed => "Embed it as text; NUL separates words",
});

choices!(DecodeError {
    Strict => "The document fails",
    Replace => "Replace them by U+FFFD",
    Ignore => "Drop them",
});

choices!(FeatureKind {
    Vocabulary => "One column per term",
    Hashed => "One column per hash value",
});

choices!(WeightKind {
    Count => "Number of occurrences",
    Binary => "1 for each term that occurs",
    Tfidf => "Number of occurrences times inverse document frequency",
    Bm25 => "BM25 score of the term in the document",
});

choices!(AnalyzerKind {
    Word => "Words",
    Char => "Characters",
    CharWb => "Characters of single words, each padded with a space on either side",
});

choices!(TokenizerKind {
    Pattern => "By a regular expression (--token-pattern)",
    Unicode => "By Unicode word boundaries (UAX #29), with dictionaries for Chinese, Japanese, Thai and others",
});

choices!(StripAccents {
    Unicode => "Decompose characters and drop the marks",
    Ascii => "Decompose characters and drop all that are not ASCII",
});

choices!(Bm25 {
    Lucene => "idf is never negative",
    Robertson => "idf is 0 for terms that occur in half of the documents or more",
    Atire => "idf is ln(N / df), and tf tends to k1 + 1",
    Plus => "BM25+: as atire, plus --delta for each term that occurs",
    Long => "BM25L: adds --delta to the tf normalized by length, before saturation",
});

choices!(Norm {
    None => "Do not divide",
    L1 => "Divide by the sum of absolute values",
    L2 => "Divide by the Euclidean length",
});

choices!(Dtype {
    I32 => "32-bit integers",
    I64 => "64-bit integers",
    F32 => "Single precision",
    F64 => "Double precision",
});

choices!(Confinement {
    Auto => "Forbid network, programs, processes, signals and writing files, as far as the kernel supports it (seccomp, Landlock)",
    Strict => "Also forbid reading files outside the corpus (Landlock); fail if the kernel does not support it",
    Off => "Restrict nothing",
});

choices!(Mode {
    Processes => "One process per worker: a document that crashes its worker fails, and the run goes on",
    Threads => "One thread per worker, for comparison",
    Inline => "One worker thread that the program waits for, for comparison",
});

/// When to draw the progress bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// If standard error is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
    /// No bar, but a line of JSON for each event.
    Json,
}

choices!(Progress {
    Auto => "If standard error is a terminal",
    Always => "Always",
    Never => "Never",
    Json => "No bar: a line of JSON on standard error for each event, notice, failure and the summary, for programs",
});

/// A number of bytes: a plain number, or one with K, M, G or T (powers of 1024), `B` and `iB` allowed.
pub(super) fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        b"\"" | b"\n" | b"\r" => Err("a quote or a line end cannot separate fields".to_owned()),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("one ASCII character, or \\t for a tab".to_owned()),
    }
}

/// A size in bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
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
pub(super) fn parse_number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a whole number, as 100".to_owned())
}

/// A whole number of 1 or more.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|&number| number >= 1).ok_or_else(|| "a whole number of 1 or more".to_owned())
}

/// A number of 0 or more.
pub(super) fn parse_from_0(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err("a number of 0 or more".to_owned()),
    }
}

/// A number from 0 to 1.
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("a number from 0 to 1".to_owned()),
    }
}

/// A part of a corpus: K/N.
pub(super) fn parse_shard(text: &str) -> Result<Shard, String> {
    let numbers = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match numbers {
        Some((part, of)) if (1..=of).contains(&part) => Ok(Shard { part, of }),
        _ => Err("two numbers, as 1/8 to 8/8".to_owned()),
    }
}

/// A number of milliseconds, up to ten seconds.
///
/// # Errors
/// If the text is not such a number.
pub fn parse_latency(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(milliseconds) if (0.0..=10_000.0).contains(&milliseconds) => {
            Ok(Duration::from_secs_f64(milliseconds / 1000.0))
        }
        _ => Err("a number of milliseconds, as 2 or 0.5, up to 10000".to_owned()),
    }
}

/// A positive number of seconds, up to a year.
pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3.2e7 => Ok(seconds),
        _ => Err("a positive number of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("17"), Ok(17));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("2 GiB"), Ok(2 << 30));
        assert!(parse_size("").is_err() && parse_size("1x").is_err() && parse_size("-1").is_err());
        assert!(parse_size("99999999T").is_err());
    }
}
