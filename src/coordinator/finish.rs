//! The second half of a run: a new generation of workers inherits every segment, sorts the terms and writes the rows.
//! Every task may be done twice without harm, so the tasks of a dead worker are done again.

use super::named_buckets::TermsOfBuckets;
use super::supervisor::{Death, DeathCause, Job, Supervision, Supervisor, Work};
use super::tables::{IdfSource, idf_table, mean_length};
use super::tally::Tallied;
use super::{RunError, system};
use crate::event::{Event, Phase};
use crate::settings::Pruning;
use bowline_workers::absence::Absence;
use bowline_workers::columns::Vocabulary;
use bowline_workers::counted_rows::SegmentRows;
use bowline_workers::dictionary::Tier;
use bowline_workers::documents::DocumentName;
use bowline_workers::hashing::Buckets;
use bowline_workers::heartbeat::Heartbeats;
use bowline_workers::mapped::{Store, Table};
use bowline_workers::matrix_plan::{MatrixPlan, Numbering, SegmentPlan, ValueSettings};
use bowline_workers::pieces::{Piece, cut};
use bowline_workers::plan::{Container, Files, Plan, RowDocuments};
use bowline_workers::protocol::{Layout, PieceSize, Report, Task};
use bowline_workers::records::RecordSettings;
use bowline_workers::runs::{TalliedSegment, dictionaries, packing};
use bowline_workers::spelling;
use bowline_workers::worker::Worker;
use crc32fast::Hasher;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Approximate number of cells that a task writes.
const TASK_CELLS: u64 = 128 << 10;

/// How many workers may be lost in a row, without a task that was done in between.
const MAX_ATTEMPTS: u32 = 20;

/// What the columns of the matrix are.
#[derive(Clone, Copy, Debug)]
pub enum Columns {
    /// The terms of the corpus, but for those that are pruned.
    Terms(Pruning),
    /// Buckets, each known by its terms.
    NamedBuckets(Buckets),
    /// This many columns; rows refer to them by number.
    Given(u64),
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
    /// Bytes of private memory that a worker may take.
    pub worker_memory: u64,
    /// How documents were found in record files.
    pub records: RecordSettings,
    /// Whether there may be no column: the output is a part of another one.
    pub may_be_empty: bool,
}

/// Rows whose lines are written, or whose lengths are found, in one go.
const ROWS: usize = 4096;

/// Parts of the alphabet for each worker: some are slower than others.
const PARTS: usize = 4;

/// The second half of a run.
pub struct Finish {
    job: FinishJob,
    plan: Arc<Plan>,
    vocabulary: Vocabulary,
    /// Bytes of the lines of each chunk of terms and of documents, in order.
    lines: Lines,
    /// The pieces of the matrix file, in order, if it consists of them.
    pieces: Vec<Piece>,
    supervisor: Supervisor,
    store: Store,
}

/// Bytes of lines, chunk by chunk.
#[derive(Default)]
struct Lines {
    terms: Vec<u64>,
    documents: Vec<u64>,
}

