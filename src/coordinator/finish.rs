//! The second half of a run: a new generation of workers, which inherits every segment, sorts the terms and writes
//! the rows. All of its tasks may be done twice without harm, so a dead worker's are simply done again.

use super::crew::{Crew, Death, DeathCause, Job, Supervision, Work};
use super::idf::Idf;
use super::merge::{Vocabulary, merge};
use super::tally::Tallied;
use super::{Phase, RunError, RunEvent, system};
use bowline_workers::failure::Failure;
use bowline_workers::hashing::Buckets;
use bowline_workers::mapped::Table;
use bowline_workers::plan::{Container, Numbering, Plan, SegmentPlan, SortedTerms, ValueSettings};
use bowline_workers::protocol::{Layout, Report, Task};
use bowline_workers::recorder::Recorder;
use bowline_workers::segment::{Record, Segment};
use bowline_workers::worker::Worker;
use crc32fast::Hasher;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Cells that a task writes, about.
const TASK_CELLS: u64 = 128 << 10;

/// How often the same task may cost its worker.
const MOST_ATTEMPTS: u32 = 20;

/// What the columns of the matrix are.
#[derive(Clone, Copy, Debug)]
pub enum Columns {
    /// The terms of the corpus, but for those that are pruned.
    Terms(Pruning),
    /// Buckets, each known by its terms.
    NamedBuckets(Buckets),
    /// So many, and rows tell them by number.
    Given(u64),
}

/// Which terms get no column, in scikit-learn's order: by document frequency, then by rank.
#[derive(Clone, Copy, Debug)]
pub struct Pruning {
    /// Documents that a term must occur in.
    pub min_df: Share,
    /// Documents that a term may occur in.
    pub max_df: Share,
    /// Terms that are kept: those that occur most often.
    pub max_features: Option<usize>,
}

/// A number of documents.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Share {
    /// As it is.
    Documents(u64),
    /// A share of all documents that did not fail.
    Of(f64),
}

impl Share {
    fn of(self, documents: u64) -> f64 {
        match self {
            Share::Documents(number) => number as f64,
            Share::Of(share) => share * documents as f64,
        }
    }
}

/// Where idf comes from.
#[derive(Clone, Debug)]
pub enum IdfSource {
    /// The weight has none.
    None,
    /// This corpus.
    Corpus(Idf),
    /// An earlier one: idf by column, and terms a document on the average.
    Earlier(Vec<f64>, f64),
}

/// What the second half does.
#[derive(Clone, Debug)]
pub struct FinishJob {
    /// What the columns are.
    pub columns: Columns,
    /// Where idf comes from.
    pub idf: IdfSource,
    /// Whether to count each column's documents even if no idf needs them.
    pub counts_columns: bool,
    /// How counts become values.
    pub values: ValueSettings,
    /// How the matrix lies in its file.
    pub container: Container,
}

/// The second half of a run.
pub struct Finish {
    job: FinishJob,
    plan: Arc<Plan>,
    condemned: BTreeMap<usize, Failure>,
    /// Documents that did not fail.
    embedded: u64,
    crew: Crew,
}

/// What the merge has found.
#[derive(Debug)]
pub struct Merged {
    /// The terms, where columns or buckets have some.
    pub vocabulary: Vocabulary,
    /// Columns of the matrix.
    pub columns: u64,
    /// Stored cells of the matrix.
    pub nonzeros: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct Emitted {
    /// CRC-32 of all column indices.
    pub indices: u32,
    /// CRC-32 of all values.
    pub data: u32,
}

/// A document as it turned out.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Bytes of its file.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// Those of them that a given vocabulary does not have.
    pub unknown: u64,
    /// Why it has no row, if so.
    pub failure: Option<Failure>,
}

