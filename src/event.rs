//! The events of a run, for its caller.

use bowline_workers::protocol::Usage;
use bowline_workers::split::RecordFormat;
use std::fmt;

/// A part of a run, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// The corpus is walked.
    Walk,
    /// Standard input is copied to a scratch file.
    Copy,
    /// Documents become records.
    Tally,
    /// Terms are sorted, merged and numbered.
    Merge,
    /// Rows are written.
    Emit,
    /// Files are synced, and the output gets its name.
    Publish,
}

impl Phase {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Walk => "walk",
            Phase::Copy => "copy",
            Phase::Tally => "tally",
            Phase::Merge => "merge",
            Phase::Emit => "emit",
            Phase::Publish => "publish",
        }
    }
}

/// An event of a run.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A phase has begun, with its number of units: documents, segments or rows. 0 if the number is not known.
    PhaseBegan(Phase, u64),
    /// The corpus has record files, so the number of documents is not known. All record files have this many bytes.
    TotalBytes(u64),
    /// Units, and bytes of documents, of the phase that are done.
    Advanced(u64, u64),
    /// A worker has died and its work is done again.
    WorkerLost,
    /// A worker has left, and this is what it used.
    WorkerLeft(Usage),
    /// A notice for the user.
    Notice(Notice),
}

/// A message for the user; the run goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    text: String,
}

/// What a notice is about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NoticeKind {
    /// No advice helps.
    Plain,
    /// The memory does not allow more workers.
    FewerForMemory,
    /// The limit of open files does not allow more workers.
    FewerForFiles,
    /// Scratch files were to spare memory, but lie in it.
    ScratchInMemory,
    /// What an unfinished run had counted is discarded, though a run could go on from it.
    Resumable,
    /// Workers can make any system call.
    Unfiltered,
    /// Globs match no file, but hidden ones were left out.
    HiddenLeftOut,
    /// Globs were given, but no CORPUS is a directory.
    GlobsWithoutDirectory,
    /// Stop words that can't equal a word could with the tokenizer of Unicode.
    NeedsUnicodeTokenizer,
    /// Terms of a given vocabulary have no idf.
    NoIdf {
        /// Whether it is that of a BM25.
        is_bm25: bool,
    },
    /// There are options for records, but no record file that they apply to.
    NoRecords,
    /// Files that look like record files are one document each.
    Records {
        /// The format of the first one.
        format: RecordFormat,
    },
}

impl Notice {
    pub(crate) fn new(kind: NoticeKind, text: String) -> Self {
        Notice { kind, text }
    }

    pub(crate) fn plain(text: String) -> Self {
        Notice::new(NoticeKind::Plain, text)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