/// What the merge has found.
#[derive(Clone, Copy, Debug)]
pub struct Merged {
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

impl Finish {
    /// Prepares the second half: workers will write to `files`, and tables lie in `store`.
    ///
    /// # Errors
    /// If the system has no memory, disk or descriptor for a map.
    pub fn new(
        tallied: Tallied,
        job: FinishJob,
        files: Files,
        store: &Store,
        supervision: &Supervision,
    ) -> Result<Self, RunError> {
        let mapping = system("mapping the columns' tables");
        let Tallied { segments, ngram_size, documents, places, lengths, condemned, totals } = tallied;
        let ids: usize = segments.iter().map(TalliedSegment::ids).sum();
        let embedded = places.len() as u64 - totals.failed.len() as u64;
        let (numbering, columns, pruning) = match job.columns {
            Columns::Terms(pruning) => (Numbering::LocalIds, ids, Some(pruning)),
            Columns::NamedBuckets(buckets) => {
                (Numbering::LocalIdsOfBuckets(buckets), buckets.n_features as usize, None)
            }
            Columns::Given(columns) => (Numbering::Columns, columns as usize, None),
        };
        let has_idf = !matches!(job.idf, IdfSource::None);
        let counts_columns = pruning.is_none() && (has_idf || job.counts_columns);
        let counts_occurrences = match pruning {
            Some(pruning) => pruning.max_features.is_some(),
            None => matches!(job.columns, Columns::NamedBuckets(_)),
        };
        // What is accessed at random comes first: it gets the memory that is left.
        let (idf, formula) = idf_table(&job.idf, columns, store).map_err(&mapping)?;
        let too_many = || RunError::Broken("more than 4,294,967,294 words".into());
        let packing = ngram_size.map(|size| packing(&segments, size).ok_or_else(too_many)).transpose()?;
        let (segments, spellings, words, terms) =
            dictionaries(segments, packing, counts_occurrences, store).map_err(&mapping)?;
        let kept = match pruning {
            Some(pruning) => pruning.min_df.of(embedded)..=pruning.max_df.of(embedded),
            None => 0.0..=f64::INFINITY,
        };
        if kept.is_empty() && embedded > 0 {
            let (low, high) = (*kept.start(), *kept.end());
            return Err(RunError::AllPruned { terms: None, low, high, documents: embedded });
        }
        let mean_length = mean_length(&job.idf, totals.tokens, embedded);
        let matrix = MatrixPlan {
            segments,
            words,
            spellings,
            terms,
            packing,
            places,
            numbering,
            kept,
            indptr: lengths,
            frequencies: Table::new(if counts_columns { columns } else { 0 }, store).map_err(&mapping)?,
            idf,
            formula,
            embedded,
            mean_length,
            values: job.values,
            counts_occurrences,
        };
        let plan = Plan {
            matrix,
            documents,
            records: job.records.clone(),
            condemned,
            files,
            container: job.container,
            worker_memory: job.worker_memory,
        };
        supervision.heartbeats.clear();
        let (vocabulary, lines, supervisor) =
            (Vocabulary::default(), Lines::default(), Supervisor::new(supervision));
        let (plan, store) = (Arc::new(plan), store.clone());
        Ok(Finish { job, plan, vocabulary, lines, pieces: Vec::new(), supervisor, store })
    }

    /// Numbers the columns, finds their idf, and lays out rows and lines.
    ///
    /// # Errors
    /// An error that ends the run as a whole.
    pub fn merge(&mut self, supervision: &mut Supervision) -> Result<Merged, RunError> {
        let segments = self.plan.matrix.segments.len() as u64;
        (supervision.events)(Event::PhaseBegan(Phase::Merge, segments));
        let columns = match self.job.columns {
            Columns::Given(columns) => columns,
            Columns::NamedBuckets(buckets) => {
                self.merge_terms(supervision)?;
                buckets.n_features as u64
            }
            Columns::Terms(pruning) => {
                let found = self.merge_terms(supervision)?;
                if let Some(most) = pruning.max_features {
                    let kept =
                        self.vocabulary.keep_most_frequent(most as u64, &self.plan.matrix, &self.store);
                    kept.map_err(system("mapping the ranks of terms"))?;
                }
                if self.vocabulary.is_empty() && self.plan.matrix.embedded > 0 && !self.job.may_be_empty {
                    self.refuse_no_columns(found)?;
                }
                self.vocabulary.len()
            }
        };
        self.number(columns, supervision)?;
        let nonzeros = self.lay_out_rows(supervision)?;
        if !self.plan.matrix.frequencies.is_empty() {
            // A worker has a number for each column of a task, in half of its memory.
            let most = self.job.worker_memory / 2 / size_of::<u32>() as u64;
            let share = columns.div_ceil(supervision.workers as u64).clamp(1, most.max(1));
            let tasks = (0..columns).step_by(share as usize);
            let tasks = tasks.map(|first| Task::CountColumns { first, last: (first + share).min(columns) });
            self.perform(tasks.collect(), supervision)?;
        }
        Ok(Merged { columns, nonzeros })
    }

