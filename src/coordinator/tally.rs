//! The tally: reads and counts every document once, even if workers die.
//!
//! The committed records of a dead worker stay. The document that it held is the suspect: a fresh worker does it again
//! alone, while the rest of the batch goes to other workers. Only a second death, alone, condemns the document, so the set
//! of failed documents does not depend on the number of workers. A SIGKILL from outside does not condemn a document.

use super::checkpoint::{Checkpoint, Earlier};
use super::supervisor::{Death, DeathCause, Job, Supervision, Supervisor, Work};
use super::{RunError, batches, system};
use crate::event::{Event, Phase};
use bowline_workers::dictionary::RunRange;
use bowline_workers::documents::Documents;
use bowline_workers::failure::Failure;
use bowline_workers::heartbeat::Heartbeats;
use bowline_workers::mapped::{Store, Table, free, is_full};
use bowline_workers::plan::Places;
use bowline_workers::protocol::{Batch, Report, Task};
use bowline_workers::read_limit::ReadLimits;
use bowline_workers::segment::{Key, Record, RowNumbers, Segment, SegmentWriter};
use bowline_workers::tally::{Tally, TallySettings};
use bowline_workers::worker::Worker;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The largest number of kills from outside of workers that hold the same document.
const MAX_KILLS: u32 = 20;

/// The largest number of workers that may die without holding a document.
const MAX_IDLE_DEATHS: u32 = 100;

/// What to tally, and within which limits.
#[derive(Clone)]
pub struct TallyJob {
    /// The documents, in row order.
    pub documents: Arc<Documents>,
    /// How they are read and counted.
    pub settings: TallySettings,
    /// Where segments and tables lie.
    pub store: Store,
    /// How many reads there may be at a time.
    pub read_limits: ReadLimits,
    /// How many documents may be condemned before the run gives up.
    pub max_crashes: usize,
    /// Bytes of memory that sorting terms may take in a worker.
    pub run_bytes: usize,
}

/// Adds `ids` terms of a record at `start` with `bytes` bytes to the last run, or to a new one if that would cost more than
/// `most` bytes.
fn add_to_runs(runs: &mut Vec<RunRange>, start: usize, ids: u32, bytes: usize, most: usize) {
    let ids = ids as usize;
    if ids == 0 {
        return;
    }
    let of_record = |first: usize| RunRange { start, ids: first..first + ids, bytes };
    match runs.last_mut() {
        Some(run) if run.cost() + of_record(run.ids.end).cost() <= most => {
            run.ids.end += ids;
            run.bytes += bytes;
        }
        Some(run) => {
            let next = of_record(run.ids.end);
            runs.push(next);
        }
        None => runs.push(of_record(0)),
    }
}

/// A segment, and the runs that it is sorted in.
#[derive(Debug)]
pub struct TalliedSegment {
    /// The records.
    pub segment: Segment,
    /// The runs of words of n-grams.
    pub words: Vec<RunRange>,
    /// The runs of terms.
    pub terms: Vec<RunRange>,
}

impl TalliedSegment {
    fn new(segment: Segment) -> Self {
        TalliedSegment { segment, words: Vec::new(), terms: Vec::new() }
    }

    /// The number of local ids of terms.
    pub fn ids(&self) -> usize {
        self.terms.last().map_or(0, |run| run.ids.end)
    }

    /// The number of local ids of words of n-grams.
    pub fn word_ids(&self) -> usize {
        self.words.last().map_or(0, |run| run.ids.end)
    }

    /// Adds the new terms of a record to the runs, each of which may cost `most` bytes.
    fn add(&mut self, record: &Record, numbers: RowNumbers, most: usize) {
        let start = record.offset();
        let spelled = match numbers {
            RowNumbers::Columns(_) | RowNumbers::Terms => &mut self.terms,
            RowNumbers::Ngrams => {
                add_to_runs(&mut self.terms, start, record.new_ngrams(), record.ngram_bytes(), most);
                &mut self.words
            }
        };
        add_to_runs(spelled, start, record.new_terms(), record.term_bytes(), most);
    }
}

