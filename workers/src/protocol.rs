//! What coordinator and worker say to each other: tasks go down, reports come up.
//!
//! Messages are small and of fixed size (a test keeps them under 512 bytes): bulk data lies in shared memory, and a
//! message only says where. Who may block on whom:
//!
//! | who | on what | until | why there is no circle |
//! |---|---|---|---|
//! | worker | its task channel, reading | the next task, or the coordinator is gone | the coordinator never waits for a worker to read |
//! | worker | its report channel, writing | there is room: at most [`IN_FLIGHT`] + 1 reports are unread | the coordinator always reads on |
//! | coordinator | all report channels at once, with a time limit | a report, a death, or the limit | it holds nothing that a worker waits for |
//! | coordinator | a task channel, writing | never: at most [`IN_FLIGHT`] tasks are unread, far below a channel's room | |
//!
//! A channel that closes is the news of a death. No one shares a lock.

use serde::{Deserialize, Serialize};

/// Tasks that a worker may hold at a time: one to work on, and one so that it need not wait for the next.
pub const IN_FLIGHT: usize = 2;

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Count the terms of documents and record them, a record each.
    Tally(Batch),
    /// Count the documents of a segment's local ids.
    Count {
        /// The segment's number.
        segment: u32,
    },
    /// Sort a run's terms.
    Sort {
        /// The run's number.
        run: u32,
    },
    /// Merge the terms of all runs whose prefix is from `low` up to, not including, `high`.
    Merge {
        /// Least prefix.
        low: u64,
        /// The prefix after the greatest.
        high: u64,
        /// Where the merged ones go in the plan's terms.
        first: u64,
    },
    /// Number the local ids of those terms.
    Number {
        /// Least prefix.
        low: u64,
        /// The prefix after the greatest.
        high: u64,
        /// Column of the first of them.
        base: u32,
    },
    /// Write the lines of the plan's terms from `first` up to, not including, `last`.
    Terms {
        /// First term.
        first: u64,
        /// The term after the last one.
        last: u64,
        /// Column of the first.
        column: u64,
        /// Where in their file; none: set the columns' idf and measure the lines.
        offset: Option<u64>,
    },
    /// Write the lines of the documents from `first` up to, not including, `last`.
    Documents {
        /// First row.
        first: u64,
        /// The row after the last one.
        last: u64,
        /// Where in their file; none: measure the lines.
        offset: Option<u64>,
    },
    /// Count the documents of each column from `first` up to, not including, `last`.
    CountColumns {
        /// First column.
        first: u64,
        /// The column after the last one.
        last: u64,
    },
    /// Find the lengths of the rows from `first` up to, not including, `last`.
    Measure {
        /// First row.
        first: u64,
        /// The row after the last one.
        last: u64,
    },
    /// Write the rows from `first` up to, not including, `last` at their place in the output.
    Emit {
        /// First row.
        first: u64,
        /// The row after the last one.
        last: u64,
        /// Where the arrays lie in the output file.
        layout: Layout,
    },
    /// Tell the usage and leave.
    Leave,
}

/// Documents to tally in one go: those of rows `first_row + start` up to, not including, `first_row + end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// Its number: the first half of its documents' keys.
    pub id: u32,
    /// The row of its ordinal 0.
    pub first_row: u64,
    /// First ordinal to tally: above 0 in what a dead worker left over.
    pub start: u32,
    /// The ordinal after the last one to tally.
    pub end: u32,
}

/// Where the arrays of a matrix lie in their file, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Layout {
    /// Of a sparse matrix: the first column index.
    pub indices: u64,
    /// The first value; of a dense matrix: the first element.
    pub data: u64,
    /// Columns of the matrix.
    pub columns: u64,
    /// Whether column indices take 8 bytes, not 4.
    pub wide: bool,
}

/// What became of a task.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Report {
    /// All documents of the batch have their records.
    Tallied,
    /// The worker's memory is full: it has records up to, not including, this ordinal, and leaves.
    Retired {
        /// First ordinal without a record.
        next: u32,
    },
    /// The terms are merged.
    Merged {
        /// How many there are.
        found: u64,
        /// How many of them have enough documents, and not too many.
        kept: u64,
    },
    /// The lines are measured, or written.
    Lines {
        /// Bytes of them.
        bytes: u64,
    },
    /// The terms are sorted or numbered, the columns counted, or the rows measured.
    Done,
    /// The rows are written.
    Emitted {
        /// CRC-32 of the column indices written.
        indices: u32,
        /// CRC-32 of the values written.
        data: u32,
    },
    /// A value is not finite: nothing of the task counts.
    NotFinite {
        /// Its row.
        row: u64,
        /// Its column.
        column: u32,
    },
    /// The task failed for a reason that no retry mends.
    Broken {
        /// The system's error, 0 if the task made no sense to this worker.
        errno: i32,
    },
    /// The worker can't begin, and leaves. Its first and last report.
    Unstarted {
        /// The step of its start that failed.
        step: StartStep,
        /// The system's error, 0 if there is none.
        errno: i32,
    },
    /// The last report before leaving.
    Left(Usage),
}