    /// Refuses a matrix without columns, where there were `terms` terms. If documents have failed and all others are empty,
    /// the list of the causes is the result.
    ///
    /// # Errors
    /// Why no term is a column.
    fn refuse_no_columns(&self, terms: u64) -> Result<(), RunError> {
        let plan = &self.plan.matrix;
        if terms > 0 {
            let (low, high) = (*plan.kept.start(), *plan.kept.end());
            return Err(RunError::AllPruned { terms: Some(terms), low, high, documents: plan.embedded });
        }
        let mut documents = BTreeMap::new();
        if let RowDocuments::OfOutputs(_) = self.plan.documents {
            // Their lines do not say why a document has no term.
            documents.insert(None, plan.embedded);
        }
        let records = (0..plan.places.len()).filter_map(|row| plan.record(row));
        for record in records.filter(|record| record.failure().is_none()) {
            *documents.entry(Absence::decode(record.absence())).or_default() += 1;
        }
        let some_failed = plan.embedded < self.plan.matrix.places.len() as u64;
        match some_failed && documents.keys().all(|&absence| absence == Some(Absence::Empty)) {
            true => Ok(()),
            false => Err(RunError::EmptyVocabulary(documents)),
        }
    }

    /// Sorts and merges the terms of all segments; returns the number of terms. The words of n-grams are sorted, merged and
    /// numbered first.
    fn merge_terms(&mut self, supervision: &mut Supervision) -> Result<u64, RunError> {
        let plan = &self.plan.matrix;
        let to_count = (0..).zip(&plan.segments).filter(|&(_, segment)| is_open(plan, segment));
        let count = to_count.map(|(segment, _)| Task::Count { segment });
        self.perform(count.chain(sort_tasks(&self.plan.matrix, Tier::Words)).collect(), supervision)?;
        if self.plan.matrix.packing.is_some() {
            let (words, _) = self.merge_tier(Tier::Words, supervision)?;
            // A rank is the word's place among the merged words, which has gaps.
            let number = number_tasks(&words, Tier::Words, words.parts().iter().map(|part| part.first));
            self.perform(number.collect(), supervision)?;
        }
        self.perform(sort_tasks(&self.plan.matrix, Tier::Terms).collect(), supervision)?;
        let (vocabulary, found) = self.merge_tier(Tier::Terms, supervision)?;
        self.vocabulary = vocabulary;
        Ok(found)
    }

    /// Merges the sorted words or terms. Returns them and how many there were.
    fn merge_tier(
        &mut self,
        tier: Tier,
        supervision: &mut Supervision,
    ) -> Result<(Vocabulary, u64), RunError> {
        let mut vocabulary = Vocabulary::cut(self.plan.matrix.dictionary(tier), PARTS * supervision.workers);
        let tasks = vocabulary.parts().iter().map(|part| Task::Merge {
            tier,
            low: part.prefixes.start,
            high: part.prefixes.end,
            first: part.first,
        });
        let reports = self.perform(tasks.collect(), supervision)?;
        let mut all = 0;
        let mut kept_terms = Vec::with_capacity(reports.len());
        for (task, report) in reports {
            let Report::Merged { found, kept } = report else { return Err(broken(task, report)) };
            all += found;
            kept_terms.push(kept);
        }
        vocabulary.set_kept(kept_terms.into_iter());
        Ok((vocabulary, all))
    }

