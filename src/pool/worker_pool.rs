//! The seam between the one engine and the ways to run it: what a pool can do, what it reports, and how it fails.

use crate::error::ErrorKind;
use bowline_workers::protocol::{Report, StartStep, Task};
use bowline_workers::worker::Worker;
use std::time::Duration;

/// A worker's number. Never used twice in a run.
pub type WorkerId = u32;

/// A report of a pool.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum PoolEvent {
    /// A worker finished a task.
    Reported(WorkerId, Report),
    /// A worker has ended; its channel is empty.
    Ended(WorkerId, End),
}

/// How a worker ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It exited with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// Why a pool can't go on.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The system refused something.
    #[error("{what}")]
    System {
        /// The operation that failed.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system has no process or thread for a worker.
    #[error("starting a worker")]
    NoWorker(#[source] std::io::Error),
    /// A worker process could not do what it does before its first task.
    #[error("cannot start a worker: {}: {cause}", step.name())]
    Unstarted {
        /// What it could not do.
        step: StartStep,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The strict sandbox is not available.
    #[error("the strict sandbox is not available: {what}: {cause}")]
    Strict {
        /// What is missing.
        what: &'static str,
        /// Why.
        cause: std::io::Error,
    },
    /// There are too few descriptors for a single worker.
    #[error("the limit of open files (ulimit -n) is too low to start a worker")]
    TooFewFiles,
    /// The worker can't be ended alone.
    #[error("a worker of this mode can't be ended alone")]
    CannotEnd,
}

impl PoolError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            PoolError::NoWorker(_) => ErrorKind::NoWorker,
            PoolError::Unstarted { .. } => ErrorKind::WorkerStart,
            PoolError::Strict { .. } => ErrorKind::Sandbox,
            PoolError::CannotEnd => ErrorKind::Stuck,
            PoolError::System { .. } | PoolError::TooFewFiles => ErrorKind::Other,
        }
    }
}

/// Workers of one kind.
pub trait WorkerPool {
    /// Starts `worker` under the number `id`.
    ///
    /// # Errors
    /// If the system has no process, thread or channel left.
    fn start(&mut self, id: WorkerId, worker: Worker) -> Result<(), PoolError>;

    /// Sends a task. A dying worker loses the task; the pool then reports its end.
    fn send(&mut self, id: WorkerId, task: Task);

    /// What happened, after waiting up to `patience` for it. Nothing, if nothing did.
    ///
    /// # Errors
    /// If the channels themselves fail.
    fn wait(&mut self, patience: Duration) -> Result<Vec<PoolEvent>, PoolError>;

    /// Whether another process has stopped the worker.
    fn is_stopped(&mut self, id: WorkerId) -> bool;

    /// Whether a crashed worker stands still and the run has to end, because the pool does not report its end.
    fn holds_crashed(&self) -> bool {
        false
    }

    /// How many workers there may be at a time.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    /// What workers are confined by.
    fn confinement(&self) -> &'static str {
        "none"
    }

    /// Why workers can make any system call, if they were to be kept from that.
    fn unfiltered(&self) -> Option<&str> {
        None
    }

    /// Ends a worker by force. The pool then reports its end.
    ///
    /// # Errors
    /// [`PoolError::CannotEnd`] where workers share a process.
    fn end(&mut self, id: WorkerId) -> Result<(), PoolError>;
}
