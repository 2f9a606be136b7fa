//! The table from the kind of an error or a notice to the option that helps and to the exit code. Below `cli/` no message
//! names an option.

use crate::error::ErrorKind;
use crate::event::NoticeKind;
use crate::settings::{Setting, SettingsError};
use bowline_workers::failure::Failure;

/// Finished, but some documents failed.
pub const SOME_FAILED: u8 = 3;
/// Could not finish.
pub const NOT_FINISHED: u8 = 1;
/// Wrong usage.
pub const WRONG_USAGE: u8 = 2;
/// Ended by a signal: this and its number.
pub const SIGNALLED: u8 = 128;

/// The exit code of a command that ends with an error of this kind.
pub fn exit_code(kind: &ErrorKind) -> u8 {
    match kind {
        ErrorKind::Settings(_)
        | ErrorKind::Usage
        | ErrorKind::Glob
        | ErrorKind::RunMemory
        | ErrorKind::WorkerMemory => WRONG_USAGE,
        ErrorKind::Interrupted(signal) => SIGNALLED + *signal as u8,
        // The reader of standard output has closed it: it has read enough.
        ErrorKind::BrokenPipe => 0,
        _ => NOT_FINISHED,
    }
}

/// The advice for an error of this kind.
pub fn of_error(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::RunMemory => "--memory gives more, --workers asks for fewer",
        ErrorKind::WorkerMemory => "--worker-memory gives more",
        ErrorKind::Unexpanded => {
            "the shell has not expanded it: give the directory, and the pattern with --glob"
        }
        ErrorKind::PathList => "--null reads a list whose paths end in NUL bytes",
        ErrorKind::AllLeftOut => "--hidden and --glob decide what is left out",
        ErrorKind::HiddenLeftOut => "--hidden takes them",
        ErrorKind::OutputName => "--output takes the name of the directory that is made",
        ErrorKind::OutputExists => "--force replaces it",
        ErrorKind::OutputPlace => "--output names another place",
        ErrorKind::OutputForeign => "remove it, or --output names another place",
        ErrorKind::ScratchPlace => "--scratch names another directory",
        ErrorKind::ScratchForeign => "remove it, or --scratch names another place",
        ErrorKind::ListNamedDash => "/dev/stdin names standard input",
        ErrorKind::TooDense => "--format npz is sparse",
        ErrorKind::TooWide => "--format npz has no such limit",
        ErrorKind::NoWorker => "--workers asks for fewer",
        ErrorKind::WorkerStart => "--mode threads needs no processes",
        ErrorKind::Sandbox => "--sandbox auto takes what there is",
        ErrorKind::Stuck | ErrorKind::Crashed => "--mode processes would skip it",
        ErrorKind::TooManyCrashes => "--max-crashes allows more",
        ErrorKind::NoMemory => "--memory asks for less, ulimit -v allows more",
        ErrorKind::NoMemoryToFinish => {
            "--worker-memory and --memory give a worker more, fewer --workers need less, ulimit -v and ulimit -d allow more"
        }
        ErrorKind::ReadPermits => "--max-reads needs them",
        ErrorKind::MinDf => "lower --min-df",
        ErrorKind::MaxDf => "raise --max-df",
        ErrorKind::MinAndMaxDf => "lower --min-df or raise --max-df",
        ErrorKind::EmptyVocabulary { has_short_words: true, .. } => {
            "--token-pattern '(?u)\\b\\w+\\b' takes words of one character"
        }
        ErrorKind::EmptyVocabulary { has_others: true, .. } => {
            "--token-pattern, --stop-words and --ngrams decide what is a term"
        }
        ErrorKind::NoIdf { is_bm25 } => with_idf(*is_bm25),
        ErrorKind::BeyondF32 => "--dtype f64 holds more",
        ErrorKind::NotFinite => "--k1 and --delta lead to smaller ones",
        _ => return None,
    })
}

/// The advice for a notice of this kind.
pub fn of_notice(kind: &NoticeKind) -> Option<String> {
    let hint = match kind {
        NoticeKind::FewerForMemory => "--memory gives more",
        NoticeKind::FewerForFiles => "ulimit -n allows more",
        NoticeKind::ScratchInMemory => "--scratch names a directory on a disk",
        NoticeKind::Resumable => "--resume goes on from it",
        NoticeKind::Unfiltered => "--sandbox off accepts this",
        NoticeKind::HiddenLeftOut => "--hidden takes them",
        NoticeKind::GlobsWithoutDirectory => "--glob",
        NoticeKind::Records { format } => return Some(format!("--input-format {}", format.name())),
        NoticeKind::NoRecords => "--input-format reads any file as one of records",
        NoticeKind::NeedsUnicodeTokenizer => "--tokenizer unicode finds words in scripts with marks",
        NoticeKind::NoIdf { is_bm25 } => with_idf(*is_bm25),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The option that gives every term an idf.
fn with_idf(is_bm25: bool) -> &'static str {
    match is_bm25 {
        true => "--bm25 lucene has an idf for every term",
        false => "without --no-smooth-idf every term has an idf",
    }
}

/// The advice for the failure of a document.
pub fn of_failure(failure: Failure) -> Option<&'static str> {
    Some(match failure {
        Failure::InvalidUtf8(_) => {
            "--encoding names its encoding, or auto guesses it; --decode-error replace or ignore gives up such bytes"
        }
        Failure::InvalidInEncoding(_) => {
            "--encoding names another encoding; --decode-error replace or ignore gives up such bytes"
        }
        Failure::Binary => "--binary embed accepts it",
        Failure::PerhapsUtf16 => {
            "--encoding utf-16le or utf-16be reads it; if it is not UTF-16, --binary embed accepts it"
        }
        Failure::PerhapsUtf32 => {
            "--encoding utf-32le or utf-32be reads it; if it is not UTF-32, --binary embed accepts it"
        }
        Failure::Utf16 => "--encoding auto reads it, and other documents in UTF-8",
        Failure::Utf32 => "--encoding auto reads it, and other documents in UTF-8",
        Failure::TooLarge(_) | Failure::LargerThan(_) => "--max-document-bytes sets the limit",
        Failure::OutOfMemory => "--worker-memory sets the limit",
        Failure::TimedOut => "--document-timeout sets the limit",
        Failure::TooManySteps => "a --token-pattern without look-around or back-references never does",
        Failure::Unbroken => "text without white space, or any with --token-pattern, is read at once",
        Failure::NoField(0) | Failure::NullField(0) | Failure::NotText(0) => {
            "--id-field names the field of the identifier"
        }
        Failure::NoField(_) | Failure::NullField(_) | Failure::NotText(_) => {
            "--text-field names the field of the text"
        }
        Failure::Ragged { .. } => "--delimiter names the character between two fields",
        Failure::NotAnObject | Failure::OtherFormat => "--input-format names the format",
        _ => return None,
    })
}

/// An error about settings, in the names of the options.
pub fn of_settings(error: &SettingsError) -> String {
    error.message(|setting, value| {
        let option = option(setting);
        // An option that turns a setting off has no value.
        if value.is_empty() || option.starts_with("--no-") { option } else { format!("{option} {value}") }
    })
}

/// The option that chooses a setting.
pub(super) fn option(setting: Setting) -> String {
    match setting {
        Setting::Lowercase => "--no-lowercase".to_owned(),
        Setting::AlternateSign => "--no-alternate-sign".to_owned(),
        Setting::SmoothIdf => "--no-smooth-idf".to_owned(),
        setting => format!("--{}", setting.name().replace('_', "-")),
    }
}