impl Finish {
    /// Prepares the second half: `matrix` is the file that rows will be written to.
    ///
    /// # Errors
    /// If the system has no memory or descriptor for a map.
    pub fn new(
        tallied: Tallied,
        job: FinishJob,
        matrix: File,
        supervision: &Supervision,
    ) -> Result<Self, RunError> {
        let mapping = system("mapping the columns' tables");
        let segments = tallied.segments.into_iter().map(segment_plan).collect::<Result<Vec<_>, _>>()?;
        let ids: usize = segments.iter().map(|segment| segment.columns.len()).sum();
        let (numbering, columns) = match job.columns {
            Columns::Terms(_) => (Numbering::LocalIds, ids),
            Columns::NamedBuckets(buckets) => (Numbering::LocalIdsOfBuckets, buckets.n_features as usize),
            Columns::Given(columns) => (Numbering::Columns, columns as usize),
        };
        let has_idf = !matches!(job.idf, IdfSource::None);
        let counts = has_idf || job.counts_columns;
        let counts_occurrences = match job.columns {
            Columns::Terms(pruning) => pruning.max_features.is_some(),
            Columns::NamedBuckets(_) => true,
            Columns::Given(_) => false,
        };
        let mut plan = Plan {
            segments,
            indptr: Table::new(tallied.places.len() + 1).map_err(&mapping)?,
            places: tallied.places,
            numbering,
            frequencies: Table::new(if counts { columns } else { 0 }).map_err(&mapping)?,
            idf: Table::new(if has_idf { columns } else { 0 }).map_err(&mapping)?,
            mean_length: 0.0,
            values: job.values,
            counts_occurrences,
            matrix,
            container: job.container,
        };
        let (embedded, tokens) = totals(&plan);
        plan.mean_length = match &job.idf {
            IdfSource::Earlier(_, mean_length) => *mean_length,
            _ if embedded > 0 => tokens as f64 / embedded as f64,
            _ => 0.0,
        };
        supervision.recorder.clear();
        let (plan, condemned) = (Arc::new(plan), tallied.condemned);
        Ok(Finish { job, plan, condemned, embedded, crew: Crew::new(supervision) })
    }

    /// Numbers the columns, finds their idf, and lays out the rows.
    ///
    /// # Errors
    /// Whatever ends the run as a whole.
    pub fn merge(&mut self, supervision: &mut Supervision) -> Result<Merged, RunError> {
        let segments = self.plan.segments.len() as u64;
        (supervision.events)(RunEvent::PhaseBegan(Phase::Merge, segments));
        let (vocabulary, columns) = match self.job.columns {
            Columns::Terms(pruning) => {
                let vocabulary = self.prune(pruning, supervision)?;
                self.set_frequencies(&vocabulary);
                let columns = vocabulary.len() as u64;
                (vocabulary, columns)
            }
            Columns::NamedBuckets(buckets) => {
                let counts = self.sort(supervision)?;
                let number = |_, term: &[u8]| buckets.bucket(term);
                let vocabulary = merge(&self.plan.segments, &counts, 0.0..=f64::INFINITY, number)?;
                (vocabulary, buckets.n_features as u64)
            }
            Columns::Given(columns) => (Vocabulary::default(), columns),
        };
        let nonzeros = self.lay_out_rows(supervision)?;
        if !matches!(self.job.columns, Columns::Terms(_)) && !self.plan.frequencies.is_empty() {
            let share = columns.div_ceil(supervision.workers as u64).max(1);
            let tasks = (0..columns).step_by(share as usize);
            let tasks = tasks.map(|first| Task::CountColumns { first, last: (first + share).min(columns) });
            self.perform(tasks.collect(), supervision)?;
        }
        self.set_idf();
        Ok(Merged { vocabulary, columns, nonzeros })
    }

    /// Sorts every segment's terms, and tells how many each has.
    fn sort(&mut self, supervision: &mut Supervision) -> Result<Vec<u64>, RunError> {
        let segments = self.plan.segments.len();
        let tasks = (0..segments as u32).map(|segment| Task::Sort { segment });
        let mut counts = vec![0; segments];
        for (task, report) in self.perform(tasks.collect(), supervision)? {
            match (task, report) {
                (Task::Sort { segment }, Report::Sorted { terms }) => counts[segment as usize] = terms,
                (task, report) => return Err(broken(task, report)),
            }
        }
        Ok(counts)
    }

    fn prune(&mut self, pruning: Pruning, supervision: &mut Supervision) -> Result<Vocabulary, RunError> {
        let (low, high) = (pruning.min_df.of(self.embedded), pruning.max_df.of(self.embedded));
        if high < low && self.embedded > 0 {
            return Err(RunError::Bounds { low, high });
        }
        let counts = self.sort(supervision)?;
        let mut vocabulary = merge(&self.plan.segments, &counts, low..=high, |column, _| column)?;
        if let Some(most) = pruning.max_features {
            vocabulary.keep_most_frequent(most, &self.plan.segments);
        }
        // Where every document has failed, the list of the causes is the result.
        if vocabulary.is_empty() && self.embedded > 0 {
            return Err(if counts.iter().sum::<u64>() > 0 {
                RunError::AllPruned
            } else {
                RunError::EmptyVocabulary
            });
        }
        Ok(vocabulary)
    }

    fn set_frequencies(&self, vocabulary: &Vocabulary) {
        for (frequency, term) in self.plan.frequencies.iter().zip(vocabulary.terms(&self.plan.segments)) {
            frequency.store(term.documents as u32, Ordering::Relaxed);
        }
    }

