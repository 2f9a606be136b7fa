//! The messages between coordinator and worker: tasks go down, reports come up.
//!
//! Messages are small and of fixed size (a test keeps them under 512 bytes). Bulk data is in shared memory; a
//! message only contains its place. The table shows which side may block on which:
//!
//! | who | on what | until | why there is no circle |
//! |---|---|---|---|
//! | worker | its task channel, reading | the next task, or the coordinator is gone | the coordinator never waits for a worker to read |
//! | worker | its report channel, writing | there is room: at most [`IN_FLIGHT`] + 1 reports are unread | the coordinator always reads on |
//! | coordinator | all report channels at once, with a time limit | a report, a death, or the limit | it holds nothing that a worker waits for |
//! | coordinator | a task channel, writing | never: at most [`IN_FLIGHT`] tasks are unread, far below a channel's room | |
//!
//! A closed channel signals a death. Coordinator and workers share no lock.

use crate::dictionary::Tier;
use crate::split::{Part, STATES};
use serde::{Deserialize, Serialize};

/// Tasks that a worker may hold at a time: one in work, and one so that it need not wait for the next.
pub const IN_FLIGHT: usize = 2;

/// A request to a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Count the terms of documents and append a record for each.
    Tally(Part),
    /// Find in which state a scan of the part's range ends, from each state that it may begin in.
    Scan(Part),
    /// Count the documents of a segment's local ids.
    Count {
        /// The segment's number.
        segment: u32,
    },
    /// Sort a run's words or terms.
    Sort {
        /// Which.
        tier: Tier,
        /// The run's number.
        run: u32,
    },
    /// Merge the words or terms of all runs whose prefix is in `low..high`.
    Merge {
        /// Which.
        tier: Tier,
        /// First prefix.
        low: u64,
        /// The prefix after the last one.
        high: u64,
        /// Index of the first of them among the merged ones.
        first: u64,
    },
    /// Assign ranks to words, or columns to the local ids of terms, whose prefix is in `low..high`.
    Number {
        /// Which.
        tier: Tier,
        /// First prefix.
        low: u64,
        /// The prefix after the last one.
        high: u64,
        /// Rank or column of the first of them.
        base: u32,
    },
    /// Write the lines of the plan's terms `first..last`.
    Terms {
        /// First term.
        first: u64,
        /// The term after the last one.
        last: u64,
        /// Column of the first.
        column: u64,
        /// Offset in their file in bytes. `None`: set the idf of the columns and measure the lines.
        offset: Option<u64>,
    },
    /// Write the lines of the documents `first..last`.
    Documents {
        /// First row.
        first: u64,
        /// The row after the last one.
        last: u64,
        /// Offset in their file in bytes. `None`: measure the lines.
        offset: Option<u64>,
    },
    /// Count the documents of each of the columns `first..last`.
    CountColumns {
        /// First column.
        first: u64,
        /// The column after the last one.
        last: u64,
    },
    /// Measure the lengths of the rows `first..last`.
    Measure {
        /// First row.
        first: u64,
        /// The row after the last one.
        last: u64,
    },
    /// Write the rows `first..last` at their place in the output.
    Emit {
        /// First row.
        first: u64,
        /// The row after the last one.
        last: u64,
        /// The places of the arrays in the output file.
        layout: Layout,
    },
    /// Encode the rows `first..last` as a piece of the matrix file.
    Piece {
        /// First row.
        first: u64,
        /// The row after the last one.
        last: u64,
        /// Offset in the file in bytes. `None`: measure the piece.
        offset: Option<u64>,
    },
    /// Report the usage and exit.
    Leave,
}

/// The places of a matrix's arrays in their file, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Layout {
    /// The first column index of a sparse matrix.
    pub indices: u64,
    /// The first value of a sparse matrix, or the first element of a dense one.
    pub data: u64,
    /// Columns of the matrix.
    pub columns: u64,
    /// Whether a column index takes 8 bytes; otherwise 4.
    pub wide: bool,
}

/// Column chunks of a row group of a Parquet file.
pub const CHUNKS: usize = 5;

/// Bytes of a piece of the matrix file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PieceSize {
    /// All its bytes.
    pub bytes: u64,
    /// Its column chunks, if it is a row group.
    pub(crate) chunks: [ChunkSize; CHUNKS],
}

/// A column chunk of a Parquet file: all that its metadata contain besides its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ChunkSize {
    /// Its bytes in the file.
    pub(crate) compressed: u64,
    /// Its bytes before compression.
    pub(crate) uncompressed: u64,
    /// Its values and nulls.
    pub(crate) values: u64,
    /// Bytes of its dictionary; 0 if it has none.
    pub(crate) dictionary: u32,
    /// A bit for each encoding that it contains.
    pub(crate) encodings: i32,
}

