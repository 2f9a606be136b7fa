//! Workers as processes or as threads, behind one trait.
//!
//! A pool starts workers, carries tasks to them and reports back, and reports their end. It decides nothing: which worker does
//! what, and what a death means, is the coordinator's.

#[cfg(test)]
pub mod fake;
mod limits;
mod processes;
mod sandbox;
mod threads;
mod worker_pool;

pub use limits::limit_data;
pub use processes::Processes;
pub use sandbox::{Confinement, Sandbox};
pub use threads::{ThreadGuards, Threads};
pub use worker_pool::{End, PoolError, PoolEvent, WorkerId, WorkerPool};

use serde::Serialize;

/// What workers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A process each: a document that kills its worker costs that document only. The calling process must have no other
    /// thread, since it forks.
    Processes,
    /// A thread each, for comparison.
    Threads,
    /// One worker and nothing beside it, for comparison: a thread that the program waits for.
    Inline,
}
