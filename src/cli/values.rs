//! What the values of options may be: choices with their help, numbers, sizes.

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
                // Only to have the compiler check that none is missing.
                let _ = |value: $kind| match value { $($kind::$value => (),)+ };
                &[$(($kind::$value, $help)),+]
            }
        }
    };
}

choices!(Format {
    Npz => "Compressed sparse rows",
    Npy => "A dense array",
});

choices!(Binary {
    Fail => "They fail",
    Embed => "They are text; NUL is a separator",
});

choices!(DecodeError {
    Strict => "The document fails",
    Replace => "They become U+FFFD",
    Ignore => "They are left out",
});

choices!(FeatureKind {
    Vocabulary => "A column a term",
    Hashed => "A column a hash bucket",
});

choices!(WeightKind {
    Count => "Occurrences",
    Binary => "1",
    Tfidf => "Occurrences times inverse document frequency",
    Bm25 => "BM25 of a term and a document",
});

choices!(AnalyzerKind {
    Word => "Words",
    Char => "Characters",
    CharWb => "Characters of words, with a space on either side",
});

choices!(TokenizerKind {
    Pattern => "A regular expression: --token-pattern",
    Unicode => "Unicode's word boundaries (UAX #29), with dictionaries for Chinese, Japanese, Thai and others",
});

choices!(StripAccents {
    Unicode => "Characters are decomposed, and their marks dropped",
    Ascii => "Characters are decomposed, and all that is not ASCII dropped",
});

choices!(Bm25 {
    Lucene => "idf is never negative",
    Robertson => "idf is 0 for terms of half of the documents and more",
    Atire => "idf is ln(N / df), and tf tends to k1 + 1",
    Plus => "BM25+: as atire, and each term that occurs gets --delta",
    Long => "BM25L: tf by length gets --delta before it saturates",
});

choices!(Norm {
    None => "Nothing",
    L1 => "The sum of absolute values",
    L2 => "The Euclidean length",
});

choices!(Dtype {
    I32 => "32-bit integers",
    I64 => "64-bit integers",
    F32 => "Single precision",
    F64 => "Double precision",
});

choices!(Confinement {
    Auto => "No network, programs, processes, signals, nor any file to write; as far as the kernel can forbid it (seccomp, Landlock)",
    Strict => "The same, and no file to read but the corpus (Landlock); an error where the kernel can't forbid it",
    Off => "Whatever this user may",
});

choices!(Mode {
    Processes => "A process each: a document that kills its worker costs that document only",
    Threads => "A thread each, for comparison",
    Inline => "One worker and nothing beside it, for comparison: a thread that the program waits for",
});

/// When to draw the progress bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// If standard error is a terminal.
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

choices!(Progress {
    Auto => "If standard error is a terminal",
    Always => "In any case",
    Never => "Never",
});

/// A number of bytes: a plain number, or one with K, M, G or T (powers of 1024), `B` and `iB` allowed.
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

/// A whole number from 1 on.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|&number| number >= 1).ok_or_else(|| "a whole number from 1 on".to_owned())
}

/// A number from 0 on.
pub(super) fn parse_from_0(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err("a number from 0 on".to_owned()),
    }
}

/// A number from 0 to 1.
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
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
