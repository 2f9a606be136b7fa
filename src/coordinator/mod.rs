//! The phases of a run and the supervision of its workers.
//!
//! `crew` keeps workers busy and tells of their deaths; `tally` decides what a death means for documents; `finish`
//! sorts, merges and emits. What happens is told as [`RunEvent`]s to a callback: nothing here knows a screen.

mod batches;
mod checkpoint;
mod crew;
mod finish;
mod merge;
mod tally;
#[cfg(test)]
mod tests;

pub use checkpoint::{CHECKPOINT, Checkpoint};
pub use crew::Supervision;
pub use finish::{Columns, Emitted, Finish, FinishJob, IdfSource, Merged, Pruning, Share};
pub use tally::{TallyJob, tally};

use crate::pool::PoolError;
use bowline_workers::absence::Absence;
use bowline_workers::failure::Failure;
use bowline_workers::protocol::Usage;
use bowline_workers::recorder::Distress;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A part of a run, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Documents to records.
    Tally,
    /// Terms sorted, merged and numbered.
    Merge,
    /// Rows written.
    Emit,
}

/// What happens in a run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum RunEvent {
    /// A phase has begun; it is done after `total` units: documents, segments or rows.
    PhaseBegan(Phase, u64),
    /// So many units, and bytes of documents, are done.
    Advanced(u64, u64),
    /// A worker has died and its work is done again.
    WorkerLost,
    /// A worker has left, and this is what it used.
    WorkerLeft(Usage),
}

/// Why a run could not finish.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The pool failed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The system refused something.
    #[error("{what}")]
    System {
        /// What was tried.
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
    /// Workers die for reasons that are not the documents'.
    #[error("workers are killed again and again by something else ({0} times at the same place)")]
    KilledAgain(u32),
    /// More documents than allowed were condemned.
    #[error("more than {0} documents have killed their worker (--max-crashes allows more)")]
    TooManyCrashes(usize),
    /// A worker moved no more, where it can't be ended alone.
    #[error("a document makes no progress (--mode processes would skip it)")]
    Stuck(Option<u64>),
    /// A worker crashed, where that is the end of all.
    #[error("{} (--mode processes would skip it)", last_words(*.0))]
    Crashed(Distress, Option<u64>),
    /// A task failed for a reason that no retry mends.
    #[error("a worker could not go on: {0}")]
    Broken(String),
    /// The rows take more disk than there is.
    #[error(
        "the corpus's rows need more disk than the {rows} bytes so far, and {free} are free in {} (--scratch names another directory)",
        directory.display()
    )]
    NoDisk {
        /// Bytes of the rows so far.
        rows: u64,
        /// Bytes that are free.
        free: u64,
        /// Where they were to lie.
        directory: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no more memory, or no more addresses, for rows.
    #[error(
        "the corpus's rows need more memory than the system gives, {rows} bytes so far (--memory asks for less, ulimit -v allows more)"
    )]
    NoMemory {
        /// Bytes of the rows so far.
        rows: u64,
        /// What the system says.
        source: std::io::Error,
    },
    /// No term can be kept, or none was.
    #[error("{}", pruned(*.terms, *.low, *.high, *.documents))]
    AllPruned {
        /// Terms that there were; none if they were not looked at.
        terms: Option<u64>,
        /// Documents that `--min-df` asks for.
        low: f64,
        /// Documents that `--max-df` allows.
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
fn last_words(distress: Distress) -> String {
    match distress {
        Distress::OutOfMemory => Failure::OutOfMemory.to_string(),
        Distress::Exit => "its worker ended the program".to_owned(),
        Distress::Signal(signal) => Failure::Killed(signal).to_string(),
    }
}

/// Why no term is left of `terms` after pruning: each must occur in `low` to `high` of `documents` documents.
fn pruned(terms: Option<u64>, low: f64, high: f64, documents: u64) -> String {
    let (asks, allows) = (low > 1.0, high < documents as f64);
    let corpus = format!("{documents} {}", if documents == 1 { "document" } else { "documents" });
    match (terms, asks, allows) {
        (_, true, false) if low > documents as f64 => {
            format!("--min-df asks for {low} documents or more, but the corpus has {corpus} (lower --min-df)")
        }
        (None, true, true) => {
            format!("--max-df allows {high} documents at most, but --min-df asks for {low} or more")
        }
        (None, ..) => {
            format!("--max-df allows {high} documents at most, so no term can be kept (raise --max-df)")
        }
        (Some(terms), true, false) => {
            format!(
                "no term is left: none of the {terms} terms occurs in {low} documents or more (lower --min-df)"
            )
        }
        (Some(terms), false, _) => {
            format!(
                "no term is left: each of the {terms} terms occurs in more than {high} documents (raise --max-df)"
            )
        }
        (Some(terms), true, true) => format!(
            "no term is left: none of the {terms} terms occurs in {low} to {high} documents (lower --min-df or raise --max-df)"
        ),
    }
}

/// How many documents have no term for which reason, and which option helps.
fn absences(documents: &BTreeMap<Option<Absence>, u64>) -> String {
    let reasons = documents.iter().map(|(absence, documents)| {
        let reason = match absence {
            Some(Absence::Empty) => "empty",
            Some(Absence::NoWord) => "without a letter or a digit",
            Some(Absence::ShortWords) => {
                "with words of one character only: --token-pattern '(?u)\\b\\w+\\b' takes them"
            }
            Some(Absence::NoMatch) => "in which --token-pattern matches nothing",
            Some(Absence::StopWords) => "with stop words only: --stop-words",
            Some(Absence::FewerThanNgram) => "shorter than an n-gram: --ngrams",
            None => "for another reason",
        };
        format!("{documents} {reason}")
    });
    reasons.collect::<Vec<_>>().join("; ")
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> RunError {
    move |source| RunError::System { what, source }
}