/// All documents' records.
#[derive(Debug)]
pub struct Tallied {
    /// The segments, by number.
    pub segments: Vec<TalliedSegment>,
    /// Words of the longest n-gram, if terms are n-grams that are listed by their words.
    pub ngram_size: Option<usize>,
    /// The record of each row.
    pub places: Places,
    /// The number of stored cells of each row's record, and one element more.
    pub lengths: Table<AtomicU64>,
    /// Rows without a record, and why.
    pub condemned: BTreeMap<usize, Failure>,
    /// What all documents come to.
    pub totals: Totals,
}

/// What all documents come to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Bytes of their files.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// Those of them that a given vocabulary does not have.
    pub unknown: u64,
    /// Rows that failed, in order, and why.
    pub failed: Vec<(usize, Failure)>,
}

/// Tallies all documents of `job`, but for those that `checkpoint` has already. What is counted goes there, too.
///
/// # Errors
/// An error that ends the run as a whole; a document that fails is a record.
pub fn tally(
    job: &TallyJob,
    mut checkpoint: Option<Checkpoint>,
    supervision: &mut Supervision,
) -> Result<Tallied, RunError> {
    let documents = job.documents.len();
    let batches = batches::cut(documents, supervision.workers);
    (supervision.events)(Event::PhaseBegan(Phase::Tally, documents as u64));
    let earlier = checkpoint.as_mut().map(Checkpoint::take_earlier).unwrap_or_default();
    let mut is_counted = vec![false; documents];
    earlier.iter().flat_map(|earlier| &earlier.rows).for_each(|&(row, _)| is_counted[row] = true);
    if let Some(checkpoint) = &checkpoint {
        checkpoint.begin(&job.documents, &batches).map_err(system("writing the checkpoint"))?;
    }
    // Tables of the second half that are accessed at random get memory, too.
    let reserved = job.store.reserve_quarter();
    let mut work = TallyWork {
        job,
        checkpoint,
        heartbeats: supervision.heartbeats.clone(),
        queue: batches.iter().flat_map(|batch| uncounted(batch, &is_counted)).collect(),
        suspects: VecDeque::new(),
        delayed: Vec::new(),
        counted: counted(&earlier),
        segments: earlier.iter().map(|earlier| earlier.segment.clone()).collect(),
        earlier,
        share: job.store.memory_share(supervision.workers),
        segment_of_slot: vec![0; supervision.workers],
        condemned: BTreeMap::new(),
        kills: BTreeMap::new(),
        idle_deaths: 0,
        is_spoiled: false,
    };
    let mut supervisor = Supervisor::new(supervision);
    let mut done = supervisor.run(supervision, &mut work);
    while done.is_ok() && work.requeue_spoiled(&batches) {
        done = supervisor.run(supervision, &mut work);
    }
    // If a map was lost, the deaths of workers are not the fault of a document.
    job.store.check().map_err(RunError::LostMap)?;
    done?;
    supervisor.shut_down(supervision)?;
    work.segments.iter().for_each(|segment| segment.inherit(true));
    drop(reserved);
    let collected = work.collect(&batches);
    job.store.check().map_err(RunError::LostMap)?;
    collected
}

struct TallyWork<'a> {
    job: &'a TallyJob,
    checkpoint: Option<Checkpoint>,
    heartbeats: Heartbeats,
    queue: VecDeque<Batch>,
    /// Single documents whose worker died, to be done again alone.
    suspects: VecDeque<Batch>,
    /// Work whose worker something outside has killed.
    delayed: Vec<Delayed>,
    /// Documents, and bytes of them, that earlier runs have counted.
    counted: (u64, u64),
    /// Where: the first segments.
    earlier: Vec<Earlier>,
    segments: Vec<Segment>,
    /// Bytes of memory that a segment is to have.
    share: usize,
    segment_of_slot: Vec<usize>,
    condemned: BTreeMap<usize, Failure>,
    /// How often something outside killed the worker that held a row.
    kills: BTreeMap<usize, u32>,
    idle_deaths: u32,
    /// A worker that died had spoiled records that it had committed before.
    is_spoiled: bool,
}