    /// Numbers local ids, finds idf, and measures lines: all that needs the vocabulary's order and nothing else.
    fn number(&mut self, columns: u64, supervision: &mut Supervision) -> Result<(), RunError> {
        if columns >= u32::MAX as u64 {
            return Err(RunError::Broken("more than 4,294,967,294 columns".into()));
        }
        let is_vocabulary = matches!(self.job.columns, Columns::Terms(_));
        let bases = self.vocabulary.bases().map(|base| if is_vocabulary { base } else { 0 });
        let mut tasks: VecDeque<Task> = number_tasks(&self.vocabulary, Tier::Terms, bases).collect();
        let nowhere = std::iter::repeat(None);
        tasks.extend(self.line_tasks(nowhere.clone(), nowhere));
        for (task, report) in self.perform(tasks, supervision)? {
            match (task, report) {
                (Task::Terms { .. }, Report::Lines { bytes }) => self.lines.terms.push(bytes),
                (Task::Documents { .. }, Report::Lines { bytes }) => self.lines.documents.push(bytes),
                (_, Report::Done) => {}
                (task, report) => return Err(broken(task, report)),
            }
        }
        Ok(())
    }

    /// The tasks for all lines, each to be written at its place, if it has one.
    fn line_tasks(
        &self,
        terms: impl Iterator<Item = Option<u64>>,
        documents: impl Iterator<Item = Option<u64>>,
    ) -> Vec<Task> {
        let chunks = self.vocabulary.chunks().filter(|_| self.plan.files.terms.is_some());
        let terms = chunks.zip(terms).map(|((chunk, column), offset)| Task::Terms {
            first: chunk.start,
            last: chunk.end,
            column,
            offset,
        });
        let rows = self.plan.matrix.places.len();
        let documents = (0..rows).step_by(ROWS).zip(documents).map(|(first, offset)| Task::Documents {
            first: first as u64,
            last: (first + ROWS).min(rows) as u64,
            offset,
        });
        terms.chain(documents).collect()
    }

    /// Fills the offsets of all rows, and returns the number of stored cells.
    fn lay_out_rows(&mut self, supervision: &mut Supervision) -> Result<u64, RunError> {
        let rows = self.plan.matrix.places.len();
        // Unless cells are dropped or added up on the way out, records know their lengths.
        let is_pruned = match self.job.columns {
            Columns::Terms(pruning) => !pruning.is_none(),
            Columns::NamedBuckets(_) => true,
            Columns::Given(_) => false,
        };
        if is_pruned {
            let tasks = (0..rows).step_by(ROWS);
            let last = |first: usize| (first + ROWS).min(rows) as u64;
            let tasks = tasks.map(|first| Task::Measure { first: first as u64, last: last(first) });
            self.perform(tasks.collect(), supervision)?;
        }
        let mut nonzeros = 0;
        for offset in self.plan.matrix.indptr.iter() {
            let length = offset.load(Ordering::Relaxed);
            offset.store(nonzeros, Ordering::Relaxed);
            nonzeros += length;
        }
        Ok(nonzeros)
    }

    /// Encodes all rows, if the matrix file consists of pieces, and returns the pieces with their sizes.
    ///
    /// # Errors
    /// An error that ends the run as a whole.
    pub fn measure_pieces(&mut self, supervision: &mut Supervision) -> Result<&[Piece], RunError> {
        if let Container::Pieces(_) = self.plan.container {
            let tasks = cut(&self.plan.matrix).map(|rows| Task::Piece {
                first: rows.start,
                last: rows.end,
                offset: None,
            });
            for (task, report) in self.perform(tasks.collect(), supervision)? {
                match (task, report) {
                    (Task::Piece { first, last, .. }, Report::Piece(size)) => {
                        self.pieces.push(Piece { rows: first..last, size });
                    }
                    (task, report) => return Err(broken(task, report)),
                }
            }
        }
        Ok(&self.pieces)
    }

    /// The measured size of the piece whose first row is `first`.
    fn measured(&self, first: u64) -> Option<PieceSize> {
        let place = self.pieces.binary_search_by_key(&first, |piece| piece.rows.start);
        place.ok().map(|place| self.pieces[place].size)
    }