    fn set_idf(&self) {
        let set =
            |(slot, idf): (&std::sync::atomic::AtomicU64, f64)| slot.store(idf.to_bits(), Ordering::Relaxed);
        match &self.job.idf {
            IdfSource::None => {}
            IdfSource::Earlier(idf, _) => self.plan.idf.iter().zip(idf.iter().copied()).for_each(set),
            IdfSource::Corpus(formula) => {
                let idf = self.frequencies().map(|documents| formula.of(self.embedded, documents));
                self.plan.idf.iter().zip(idf).for_each(set);
            }
        }
    }

    /// Fills the offsets of all rows, and returns the number of stored cells.
    fn lay_out_rows(&mut self, supervision: &mut Supervision) -> Result<u64, RunError> {
        let rows = self.plan.places.len();
        // Unless cells are dropped or added up on the way out, records know their lengths.
        let is_pruned = match self.job.columns {
            Columns::Terms(pruning) => !pruning.is_none(),
            Columns::NamedBuckets(_) => true,
            Columns::Given(_) => false,
        };
        if is_pruned {
            let tasks = (0..rows).step_by(4096);
            let last = |first: usize| (first + 4096).min(rows) as u64;
            let tasks = tasks.map(|first| Task::Measure { first: first as u64, last: last(first) });
            self.perform(tasks.collect(), supervision)?;
        }
        let mut nonzeros = 0;
        for row in 0..rows {
            let length = match is_pruned {
                true => self.plan.indptr[row].load(Ordering::Relaxed),
                false => self.plan.record(row).map_or(0, |record| record.nonzeros() as u64),
            };
            self.plan.indptr[row].store(nonzeros, Ordering::Relaxed);
            nonzeros += length;
        }
        self.plan.indptr[rows].store(nonzeros, Ordering::Relaxed);
        Ok(nonzeros)
    }

    /// Writes all rows where `layout` says, and sends the workers home.
    ///
    /// # Errors
    /// Whatever ends the run as a whole.
    pub fn emit(&mut self, layout: Layout, supervision: &mut Supervision) -> Result<Emitted, RunError> {
        (supervision.events)(RunEvent::PhaseBegan(Phase::Emit, self.plan.places.len() as u64));
        let mut reports = self.perform(self.emit_tasks(layout).collect(), supervision)?;
        self.crew.dismiss(supervision)?;
        reports.sort_unstable_by_key(|(task, _)| match task {
            Task::Emit { first, .. } => *first,
            _ => 0,
        });
        let (mut indices, mut data) = (Hasher::new(), Hasher::new());
        let index_size = if layout.wide { 8 } else { 4 };
        for (task, report) in reports {
            let (Task::Emit { first, last, .. }, Report::Emitted { indices: index_sum, data: data_sum }) =
                (task, report)
            else {
                return Err(broken(task, report));
            };
            let offset = |row: u64| self.plan.indptr[row as usize].load(Ordering::Relaxed);
            let cells = offset(last) - offset(first);
            indices.combine(&Hasher::new_with_initial_len(index_sum, cells * index_size));
            data.combine(&Hasher::new_with_initial_len(data_sum, cells * self.plan.values.dtype.size()));
        }
        Ok(Emitted { indices: indices.finalize(), data: data.finalize() })
    }

    /// First stored cell of each row, and behind the last row the number of all.
    pub fn indptr(&self) -> impl ExactSizeIterator<Item = u64> {
        self.plan.indptr.iter().map(|offset| offset.load(Ordering::Relaxed))
    }