/// Work that is held back for a while.
struct Delayed {
    due: Instant,
    batch: Batch,
    /// Whether the batch is a single document to be done alone.
    is_suspect: bool,
}

/// The parts of a batch that are to be counted.
fn uncounted(batch: &Batch, is_counted: &[bool]) -> Vec<Batch> {
    let batch = *batch;
    let is_counted = |&ordinal: &u32| is_counted[row(&batch, ordinal)];
    let mut parts = Vec::new();
    let mut start = batch.start;
    while let Some(first) = (start..batch.end).find(|ordinal| !is_counted(ordinal)) {
        let end = (first..batch.end).find(is_counted).unwrap_or(batch.end);
        parts.push(Batch { start: first, end, ..batch });
        start = end;
    }
    parts
}

/// Documents and bytes that earlier runs have counted.
fn counted(earlier: &[Earlier]) -> (u64, u64) {
    let records = earlier.iter().flat_map(Earlier::records);
    records.fold((0, 0), |(documents, bytes), (_, record)| (documents + 1, bytes + record.source().bytes))
}

/// The row of a document.
fn row(batch: &Batch, ordinal: u32) -> usize {
    (batch.first_row + ordinal as u64) as usize
}

impl TallyWork<'_> {
    /// The first ordinal of `batch` that segment `number` holds no record of.
    fn uncommitted(&self, number: usize, batch: &Batch) -> u32 {
        let of_batch = |key: Key| key.batch == batch.id && (batch.start..batch.end).contains(&key.ordinal);
        let records = self.segments[number].records();
        let next = records.filter(|record| of_batch(record.key())).map(|record| record.key().ordinal + 1);
        next.max().unwrap_or(batch.start)
    }

    /// Decides what a death means for the document that the worker held, the first of `rest`.
    fn held(&mut self, rest: Batch, death: Death) -> Result<(), RunError> {
        let document = Batch { end: rest.start + 1, ..rest };
        let row = row(&rest, rest.start);
        let failure = match death.cause {
            DeathCause::Signal(signal) => Failure::Killed(signal),
            DeathCause::Exit(code) => Failure::Exited(code),
            DeathCause::TimedOut => Failure::TimedOut,
            DeathCause::OutOfMemory => Failure::OutOfMemory,
            DeathCause::Outside => return self.killed(rest, row, death),
        };
        if death.alone {
            self.condemned.insert(row, failure);
            if self.condemned.len() > self.job.max_crashes {
                return Err(RunError::TooManyCrashes(self.job.max_crashes));
            }
        } else {
            self.suspects.push_back(document);
        }
        self.requeue(Batch { start: rest.start + 1, ..rest });
        Ok(())
    }

    /// Something outside killed the worker: the document is done again as before, a little later each time.
    fn killed(&mut self, rest: Batch, row: usize, death: Death) -> Result<(), RunError> {
        let kills = self.kills.entry(row).or_default();
        *kills += 1;
        if *kills > MAX_KILLS {
            return Err(RunError::KilledAgain(MAX_KILLS));
        }
        let due = death.at + Duration::from_millis((1 << (*kills - 1).min(6)) - 1);
        // What is done alone is one document, and nothing comes after it.
        self.delayed.push(Delayed { due, batch: rest, is_suspect: death.alone });
        Ok(())
    }

    /// No segment can take another record.
    fn no_segment(&self, source: std::io::Error) -> RunError {
        let rows = self.segments.iter().map(|segment| segment.bytes().len() as u64).sum();
        match (self.job.store.scratch(), source.kind()) {
            (Some(directory), _) if is_full(&source) => {
                RunError::NoDisk { rows, free: free(directory), directory: directory.to_owned(), source }
            }
            (_, std::io::ErrorKind::OutOfMemory) => RunError::NoMemory { rows, source },
            _ => RunError::System { what: "making a place for rows", source },
        }
    }

    /// Has done again what a dying worker has spoiled of what it had reported long before; whether there is any.
    fn requeue_spoiled(&mut self, batches: &[Batch]) -> bool {
        if !std::mem::take(&mut self.is_spoiled) {
            return false;
        }
        let mut is_counted = vec![false; self.job.documents.len()];
        self.condemned.keys().for_each(|&row| is_counted[row] = true);
        self.earlier.iter().flat_map(|earlier| &earlier.rows).for_each(|&(row, _)| is_counted[row] = true);
        let keys =
            self.segments[self.earlier.len()..].iter().flat_map(Segment::records).map(|record| record.key());
        for Key { batch, ordinal } in keys {
            if let Some(batch) = batches.get(batch as usize).filter(|batch| ordinal < batch.end) {
                is_counted[row(batch, ordinal)] = true;
            }
        }
        self.queue.extend(batches.iter().flat_map(|batch| uncounted(batch, &is_counted)));
        !self.queue.is_empty()
    }

    fn requeue(&mut self, batch: Batch) {
        if batch.start < batch.end {
            self.queue.push_front(batch);
        }
    }

    /// Accepts one record for each row, in one pass over all of them.
    fn collect(self, batches: &[Batch]) -> Result<Tallied, RunError> {
        let rows = self.job.documents.len();
        // The workers have finished writing, so the memory reserved for them is free for the tables.
        self.segments.iter().for_each(Segment::close);
        let places = Places::new(rows, &self.job.store).map_err(system("mapping the places of rows"))?;
        let lengths: Table<AtomicU64> =
            Table::new(rows + 1, &self.job.store).map_err(system("mapping the lengths of rows"))?;
        let (numbers, ngram_size) = (self.job.settings.row_numbers(), self.job.settings.ngram_size());
        let mut totals = Totals::default();
        let (mut accepted, mut segments) = (0, Vec::with_capacity(self.segments.len()));
        let mut accept = |number: usize, row: usize, record: Record| {
            if places.get(row).is_some() {
                return;
            }
            places.set(row, number, record.offset());
            lengths[row].store(record.nonzeros() as u64, Ordering::Relaxed);
            totals.bytes += record.source().bytes;
            totals.tokens += record.tokens();
            totals.unknown += record.unknown();
            totals.failed.extend(record.failure().map(|failure| (row, failure)));
            accepted += 1;
        };
        for (number, earlier) in self.earlier.iter().enumerate() {
            earlier.records().for_each(|(row, record)| accept(number, row, record));
        }
        for (number, segment) in self.segments.iter().enumerate() {
            let mut tallied = TalliedSegment::new(segment.clone());
            for record in segment.records() {
                tallied.add(&record, numbers, self.job.run_bytes);
                let Key { batch, ordinal } = record.key();
                // The keys of earlier runs mean something else.
                let batch = batches.get(batch as usize).filter(|_| number >= self.earlier.len());
                if let Some(batch) = batch.filter(|batch| ordinal < batch.end) {
                    accept(number, row(batch, ordinal), record);
                }
            }
            segment.give_back();
            segments.push(tallied);
        }
        if accepted + self.condemned.len() != rows {
            let missing = |&row: &usize| places.get(row).is_none() && !self.condemned.contains_key(&row);
            let row = (0..rows).find(missing).unwrap_or(rows);
            return Err(RunError::Broken(format!("row {row} has no record")));
        }
        totals.failed.extend(self.condemned.iter().map(|(&row, &failure)| (row, failure)));
        totals.failed.sort_unstable_by_key(|&(row, _)| row);
        Ok(Tallied { segments, ngram_size, places, lengths, condemned: self.condemned, totals })
    }
}