    /// The tasks that write all pieces, from byte `offset` on.
    fn piece_tasks(&self, offset: u64) -> impl Iterator<Item = Task> {
        self.pieces.iter().scan(offset, |end, Piece { rows, size }| {
            let offset = *end;
            *end += size.bytes;
            Some(Task::Piece { first: rows.start, last: rows.end, offset: Some(offset) })
        })
    }

    /// Writes all rows at the places in `layout`, writes all lines, and asks the workers to exit.
    ///
    /// # Errors
    /// An error that ends the run as a whole.
    pub fn emit(&mut self, layout: Layout, supervision: &mut Supervision) -> Result<Emitted, RunError> {
        (supervision.events)(Event::PhaseBegan(Phase::Emit, self.plan.matrix.places.len() as u64));
        let mut tasks: Vec<Task> = match self.plan.container {
            Container::Sparse | Container::Dense => self.emit_tasks(layout).collect(),
            Container::Pieces(_) => self.piece_tasks(layout.data).collect(),
        };
        let offsets = |lengths: &[u64]| {
            let mut end = 0;
            let offsets = lengths.iter().map(|length| {
                end += length;
                Some(end - length)
            });
            offsets.collect::<Vec<_>>().into_iter()
        };
        tasks.extend(self.line_tasks(offsets(&self.lines.terms), offsets(&self.lines.documents)));
        // Lines of documents are written just after their rows, as long as what was read of them is in memory.
        tasks.sort_by_key(|task| match *task {
            Task::Documents { last, .. } => last,
            Task::Terms { .. } => u64::MAX,
            ref task => start(task),
        });
        let reports = self.perform(tasks.into(), supervision)?;
        self.supervisor.shut_down(supervision)?;
        let (mut indices, mut data) = (Hasher::new(), Hasher::new());
        let index_size = if layout.wide { 8 } else { 4 };
        for (task, report) in reports {
            let (first, last, index_sum, data_sum) = match (task, report) {
                (Task::Emit { first, last, .. }, Report::Emitted { indices, data }) => {
                    (first, last, indices, data)
                }
                (Task::Terms { .. } | Task::Documents { .. }, Report::Lines { .. }) => continue,
                (Task::Piece { first, .. }, Report::Piece(size)) if self.measured(first) == Some(size) => {
                    continue;
                }
                (task, report) => return Err(broken(task, report)),
            };
            let offset = |row: u64| self.plan.matrix.indptr[row as usize].load(Ordering::Relaxed);
            // Zeroes in the place of a lost table are not in order.
            let cells = offset(last).saturating_sub(offset(first));
            indices.combine(&Hasher::new_with_initial_len(index_sum, cells * index_size));
            data.combine(&Hasher::new_with_initial_len(
                data_sum,
                cells * self.plan.matrix.values.dtype.size(),
            ));
        }
        Ok(Emitted { indices: indices.finalize(), data: data.finalize() })
    }

    /// Bytes of all lines: of the documents', and of the terms'.
    pub fn line_bytes(&self) -> (u64, u64) {
        (self.lines.documents.iter().sum(), self.lines.terms.iter().sum())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.plan.matrix.places.len()
    }

    /// The name of a row's document.
    pub fn name(&self, row: usize) -> DocumentName {
        self.plan.name(row)
    }

    /// The cause of a merged row's failure, as its output has it.
    pub fn cause(&self, row: usize) -> Option<String> {
        self.plan.merged_line(row)?.ok()?.cause
    }

    /// First stored cell of each row, and behind the last row the number of all.
    pub fn indptr(&self) -> impl ExactSizeIterator<Item = u64> {
        self.plan.matrix.indptr.iter().map(|offset| offset.load(Ordering::Relaxed))
    }

    /// In how many documents each column is stored, where that was counted.
    pub fn frequencies(&self) -> impl Iterator<Item = u64> {
        self.plan.matrix.frequencies.iter().map(|documents| documents.load(Ordering::Relaxed) as u64)
    }

