//! The worker: receives a task and returns a report. All modes use this type.
//!
//! A worker knows its own state: the documents and its segment, or the plan of the second phase. It does not know the
//! mode, the other workers or the remaining tasks. It never prints, forks or retries.

use crate::cells;
use crate::crash::Noting;
use crate::dictionary::Tier;
use crate::emit;
use crate::heartbeat::Heartbeat;
use crate::lines;
use crate::pieces;
use crate::plan::Plan;
use crate::protocol::{Report, Task, Usage};
use crate::tally::Tally;
use crate::vocabulary;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;

/// A worker of the first or the second generation.
pub struct Worker {
    slot: Desk,
    /// Whether it has reported that it retires. Then it takes no further task.
    retired: bool,
}

enum Desk {
    /// From documents to records.
    Tally(Box<Tally>),
    /// From records to the output.
    Finish(Arc<Plan>, Heartbeat),
}

impl Worker {
    /// Creates a worker of the first generation.
    pub fn tallying(tally: Tally) -> Self {
        Worker { slot: Desk::Tally(Box::new(tally)), retired: false }
    }

    /// Creates a worker of the second generation.
    pub fn finishing(plan: Arc<Plan>, heartbeat: Heartbeat) -> Self {
        Worker { slot: Desk::Finish(plan, heartbeat), retired: false }
    }

    /// The worker's heartbeat.
    pub fn heartbeat(&self) -> &Heartbeat {
        match &self.slot {
            Desk::Tally(tally) => tally.heartbeat(),
            Desk::Finish(_, heartbeat) => heartbeat,
        }
    }

    /// Bytes of private memory that a worker process may take.
    pub fn memory(&self) -> u64 {
        match &self.slot {
            Desk::Tally(tally) => tally.memory(),
            Desk::Finish(plan, _) => plan.worker_memory,
        }
    }

    /// From now on, crashes of this thread are noted in the worker's heartbeat.
    pub(crate) fn note_distress(&self) -> Noting {
        Noting::with(match &self.slot {
            Desk::Tally(tally) => tally.heartbeat().clone(),
            Desk::Finish(_, heartbeat) => heartbeat.clone(),
        })
    }

    /// The open files that this worker needs. A worker process may close all others.
    pub fn descriptors(&self) -> Vec<RawFd> {
        match &self.slot {
            Desk::Tally(tally) => {
                let documents = tally.documents().descriptors().map(|opened| opened.as_raw_fd());
                let files =
                    [tally.scratch(), tally.read_limit()].into_iter().flatten().map(|file| file.as_raw_fd());
                documents.chain(files).collect()
            }
            Desk::Finish(plan, _) => {
                let files =
                    [Some(&plan.files.matrix), Some(&plan.files.documents), plan.files.terms.as_ref()];
                files.into_iter().flatten().map(|file| file.as_raw_fd()).collect()
            }
        }
    }

    /// Performs the task.
    pub fn perform(&mut self, task: Task) -> Report {
        match (task, &mut self.slot) {
            (Task::Leave, _) => Report::Left(usage()),
            (Task::Tally(part) | Task::Scan(part), _) if self.retired => Report::Retired { next: part.start },
            (Task::Scan(part), Desk::Tally(tally)) => tally.scan(part),
            (Task::Tally(part), Desk::Tally(tally)) => {
                let report = tally.part(part);
                self.retired = matches!(report, Report::Retired { .. });
                report
            }
            (task, Desk::Finish(plan, heartbeat)) => {
                heartbeat.step();
                let report = finish(plan, task);
                plan.matrix.give_back();
                report
            }
            (_, Desk::Tally(_)) => Report::Broken { errno: 0 },
        }
    }
}

/// Performs a task of the second phase.
fn finish(plan: &Plan, task: Task) -> Report {
    let matrix = &plan.matrix;
    let has = |tier: Tier, run: u32| (run as usize) < matrix.dictionary(tier).runs.len();
    let lines = |written: std::io::Result<u64>| written.map(|bytes| Report::Lines { bytes });
    let done = match task {
        Task::Count { segment } if (segment as usize) < matrix.segments.len() => {
            vocabulary::count(matrix, segment as usize, &|| false);
            Ok(Report::Done)
        }
        Task::Sort { tier, run } if has(tier, run) => {
            vocabulary::sort(matrix, tier, run as usize).map(|()| Report::Done)
        }
        Task::Merge { tier, low, high, first } => {
            let (found, kept) = vocabulary::merge(matrix, tier, low..high, first as usize);
            Ok(Report::Merged { found, kept })
        }
        Task::Number { tier, low, high, base } => {
            vocabulary::number(matrix, tier, low..high, base);
            Ok(Report::Done)
        }
        Task::CountColumns { first, last } => {
            cells::count_columns(matrix, first..last);
            Ok(Report::Done)
        }
        Task::Measure { first, last } => {
            cells::measure(matrix, first..last);
            Ok(Report::Done)
        }
        Task::Terms { first, last, column, offset: None } => {
            lines(lines::measure_terms(matrix, first..last, column))
        }
        Task::Terms { first, last, column, offset: Some(offset) } => {
            lines(lines::write_terms(plan, first..last, column, offset))
        }
        Task::Documents { first, last, offset: None } => lines(lines::measure_documents(plan, first..last)),
        Task::Documents { first, last, offset: Some(offset) } => {
            lines(lines::write_documents(plan, first..last, offset))
        }
        Task::Emit { first, last, layout } => emit::emit(plan, first..last, &layout),
        Task::Piece { first, last, offset } => pieces::encode(plan, first..last, offset),
        Task::Count { .. } | Task::Sort { .. } | Task::Tally(_) | Task::Scan(_) | Task::Leave => {
            Ok(Report::Broken { errno: 0 })
        }
    };
    done.unwrap_or_else(|error| Report::Broken { errno: error.raw_os_error().unwrap_or(0) })
}

/// The resource usage of this thread. In a worker process, that is all of its usage.
fn usage() -> Usage {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return Usage::default() };
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    Usage {
        user_seconds: seconds(usage.user_time()),
        system_seconds: seconds(usage.system_time()),
        minor_faults: usage.minor_page_faults() as u64,
        major_faults: usage.major_page_faults() as u64,
        voluntary_switches: usage.voluntary_context_switches() as u64,
        involuntary_switches: usage.involuntary_context_switches() as u64,
    }
}