    /// Each document as it turned out, in row order.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        (0..self.plan.places.len()).map(|row| match self.plan.record(row) {
            Some(record) => Outcome {
                bytes: record.source().bytes,
                tokens: record.tokens(),
                unknown: record.unknown(),
                failure: record.failure(),
            },
            None => Outcome { bytes: 0, tokens: 0, unknown: 0, failure: self.condemned.get(&row).copied() },
        })
    }

    /// In how many documents each column is stored, where that was counted.
    pub fn frequencies(&self) -> impl Iterator<Item = u64> {
        self.plan.frequencies.iter().map(|documents| documents.load(Ordering::Relaxed) as u64)
    }

    /// The idf of each column; of more than there are, and none if the weight has none.
    pub fn idf(&self) -> impl Iterator<Item = f64> {
        self.plan.idf.iter().map(|idf| f64::from_bits(idf.load(Ordering::Relaxed)))
    }

    /// Terms a document, on the average.
    pub fn mean_length(&self) -> f64 {
        self.plan.mean_length
    }

    /// The segments, which hold the bytes of the vocabulary's terms.
    pub fn segments(&self) -> &[SegmentPlan] {
        &self.plan.segments
    }

    /// Rows cut so that each task writes about as many cells.
    fn emit_tasks(&self, layout: Layout) -> impl Iterator<Item = Task> {
        let rows = self.plan.places.len() as u64;
        let cells = move |first: u64, last: u64| match self.plan.container {
            Container::Sparse => {
                let offset = |row: u64| self.plan.indptr[row as usize].load(Ordering::Relaxed);
                offset(last) - offset(first)
            }
            Container::Dense => (last - first) * layout.columns,
        };
        let mut first = 0;
        std::iter::from_fn(move || {
            let mut last = (first < rows).then_some(first + 1)?;
            while last < rows && last - first < 4096 && cells(first, last) < TASK_CELLS {
                last += 1;
            }
            let task = Task::Emit { first, last, layout };
            first = last;
            Some(task)
        })
    }

    fn perform(
        &mut self,
        tasks: VecDeque<Task>,
        supervision: &mut Supervision,
    ) -> Result<Vec<(Task, Report)>, RunError> {
        let mut work = FinishWork {
            plan: self.plan.clone(),
            recorder: supervision.recorder.clone(),
            queue: tasks,
            reports: Vec::new(),
            attempts: 0,
        };
        self.crew.run(supervision, &mut work)?;
        Ok(work.reports)
    }
}

impl Pruning {
    /// Whether no term can be dropped.
    fn is_none(&self) -> bool {
        self.max_features.is_none()
            && self.min_df == Share::Documents(1)
            && matches!(self.max_df, Share::Of(share) if share >= 1.0)
    }
}

/// Documents that did not fail, and their tokens.
fn totals(plan: &Plan) -> (u64, u64) {
    let records = (0..plan.places.len()).filter_map(|row| plan.record(row));
    let embedded = records.filter(|record| record.failure().is_none());
    embedded.fold((0, 0), |(documents, tokens), record| (documents + 1, tokens + record.tokens()))
}

fn broken(task: Task, report: Report) -> RunError {
    match report {
        Report::Broken { errno } if errno != 0 => {
            RunError::System { what: "writing the matrix", source: std::io::Error::from_raw_os_error(errno) }
        }
        report => RunError::Broken(format!("{report:?} to {task:?}")),
    }
}

fn segment_plan(segment: Segment) -> Result<SegmentPlan, RunError> {
    let ids = segment.records().map(|record: Record| record.new_terms() as usize).sum();
    let sorted = SortedTerms::new(ids).map_err(system("mapping a table of terms"))?;
    let columns = Table::new(ids).map_err(system("mapping a table of columns"))?;
    Ok(SegmentPlan { segment, sorted, columns })
}

/// Tasks of which each may be done by any worker, and again.
struct FinishWork {
    plan: Arc<Plan>,
    recorder: Recorder,
    queue: VecDeque<Task>,
    reports: Vec<(Task, Report)>,
    attempts: u32,
}

impl Work for FinishWork {
    fn hire(&mut self, desk: usize) -> Result<Worker, RunError> {
        Ok(Worker::finishing(self.plan.clone(), self.recorder.pen(desk)))
    }

    fn is_pending(&self) -> bool {
        !self.queue.is_empty()
    }

    fn next(&mut self, _fresh: bool) -> Option<Job> {
        self.queue.pop_front().map(|task| Job { task, alone: false })
    }

    fn reported(&mut self, _desk: usize, task: Task, report: Report) -> Result<(), RunError> {
        if matches!(report, Report::Broken { .. }) {
            return Err(broken(task, report));
        }
        self.reports.push((task, report));
        Ok(())
    }

    fn returned(&mut self, tasks: Vec<Task>) {
        tasks.into_iter().rev().for_each(|task| self.queue.push_front(task));
    }

    fn lost(&mut self, _desk: usize, tasks: Vec<Task>, death: Death) -> Result<(), RunError> {
        self.attempts += 1;
        match death.cause {
            _ if self.attempts <= MOST_ATTEMPTS => {
                self.returned(tasks);
                Ok(())
            }
            DeathCause::Outside => Err(RunError::KilledAgain(MOST_ATTEMPTS)),
            cause => Err(RunError::Broken(format!("{cause:?} while finishing"))),
        }
    }

    fn done(&self) -> (u64, u64) {
        let rows = |(task, _): &(Task, Report)| match task {
            Task::Emit { first, last, .. } => last - first,
            _ => 1,
        };
        (self.reports.iter().map(rows).sum(), 0)
    }
}