impl Work for TallyWork<'_> {
    fn new_worker(&mut self, slot: usize) -> Result<Worker, RunError> {
        let store = &self.job.store;
        let writer = match &mut self.checkpoint {
            Some(checkpoint) => checkpoint.segment().and_then(|file| SegmentWriter::new_in(file, store)),
            None => SegmentWriter::new(self.share, store),
        };
        let writer = writer.map_err(|error| self.no_segment(error))?;
        self.segments.iter().for_each(|segment| segment.inherit(false));
        self.segment_of_slot[slot] = self.segments.len();
        self.segments.push(writer.segment());
        let heartbeat = self.heartbeats.heartbeat(slot);
        let read_limit = self.job.read_limits.read_limit(slot, &heartbeat).map_err(RunError::NoPermits)?;
        let documents = self.job.documents.clone();
        Ok(Worker::tallying(Tally::new(&self.job.settings, documents, read_limit, writer, heartbeat)))
    }

    fn due(&self) -> Option<Instant> {
        self.delayed.iter().map(|delayed| delayed.due).min()
    }

    fn release(&mut self, now: Instant) {
        for Delayed { batch, is_suspect, .. } in self.delayed.extract_if(.., |delayed| delayed.due <= now) {
            match is_suspect {
                true => self.suspects.push_back(batch),
                false => self.queue.push_front(batch),
            }
        }
    }

    fn is_pending(&self) -> bool {
        !self.queue.is_empty() || !self.suspects.is_empty()
    }

    fn next(&mut self, fresh: bool) -> Option<Job> {
        if fresh && let Some(suspect) = self.suspects.pop_front() {
            return Some(Job { task: Task::Tally(suspect), alone: true });
        }
        self.queue.pop_front().map(|batch| Job { task: Task::Tally(batch), alone: false })
    }

    fn reported(&mut self, slot: usize, task: Task, report: Report) -> Result<(), RunError> {
        match (task, report) {
            (Task::Tally(_), Report::Tallied) => Ok(()),
            (Task::Tally(batch), Report::Retired { next }) => {
                let segment = &self.segments[self.segment_of_slot[slot]];
                segment.close();
                if segment.bytes().is_empty() {
                    if segment.is_in_file() {
                        // A single row needs more addresses than are left.
                        return Err(self.no_segment(std::io::ErrorKind::OutOfMemory.into()));
                    }
                    // A single row is larger: the next segments lie on disk, without such a bound.
                    self.share = usize::MAX;
                }
                self.requeue(Batch { start: next, ..batch });
                Ok(())
            }
            (Task::Tally(_), Report::Broken { errno }) if errno != 0 => {
                Err(self.no_segment(std::io::Error::from_raw_os_error(errno)))
            }
            (task, report) => Err(RunError::Broken(format!("{report:?} to {task:?}"))),
        }
    }

    fn returned(&mut self, tasks: Vec<Task>) {
        for task in tasks.into_iter().rev() {
            if let Task::Tally(batch) = task {
                self.requeue(batch);
            }
        }
    }

    fn lost(&mut self, slot: usize, mut tasks: Vec<Task>, death: Death) -> Result<(), RunError> {
        self.job.store.check().map_err(RunError::LostMap)?;
        let number = self.segment_of_slot[slot];
        self.is_spoiled |= !self.segments[number].seal();
        if tasks.is_empty() {
            return Ok(());
        }
        let first = tasks.remove(0);
        self.returned(tasks);
        let Task::Tally(batch) = first else { return Ok(()) };
        let rest = Batch { start: self.uncommitted(number, &batch), ..batch };
        let held = self.heartbeats.position(slot).document;
        let held = held.and_then(|held| (rest.start..rest.end).find(|&o| row(&rest, o) as u64 == held));
        if let Some(held) = held {
            // What lies before it was committed and is spoiled.
            self.requeue(Batch { end: held, ..rest });
            return self.held(Batch { start: held, ..rest }, death);
        }
        self.idle_deaths += 1;
        if self.idle_deaths > MAX_IDLE_DEATHS {
            return Err(RunError::Broken(format!("workers die between documents ({:?})", death.cause)));
        }
        match death.alone && rest.start < rest.end {
            true => self.suspects.push_back(rest),
            false => self.requeue(rest),
        }
        Ok(())
    }

    fn done(&self) -> (u64, u64) {
        let (documents, bytes) = self.heartbeats.done();
        (self.counted.0 + documents, self.counted.1 + bytes)
    }
}
