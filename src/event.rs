//! What happens in a run, as its caller learns of it.

use bowline_workers::protocol::Usage;
use std::fmt;

/// A part of a run, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// The corpus is walked.
    Walk,
    /// Documents become records.
    Tally,
    /// Terms are sorted, merged and numbered.
    Merge,
    /// Rows are written.
    Emit,
    /// Files are synced, and the output gets its name.
    Publish,
}

/// What happens in a run.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A phase has begun; it is done after so many units: documents, segments or rows. 0 if that is not known.
    PhaseBegan(Phase, u64),
    /// So many units, and bytes of documents, of the phase are done.
    Advanced(u64, u64),
    /// A worker has died and its work is done again.
    WorkerLost,
    /// A worker has left, and this is what it used.
    WorkerLeft(Usage),
    /// There is something that the user should know.
    Notice(Notice),
}

/// Something that the user should know, of a run that goes on.
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
    /// Nothing in particular can be done about it.
    Plain,
    /// There is no memory for more workers.
    FewerForMemory,
    /// There are no descriptors for more workers.
    FewerForFiles,
    /// What an unfinished run had counted is discarded, though a run could go on from it.
    Resumable,
    /// Workers can make any system call.
    Unfiltered,
    /// Globs match no file, but hidden ones were left out.
    HiddenLeftOut,
    /// Globs were given, but there is no directory to choose files of.
    GlobsWithoutDirectory,
    /// Stop words that can't equal a word could with the tokenizer of Unicode.
    NeedsUnicodeTokenizer,
    /// Terms of a given vocabulary have no idf.
    NoIdf {
        /// Whether it is that of a BM25.
        is_bm25: bool,
    },
    /// Record files and archives are documents.
    Records {
        /// How the name of the first one ends.
        ending: String,
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
