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

pub use checkpoint::Checkpoint;
pub use crew::Supervision;
pub use finish::{Columns, Emitted, Finish, FinishJob, IdfSource, Merged, Pruning, Share};
pub use tally::{TallyJob, tally};

use crate::pool::PoolError;
use bowline_workers::failure::Failure;
use bowline_workers::protocol::Usage;
use bowline_workers::recorder::Distress;
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
    /// Workers die for reasons that are not the documents'.
    #[error("workers are killed again and again by something else ({0} times at the same place)")]
    KilledAgain(u32),
    /// More documents than allowed were condemned.
    #[error("more than {0} documents have killed their worker (--max-failures allows more)")]
    TooManyFailures(usize),
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
    /// No term can be kept.
    #[error("--max-df allows {high} documents at most, but --min-df asks for {low} at least")]
    Bounds {
        /// What `--min-df` comes to.
        low: f64,
        /// What `--max-df` comes to.
        high: f64,
    },
    /// No term was kept.
    #[error("no term is left after pruning (lower --min-df or raise --max-df)")]
    AllPruned,
    /// No term occurs in any document.
    #[error("empty vocabulary: no document has a term")]
    EmptyVocabulary,
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

fn system(what: &'static str) -> impl Fn(std::io::Error) -> RunError {
    move |source| RunError::System { what, source }
}
