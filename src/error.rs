//! Errors by kind. A message states what happened and where. The front that starts a run adds the advice by the kind
//! (`cli/hints.rs` for the command line).

use crate::settings::SettingsError;
use std::fmt;
use std::io;

/// What kind of error it is.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Invalid settings, or settings that contradict each other.
    Settings(SettingsError),
    /// Another invalid request.
    Usage,
    /// A list of paths has something that is no path. Its lines may not be what ends a path.
    PathList,
    /// A glob has no meaning, or no path can match it.
    Glob,
    /// The run's memory is too little for its workers.
    RunMemory,
    /// A worker's memory is too little.
    WorkerMemory,
    /// The run was asked to end; by a signal of this number, if a program was.
    Interrupted(i32),
    /// The path of the corpus does not exist, but looks like a shell pattern.
    Unexpanded,
    /// The corpus has no documents, but files were left out.
    AllLeftOut,
    /// The corpus has no documents, but hidden files were left out, and a glob asks for hidden ones.
    HiddenLeftOut,
    /// The path of the output names no directory.
    OutputName,
    /// The output is there already.
    OutputExists,
    /// The output can't be where it is asked for, or its disk is full.
    OutputPlace,
    /// The place of the output's temporary files holds something that no run has made.
    OutputForeign,
    /// Scratch files can't be where they are asked for, or their disk is full.
    ScratchPlace,
    /// The place of the scratch files holds something that no run has made.
    ScratchForeign,
    /// A dense matrix is too large.
    TooDense,
    /// A list is named `-`, and no file has that name.
    ListNamedDash,
    /// A matrix has more columns than its format can have.
    TooWide,
    /// The system has no process, thread or descriptor for another worker.
    NoWorker,
    /// A worker process can't do what it has to before its first task.
    WorkerStart,
    /// The strict sandbox is not available.
    Sandbox,
    /// A document makes no progress, and workers of this mode can't be ended alone.
    Stuck,
    /// A worker has crashed, and in this mode that ends the run.
    Crashed,
    /// More documents have crashed their workers than allowed.
    TooManyCrashes,
    /// The system gives no memory for what was counted.
    NoMemory,
    /// The system gives no memory for the second half of a run.
    NoMemoryToFinish,
    /// Too few permits to read can be opened.
    ReadPermits,
    /// No term occurs in enough documents.
    MinDf,
    /// Each term occurs in too many documents.
    MaxDf,
    /// Each term occurs in too few or too many documents.
    MinAndMaxDf,
    /// No document has a term.
    EmptyVocabulary {
        /// Some have words of one character only.
        has_short_words: bool,
        /// Some have words that are not terms under these settings.
        has_others: bool,
    },
    /// A term has no finite idf.
    NoIdf {
        /// Whether it is that of a BM25.
        is_bm25: bool,
    },
    /// A value is larger than the largest f32.
    BeyondF32,
    /// A value is not finite.
    NotFinite,
    /// The reader of standard output has closed it.
    BrokenPipe,
    /// Anything else: the system's errors, damaged files.
    Other,
}

/// An error of a kind, in words.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// Its kind.
    pub kind: ErrorKind,
    text: String,
}

impl Fault {
    /// An error of a kind that these words describe.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Fault { kind, text: text.into() }
    }
}

/// Why a run could not finish: a kind, and a chain of causes.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    cause: anyhow::Error,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, cause: anyhow::Error) -> Self {
        Error { kind, cause }
    }

    pub(crate) fn into_cause(self) -> anyhow::Error {
        self.cause
    }

    /// What kind of error it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The number of the system's error that it comes from, if it comes from one.
    pub fn os_error(&self) -> Option<i32> {
        self.cause.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
    }
}

impl From<anyhow::Error> for Error {
    /// An error of the kind of its cause.
    fn from(cause: anyhow::Error) -> Self {
        let is_broken_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        let kind = if let Some(fault) = cause.downcast_ref::<Fault>() {
            fault.kind.clone()
        } else if let Some(error) = cause.downcast_ref::<SettingsError>() {
            ErrorKind::Settings(error.clone())
        } else if cause.chain().any(|cause| cause.downcast_ref().is_some_and(is_broken_pipe)) {
            ErrorKind::BrokenPipe
        } else {
            ErrorKind::Other
        };
        Error { kind, cause }
    }
}

impl fmt::Display for Error {
    /// The whole chain in one line, each cause behind a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.cause)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}