    /// The idf of each column; of more than there are, and none if the weight has none.
    pub fn idf(&self) -> impl Iterator<Item = f64> {
        self.plan.matrix.idf.iter().map(|idf| f64::from_bits(idf.load(Ordering::Relaxed)))
    }

    /// Mean number of terms per document.
    pub fn mean_length(&self) -> f64 {
        self.plan.matrix.mean_length
    }

    /// The term of a column; nothing if columns are buckets or terms that were given.
    pub fn term(&self, column: u32) -> Option<Cow<'_, [u8]>> {
        let is_found = matches!(self.job.columns, Columns::Terms(_));
        let term = self.vocabulary.terms(&self.plan.matrix).nth(column as usize).filter(|_| is_found)?;
        Some(spelling::spelled(&self.plan.matrix, &term))
    }

    /// The terms of each bucket, sorted in tables of the run's store.
    ///
    /// # Errors
    /// The system's, if there is no room for the tables.
    pub fn terms_of_buckets(&self, buckets: Buckets) -> io::Result<TermsOfBuckets<'_>> {
        TermsOfBuckets::sort(&self.plan.matrix, &self.vocabulary, buckets, &self.store)
    }

    /// Rows cut so that each task writes about as many cells.
    fn emit_tasks(&self, layout: Layout) -> impl Iterator<Item = Task> {
        let rows = self.plan.matrix.places.len() as u64;
        let cells = move |first: u64, last: u64| match self.plan.container {
            Container::Sparse => {
                let offset = |row: u64| self.plan.matrix.indptr[row as usize].load(Ordering::Relaxed);
                offset(last).saturating_sub(offset(first))
            }
            Container::Dense | Container::Pieces(_) => (last - first) * layout.columns,
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

    /// Has all tasks done, and returns them with their reports; those of one kind in order.
    fn perform(
        &mut self,
        tasks: VecDeque<Task>,
        supervision: &mut Supervision,
    ) -> Result<Vec<(Task, Report)>, RunError> {
        let mut work = FinishWork {
            plan: self.plan.clone(),
            heartbeats: supervision.heartbeats.clone(),
            queue: tasks,
            reports: Vec::new(),
            attempts: 0,
            suspects: VecDeque::new(),
            starved: Vec::new(),
            store: self.store.clone(),
        };
        // What was made of a lost table is of no use to workers, and what they die of is not their doing.
        self.store.check().map_err(RunError::LostMap)?;
        self.plan.matrix.give_back();
        let done = self.supervisor.run(supervision, &mut work);
        self.store.check().map_err(RunError::LostMap)?;
        done?;
        work.reports.sort_unstable_by_key(|(task, _)| start(task));
        // The first one in the order of rows, whichever came first in time.
        let mut reports = work.reports.iter().map(|&(_, report)| report);
        if let Some(Report::NotFinite { row, column }) =
            reports.find(|report| matches!(report, Report::NotFinite { .. }))
        {
            return Err(RunError::NotFinite { row, column });
        }
        Ok(work.reports)
    }
}

/// Whether the terms of a segment are to be counted and sorted. Those of a merged output come counted and sorted, but for
/// their occurrences.
fn is_open(plan: &MatrixPlan, segment: &SegmentPlan) -> bool {
    plan.counts_occurrences || matches!(segment.rows, SegmentRows::Records(_))
}

/// The tasks that sort all runs.
fn sort_tasks(plan: &MatrixPlan, tier: Tier) -> impl Iterator<Item = Task> {
    let runs = (0..).zip(&plan.dictionary(tier).runs);
    let runs = runs.filter(|(_, run)| is_open(plan, &plan.segments[run.segment]));
    runs.map(move |(run, _)| Task::Sort { tier, run })
}

/// The tasks that number the words or terms of all parts, each from its base on.
fn number_tasks(
    vocabulary: &Vocabulary,
    tier: Tier,
    bases: impl Iterator<Item = u64>,
) -> impl Iterator<Item = Task> {
    vocabulary.parts().iter().zip(bases).map(move |(part, base)| Task::Number {
        tier,
        low: part.prefixes.start,
        high: part.prefixes.end,
        base: base as u32,
    })
}

/// What tasks of one kind are ordered by.
fn start(task: &Task) -> u64 {
    match *task {
        Task::Count { segment } => segment as u64,
        Task::Sort { run, .. } => run as u64,
        Task::Merge { low, .. } | Task::Number { low, .. } => low,
        Task::CountColumns { first, .. }
        | Task::Measure { first, .. }
        | Task::Terms { first, .. }
        | Task::Documents { first, .. }
        | Task::Emit { first, .. }
        | Task::Piece { first, .. } => first,
        Task::Tally(part) | Task::Scan(part) => u64::from(part.id),
        Task::Leave => u64::MAX,
    }
}

fn broken(task: Task, report: Report) -> RunError {
    match report {
        Report::Broken { errno } if errno != 0 => {
            RunError::Unwritten(std::io::Error::from_raw_os_error(errno))
        }
        report => RunError::Broken(format!("{report:?} to {task:?}")),
    }
}

/// Tasks of which each may be done by any worker, and again.
struct FinishWork {
    plan: Arc<Plan>,
    heartbeats: Heartbeats,
    queue: VecDeque<Task>,
    reports: Vec<(Task, Report)>,
    attempts: u32,
    /// Tasks that a worker ran out of memory on. Each goes to a fresh worker that has nothing else to do.
    suspects: VecDeque<Task>,
    /// Tasks that such a worker has run out of memory on, too.
    starved: Vec<Task>,
    store: Store,
}

impl Work for FinishWork {
    fn new_worker(&mut self, slot: usize) -> Result<Worker, RunError> {
        Ok(Worker::finishing(self.plan.clone(), self.heartbeats.heartbeat(slot)))
    }

    fn is_pending(&self) -> bool {
        !self.queue.is_empty() || !self.suspects.is_empty()
    }

    fn next(&mut self, fresh: bool) -> Option<Job> {
        if fresh && let Some(task) = self.suspects.pop_front() {
            return Some(Job { task, alone: true });
        }
        self.queue.pop_front().map(|task| Job { task, alone: false })
    }

    fn reported(&mut self, _desk: usize, task: Task, report: Report) -> Result<(), RunError> {
        if matches!(report, Report::Broken { .. }) {
            return Err(broken(task, report));
        }
        self.reports.push((task, report));
        self.attempts = 0;
        Ok(())
    }

    fn returned(&mut self, tasks: Vec<Task>) {
        tasks.into_iter().rev().for_each(|task| self.queue.push_front(task));
    }

    fn lost(&mut self, _desk: usize, mut tasks: Vec<Task>, death: Death) -> Result<(), RunError> {
        self.store.check().map_err(RunError::LostMap)?;
        self.attempts += 1;
        if death.cause == DeathCause::OutOfMemory && !tasks.is_empty() {
            let task = tasks.remove(0);
            if death.alone && self.starved.contains(&task) {
                return Err(RunError::NoMemoryToFinish);
            }
            self.starved.extend(death.alone.then_some(task));
            self.suspects.push_back(task);
        }
        match death.cause {
            _ if self.attempts <= MAX_ATTEMPTS => {
                self.returned(tasks);
                Ok(())
            }
            DeathCause::Outside => Err(RunError::KilledAgain(MAX_ATTEMPTS)),
            DeathCause::OutOfMemory => Err(RunError::NoMemoryToFinish),
            cause => Err(RunError::Broken(format!("{cause:?} while finishing"))),
        }
    }

    fn done(&self) -> (u64, u64) {
        let rows = |(task, _): &(Task, Report)| match task {
            Task::Emit { first, last, .. } | Task::Piece { first, last, offset: Some(_) } => last - first,
            _ => 1,
        };
        (self.reports.iter().map(rows).sum(), 0)
    }
}
