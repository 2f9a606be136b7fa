//! The phases of a run and the supervision of its workers.
//!
//! `supervisor` keeps workers busy and reports their deaths; `tally` decides what a death means for documents; `finish`
//! sorts, merges and emits. A callback receives [`Event`](crate::event::Event)s: nothing here prints.

mod checkpoint;
mod finish;
mod named_buckets;
mod splits;
mod supervisor;
mod tables;
mod tally;
#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoint;
pub use finish::{Columns, Finish, FinishJob, Merged};
pub use splits::{Shard, cut, cut_shard};
pub use supervisor::Supervision;
pub use tables::IdfSource;
pub use tally::{CountedSegment, Tallied, TallyJob, Totals, tally, total_bytes};

use crate::error::ErrorKind;
use crate::pool::PoolError;
use bowline_workers::absence::Absence;
use bowline_workers::counted::counted;
use bowline_workers::failure::Failure;
use bowline_workers::heartbeat::Crash;
use bowline_workers::mapped::is_full;
use bowline_workers::split::Key;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why a run could not finish.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The pool failed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The system refused something.
    #[error("{what}")]
    System {
        /// The operation that failed.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A signal asked the run to end.
    #[error("interrupted")]
    Interrupted(i32),
    /// A map of the run was lost: its disk is full or fails, or the system commits no more memory.
    #[error(transparent)]
    LostMap(std::io::Error),
    /// Workers die for reasons other than their documents.
    #[error("another program keeps killing the workers ({0} times at the same place)")]
    KilledAgain(u32),
    /// More documents than allowed were condemned.
    #[error("more than {} crashed their worker", counted(*.0 as u64, "document has", "documents have"))]
    TooManyCrashes(usize),
    /// A worker made no progress, in a mode in which it can't be ended alone.
    #[error("a document makes no progress")]
    Stuck(Option<Key>),
    /// A worker crashed, in a mode in which that ends the run.
    #[error("{}", last_words(*.0))]
    Crashed(Crash, Option<Key>),
    /// A worker can't write its part of the output.
    #[error("writing the output")]
    Unwritten(#[source] std::io::Error),
    /// A task failed, and a retry would fail again.
    #[error("a worker could not go on: {0}")]
    Broken(String),
    /// The rows take more disk than there is.
    #[error(
        "the corpus's rows need more disk than the {rows} bytes so far, and {free} are free in {}",
        directory.display()
    )]
    NoDisk {
        /// Bytes of the rows so far.
        rows: u64,
        /// Bytes that are free.
        free: u64,
        /// The directory of their files.
        directory: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no more memory, or no more addresses, for rows.
    #[error("the corpus's rows need more memory than the system gives, {rows} bytes so far")]
    NoMemory {
        /// Bytes of the rows so far.
        rows: u64,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no memory for the second half.
    #[error("out of memory while finishing")]
    NoMemoryToFinish,
    /// The permits to read can't be opened.
    #[error("opening the permits to read in /proc")]
    NoPermits(#[source] std::io::Error),
    /// No term can be kept, or none was.
    #[error("{}", pruned(*.terms, *.low, *.high, *.documents))]
    AllPruned {
        /// Terms that there were; none if they were not looked at.
        terms: Option<u64>,
        /// Documents that a term must occur in.
        low: f64,
        /// Documents that a term may occur in.
        high: f64,
        /// Documents that did not fail.
        documents: u64,
    },
    /// No term occurs in any document.
    #[error("empty vocabulary: no document has a term ({})", absences(.0))]
    EmptyVocabulary(BTreeMap<Option<Absence>, u64>),
    /// A value is not finite.
    #[error("a value is not finite")]
    NotFinite {
        /// Its row.
        row: u64,
        /// Its column.
        column: u32,
    },
}

impl RunError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RunError::Pool(error) => error.kind(),
            RunError::Interrupted(signal) => ErrorKind::Interrupted(*signal),
            RunError::TooManyCrashes(_) => ErrorKind::TooManyCrashes,
            RunError::Stuck(_) => ErrorKind::Stuck,
            // Without a document, there is none that another mode could skip.
            RunError::Crashed(Crash::OutOfMemory, None) => ErrorKind::NoMemoryToFinish,
            RunError::Crashed(..) => ErrorKind::Crashed,
            RunError::NoDisk { .. } => ErrorKind::ScratchPlace,
            RunError::LostMap(error) if is_full(error) => ErrorKind::ScratchPlace,
            RunError::LostMap(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
                ErrorKind::NoMemory
            }
            RunError::NoMemory { .. } => ErrorKind::NoMemory,
            RunError::NoMemoryToFinish => ErrorKind::NoMemoryToFinish,
            RunError::NoPermits(_) => ErrorKind::ReadPermits,
            RunError::AllPruned { low, high, documents, .. } => {
                match (*low > 1.0, *high < *documents as f64) {
                    (true, _) if *low > *documents as f64 => ErrorKind::MinDf,
                    (true, false) => ErrorKind::MinDf,
                    (true, true) => ErrorKind::MinAndMaxDf,
                    (false, _) => ErrorKind::MaxDf,
                }
            }
            RunError::EmptyVocabulary(absences) => {
                let has = |absence| absences.contains_key(&Some(absence));
                ErrorKind::EmptyVocabulary {
                    has_short_words: has(Absence::ShortWords),
                    has_others: has(Absence::NoMatch)
                        || has(Absence::StopWords)
                        || has(Absence::FewerThanNgram),
                }
            }
            RunError::NotFinite { .. } => ErrorKind::NotFinite,
            RunError::System { source, .. } if is_full(source) => ErrorKind::ScratchPlace,
            RunError::Unwritten(source) if is_full(source) => ErrorKind::OutputPlace,
            RunError::System { .. }
            | RunError::Unwritten(_)
            | RunError::LostMap(_)
            | RunError::KilledAgain(_)
            | RunError::Broken(_) => ErrorKind::Other,
        }
    }

    /// An error if a signal has asked the program to end, by leaving its number there.
    ///
    /// # Errors
    /// [`RunError::Interrupted`].
    pub fn if_interrupted(signal: &AtomicUsize) -> Result<(), RunError> {
        match signal.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(RunError::Interrupted(signal as i32)),
        }
    }
}

