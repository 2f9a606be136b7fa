//! The job of a run and its summary.

use crate::corpus::Source;
use crate::memory::MemoryLimits;
use crate::model::Model;
use crate::output::{Counts, Format};
use crate::pool::{Confinement, Mode, ThreadGuards};
use crate::settings::Settings;
use bowline_workers::failure::Failure;
use std::path::PathBuf;
use std::time::Duration;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where documents are.
    pub source: Source,
    /// What changes the result.
    pub settings: Settings,
    /// The vocabulary that is given, if one is. The settings are built on it.
    pub model: Option<Model>,
    /// Where the output goes.
    pub sink: Sink,
    /// How it is done: nothing of it changes the result.
    pub options: RunOptions,
}

/// Where the output goes, and what it is.
#[derive(Clone, Debug)]
pub struct Sink {
    /// The directory to make.
    pub directory: PathBuf,
    /// The matrix's format.
    pub format: Format,
    /// Whether the terms of each bucket are written, too.
    pub hash_terms: bool,
    /// Whether an output that is there is replaced.
    pub force: bool,
    /// Whether files are synced before the directory gets its name.
    pub sync: bool,
}

impl Sink {
    /// A new sparse matrix in `directory`, synced.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Sink { directory: directory.into(), format: Format::Npz, hash_terms: false, force: false, sync: true }
    }
}

/// How a run is done.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What workers are.
    pub mode: Mode,
    /// Number of workers; by default limited by the cores and the memory.
    pub workers: Option<usize>,
    /// Documents that are read at a time, at most, by all workers together.
    pub max_reads: Option<u32>,
    /// What each read takes at least, for measurements.
    pub read_latency: Duration,
    /// Memory that the run may take.
    pub memory: MemoryLimits,
    /// Directory of the rows and tables that do not fit into memory; by default beside the output.
    pub scratch: Option<PathBuf>,
    /// Whether what is counted is kept if the run does not finish, and used by the next one.
    pub resume: bool,
    /// What worker processes are kept from.
    pub confinement: Confinement,
    /// How long a document may make no progress before its worker is ended.
    pub document_timeout: Duration,
    /// Documents that may crash their workers before the run gives up.
    pub max_crashes: usize,
    /// What worker threads may do to the process.
    pub guards: ThreadGuards,
    /// Files that the caller writes: they are not documents, even inside the corpus.
    pub own: Vec<PathBuf>,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            mode: Mode::Threads,
            workers: None,
            max_reads: None,
            read_latency: Duration::ZERO,
            memory: MemoryLimits::default(),
            scratch: None,
            resume: false,
            confinement: Confinement::Auto,
            document_timeout: Duration::from_secs(60),
            max_crashes: 100,
            guards: ThreadGuards::default(),
            own: Vec::new(),
        }
    }
}

/// What a run has done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The output directory, from the root on.
    pub output: PathBuf,
    /// Rows, columns, cells, tokens.
    pub counts: Counts,
    /// Bytes of documents.
    pub bytes: u64,
    /// The names of the first documents that failed, and why. `documents.jsonl` has all of them.
    pub failures: Vec<(String, Failure)>,
    /// Directories that could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Entries of directories that are not documents: hidden, excluded by a glob, links, special files.
    pub left_out: u64,
    /// Documents that an earlier run had counted.
    pub resumed: u64,
    /// Workers at a time.
    pub workers: usize,
    /// Workers that were started, in all phases.
    pub workers_started: u64,
    /// Time that it took to start them.
    pub starting: Duration,
    /// Messages to and from workers.
    pub messages: u64,
    /// Bytes of rows and tables that lay in scratch files.
    pub scratch_bytes: u64,
    /// What kept workers from doing more than their work.
    pub sandbox: &'static str,
}

impl Summary {
    /// Whether every document was embedded, and every directory read.
    pub fn is_complete(&self) -> bool {
        self.counts.failed == 0 && self.unreadable.is_empty()
    }
}