/// The result of a task.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Report {
    /// All documents of the part have a record.
    Tallied {
        /// The ordinal after the last one. If it is not the part's, the split has no document from there on.
        end: u32,
    },
    /// The range is scanned.
    Scanned {
        /// The state in which the scan ends, for each state that it may begin in.
        ends: [u8; STATES],
    },
    /// The worker's memory is full. The ordinals before `next` have records. The worker takes no further task.
    Retired {
        /// First ordinal without a record.
        next: u32,
    },
    /// The terms are merged.
    Merged {
        /// Number of merged terms.
        found: u64,
        /// Number of those whose document frequency is within the limits.
        kept: u64,
    },
    /// The lines are measured or written.
    Lines {
        /// Bytes of the lines.
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
    /// The piece is measured or written.
    Piece(PieceSize),
    /// A value is not finite. The task has no result.
    NotFinite {
        /// Its row.
        row: u64,
        /// Its column.
        column: u32,
    },
    /// The task failed for a reason that a retry cannot remove.
    Broken {
        /// The system's error number; 0 if the task is not valid for this worker.
        errno: i32,
    },
    /// The worker cannot start, and exits. This is its first and last report.
    Unstarted {
        /// The step that failed.
        step: StartStep,
        /// The system's error number; 0 if there is none.
        errno: i32,
    },
    /// The last report before the worker exits.
    Left(Usage),
}

/// A step of a worker process before its first task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StartStep {
    /// Asks the system to kill it when its coordinator dies.
    ParentDeath,
    /// Sets its handling of signals.
    Signals,
    /// Prevents core files.
    CoreLimit,
    /// Limits its stack.
    StackLimit,
    /// Limits its memory.
    MemoryLimit,
    /// Detaches standard input, output and error.
    StandardStreams,
    /// Closes inherited descriptors.
    Descriptors,
    /// Drops the capabilities of root.
    Capabilities,
    /// Enters a Landlock domain.
    Domain,
    /// Applies a seccomp filter.
    Filter,
    /// One of these steps panicked.
    Panic,
}

impl StartStep {
    /// A description of the step, with its system call.
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

/// The resource usage of a worker.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds of processor time in user mode.
    pub user_seconds: f64,
    /// Seconds of processor time in the kernel.
    pub(crate) system_seconds: f64,
    /// Page faults without input.
    pub(crate) minor_faults: u64,
    /// Page faults with input.
    pub(crate) major_faults: u64,
    /// Voluntary context switches: the worker waited.
    pub(crate) voluntary_switches: u64,
    /// Involuntary context switches: another task got the processor.
    pub(crate) involuntary_switches: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Source;
    use crate::split::{Compression, RecordFormat, RecordRange, Split, SplitKind};

    /// One value of each kind, with each number at its maximum.
    #[test]
    fn messages_stay_small() {
        let source = Source { bytes: u64::MAX, modified: i64::MIN };
        let range = RecordRange {
            format: RecordFormat::Zip,
            compression: Some(Compression::Xz),
            start: u64::MAX,
            end: u64::MAX,
            source,
        };
        let split = Split { file: u64::MAX, kind: SplitKind::Records(range) };
        let part = Part { id: u32::MAX, split, state: u8::MAX, start: u32::MAX, end: u32::MAX };
        let layout = Layout { indices: u64::MAX, data: u64::MAX, columns: u64::MAX, wide: true };
        let chunk = ChunkSize {
            compressed: u64::MAX,
            uncompressed: u64::MAX,
            values: u64::MAX,
            dictionary: u32::MAX,
            encodings: i32::MIN,
        };
        let usage = Usage {
            user_seconds: f64::MAX,
            system_seconds: f64::MAX,
            minor_faults: u64::MAX,
            major_faults: u64::MAX,
            voluntary_switches: u64::MAX,
            involuntary_switches: u64::MAX,
        };
        let tasks = [
            Task::Tally(part),
            Task::Scan(part),
            Task::Count { segment: u32::MAX },
            Task::Sort { tier: Tier::Terms, run: u32::MAX },
            Task::Merge { tier: Tier::Terms, low: u64::MAX, high: u64::MAX, first: u64::MAX },
            Task::Number { tier: Tier::Terms, low: u64::MAX, high: u64::MAX, base: u32::MAX },
            Task::Terms { first: u64::MAX, last: u64::MAX, column: u64::MAX, offset: Some(u64::MAX) },
            Task::Documents { first: u64::MAX, last: u64::MAX, offset: Some(u64::MAX) },
            Task::CountColumns { first: u64::MAX, last: u64::MAX },
            Task::Measure { first: u64::MAX, last: u64::MAX },
            Task::Emit { first: u64::MAX, last: u64::MAX, layout },
            Task::Piece { first: u64::MAX, last: u64::MAX, offset: Some(u64::MAX) },
            Task::Leave,
        ];
        let reports = [
            Report::Tallied { end: u32::MAX },
            Report::Scanned { ends: [u8::MAX; STATES] },
            Report::Retired { next: u32::MAX },
            Report::Merged { found: u64::MAX, kept: u64::MAX },
            Report::Lines { bytes: u64::MAX },
            Report::Done,
            Report::Emitted { indices: u32::MAX, data: u32::MAX },
            Report::Piece(PieceSize { bytes: u64::MAX, chunks: [chunk; CHUNKS] }),
            Report::Broken { errno: i32::MAX },
            Report::Unstarted { step: StartStep::Panic, errno: i32::MAX },
            Report::Left(usage),
        ];
        for size in tasks.iter().map(wire_size).chain(reports.iter().map(wire_size)) {
            assert!(size < 512, "{size} bytes");
        }
    }

    /// Bytes that a message takes on a channel, measured.
    fn wire_size<T: Serialize>(message: &T) -> usize {
        postcard::to_allocvec(message).unwrap().len()
    }
}