/// What a worker process does before its first task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StartStep {
    /// Asks to be killed when its coordinator dies.
    ParentDeath,
    /// Sets how it takes signals.
    Signals,
    /// Keeps crashes from writing core files.
    CoreLimit,
    /// Bounds its stack.
    StackLimit,
    /// Bounds its memory.
    MemoryLimit,
    /// Gives up standard input, output and error.
    StandardStreams,
    /// Closes what it has inherited.
    Descriptors,
    /// Gives up what only root can do.
    Capabilities,
    /// Enters a Landlock domain.
    Domain,
    /// Applies a seccomp filter.
    Filter,
    /// Something of it panicked.
    Panic,
}

impl StartStep {
    /// What was done when it failed, with the system call.
    pub fn name(self) -> &'static str {
        match self {
            StartStep::ParentDeath => "asking to end with the coordinator (prctl PR_SET_PDEATHSIG)",
            StartStep::Signals => "setting its signals (sigaction)",
            StartStep::CoreLimit => "turning core files off (setrlimit RLIMIT_CORE)",
            StartStep::StackLimit => "limiting its stack (setrlimit RLIMIT_STACK)",
            StartStep::MemoryLimit => "limiting its memory (setrlimit RLIMIT_DATA)",
            StartStep::StandardStreams => "replacing standard input, output and error (dup2)",
            StartStep::Descriptors => "closing what it has inherited (close_range)",
            StartStep::Capabilities => "giving up capabilities (capset)",
            StartStep::Domain => "entering a Landlock domain (landlock_restrict_self)",
            StartStep::Filter => "applying a seccomp filter (seccomp)",
            StartStep::Panic => "a panic",
        }
    }
}

/// What a worker used of the machine.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds of processor time in user mode.
    pub user_seconds: f64,
    /// Seconds of processor time in the kernel.
    pub(crate) system_seconds: f64,
    /// Page faults that read nothing.
    pub(crate) minor_faults: u64,
    /// Page faults that had to read.
    pub(crate) major_faults: u64,
    /// Times that it waited.
    pub(crate) voluntary_switches: u64,
    /// Times that it had to let others run.
    pub(crate) involuntary_switches: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value of every kind, each number at its largest.
    #[test]
    fn messages_stay_small() {
        let batch = Batch { id: u32::MAX, first_row: u64::MAX, start: u32::MAX, end: u32::MAX };
        let layout = Layout { indices: u64::MAX, data: u64::MAX, columns: u64::MAX, wide: true };
        let usage = Usage {
            user_seconds: f64::MAX,
            system_seconds: f64::MAX,
            minor_faults: u64::MAX,
            major_faults: u64::MAX,
            voluntary_switches: u64::MAX,
            involuntary_switches: u64::MAX,
        };
        let tasks = [
            Task::Tally(batch),
            Task::Count { segment: u32::MAX },
            Task::Sort { run: u32::MAX },
            Task::Merge { low: u64::MAX, high: u64::MAX, first: u64::MAX },
            Task::Number { low: u64::MAX, high: u64::MAX, base: u32::MAX },
            Task::Terms { first: u64::MAX, last: u64::MAX, column: u64::MAX, offset: Some(u64::MAX) },
            Task::Documents { first: u64::MAX, last: u64::MAX, offset: Some(u64::MAX) },
            Task::CountColumns { first: u64::MAX, last: u64::MAX },
            Task::Measure { first: u64::MAX, last: u64::MAX },
            Task::Emit { first: u64::MAX, last: u64::MAX, layout },
            Task::Leave,
        ];
        let reports = [
            Report::Tallied,
            Report::Retired { next: u32::MAX },
            Report::Merged { found: u64::MAX, kept: u64::MAX },
            Report::Lines { bytes: u64::MAX },
            Report::Done,
            Report::Emitted { indices: u32::MAX, data: u32::MAX },
            Report::Broken { errno: i32::MAX },
            Report::Unstarted { step: StartStep::Panic, errno: i32::MAX },
            Report::Left(usage),
        ];
        for size in tasks.iter().map(wire_size).chain(reports.iter().map(wire_size)) {
            assert!(size < 512, "{size} bytes");
        }
    }

    /// Bytes that a message takes on a channel, read off one.
    fn wire_size<T: Serialize>(message: &T) -> usize {
        postcard::to_allocvec(message).unwrap().len()
    }
}