/// What a crash that could not be survived was, as a document's cause is worded where it is.
fn last_words(crash: Crash) -> String {
    match crash {
        Crash::OutOfMemory => Failure::OutOfMemory.to_string(),
        Crash::Exit => "its worker ended the program".to_owned(),
        Crash::Signal(signal) => Failure::Killed(signal).to_string(),
    }
}

/// Why no term is left of `terms` after pruning: each must occur in `low` to `high` of `documents` documents.
fn pruned(terms: Option<u64>, low: f64, high: f64, documents: u64) -> String {
    let (asks, allows) = (low > 1.0, high < documents as f64);
    let corpus = counted(documents, "document", "documents");
    // A limit may be a share of the documents, and so a broken number.
    let limit = |limit: f64| format!("{limit} {}", if limit == 1.0 { "document" } else { "documents" });
    let (high_documents, low_documents) = (limit(high), limit(low));
    let terms = terms.map(|terms| counted(terms, "term", "terms"));
    match (terms, asks, allows) {
        (_, true, false) if low > documents as f64 => {
            format!("a term must occur in {low_documents} or more, but the corpus has {corpus}")
        }
        (None, true, true) => {
            format!("a term may occur in {high_documents} at most, but must occur in {low} or more")
        }
        (None, ..) => {
            format!("a term may occur in {high_documents} at most, so no term can be kept")
        }
        (Some(terms), true, false) => {
            format!("no term is left: none of the {terms} occurs in {low_documents} or more")
        }
        (Some(terms), false, _) => {
            format!("no term is left: of {terms}, each occurs in more than {high_documents}")
        }
        (Some(terms), true, true) => {
            format!("no term is left: none of the {terms} occurs in {low} to {high_documents}")
        }
    }
}

/// How many documents have no term for which reason.
fn absences(documents: &BTreeMap<Option<Absence>, u64>) -> String {
    let reasons = documents.iter().map(|(absence, documents)| {
        let reason = match absence {
            Some(Absence::Empty) => "empty",
            Some(Absence::NoWord) => "without a letter or a digit",
            Some(Absence::ShortWords) => "with words of one character only",
            Some(Absence::NoMatch) => "in which the token pattern matches nothing",
            Some(Absence::StopWords) => "with stop words only",
            Some(Absence::FewerThanNgram) => "shorter than an n-gram",
            None => "for another reason",
        };
        format!("{documents} {reason}")
    });
    reasons.collect::<Vec<_>>().join("; ")
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> RunError {
    move |source| RunError::System { what, source }
}
