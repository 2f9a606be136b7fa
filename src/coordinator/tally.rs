//! The tally: reads and counts every document once, even if workers die.
//!
//! The records that a dead worker has written stay. The document that it held is the suspect: a fresh worker does it again
//! alone, while the rest of the batch goes to other workers. Only a second death, alone, condemns the document, so the set
//! of failed documents does not depend on the number of workers. A SIGKILL from outside does not condemn a document.

use super::checkpoint::{Checkpoint, Earlier, SplitEnd};
use super::supervisor::{Death, DeathCause, Job, Supervision, Supervisor, Work};
use super::{RunError, system};
use crate::event::{Event, Phase};
use bowline_workers::counted_rows::CountedRows;
use bowline_workers::dictionary::Run;
use bowline_workers::documents::Documents;
use bowline_workers::failure::Failure;
use bowline_workers::heartbeat::Heartbeats;
use bowline_workers::mapped::{Store, Table, free, is_full};
use bowline_workers::matrix_plan::Places;
use bowline_workers::plan::{MergedLines, RowDocuments};
use bowline_workers::protocol::{Report, Task};
use bowline_workers::read_limit::ReadLimits;
use bowline_workers::runs::TalliedSegment;
use bowline_workers::segment::{Record, Segment, SegmentWriter};
use bowline_workers::split::{Key, OPENING, Part, Rows, STATES, Split, TO_THE_END, UNKNOWN_STATE};
use bowline_workers::tally::{Tally, TallySettings};
use bowline_workers::worker::Worker;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
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
    /// The files, in order.
    pub documents: Arc<Documents>,
    /// The parts that they are read in, in the order of rows.
    pub splits: Arc<[Split]>,
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

/// All documents' records.
#[derive(Debug)]
pub struct Tallied {
    /// The segments, by number.
    pub segments: Vec<TalliedSegment>,
    /// Words of the longest n-gram, if terms are n-grams that are listed by their words.
    pub ngram_size: Option<usize>,
    /// The documents.
    pub documents: RowDocuments,
    /// The record of each row.
    pub places: Places,
    /// The number of stored cells of each row's record, and one element more.
    pub lengths: Table<AtomicU64>,
    /// Rows without a record, and why.
    pub condemned: BTreeMap<usize, Failure>,
    /// What all documents come to.
    pub totals: Totals,
}

/// An output whose rows are merged.
#[derive(Debug)]
pub struct CountedSegment {
    /// Its rows.
    pub rows: Arc<dyn CountedRows>,
    /// The lines of their documents.
    pub lines: Arc<dyn MergedLines>,
    /// Its terms; `None` if columns are buckets.
    pub terms: Option<Run>,
}

impl Tallied {
    /// The rows of outputs, which need no tally: an earlier run has counted them.
    ///
    /// # Errors
    /// If the system has no memory or disk for a table.
    pub fn of_outputs(outputs: Vec<CountedSegment>, totals: Totals, store: &Store) -> Result<Self, RunError> {
        let rows = outputs.iter().map(|output| output.rows.rows() as usize).sum();
        let places = Places::new(rows, store).map_err(system("mapping the places of rows"))?;
        let lengths: Table<AtomicU64> =
            Table::new(rows + 1, store).map_err(system("mapping the lengths of rows"))?;
        let (mut segments, mut lines, mut row) = (Vec::new(), Vec::new(), 0);
        for (number, output) in outputs.into_iter().enumerate() {
            for of_output in 0..output.rows.rows() {
                places.set_counted(row, number, of_output);
                lengths[row].store(output.rows.nonzeros(of_output), Ordering::Relaxed);
                row += 1;
            }
            output.rows.give_back();
            segments.push(TalliedSegment::counted(output.rows, output.terms));
            lines.push(output.lines);
        }
        let documents = RowDocuments::OfOutputs(lines);
        let (ngram_size, condemned) = (None, BTreeMap::new());
        Ok(Tallied { segments, ngram_size, documents, places, lengths, condemned, totals })
    }
}

/// What all documents come to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Bytes of their texts.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// Those of them that a given vocabulary does not have.
    pub unknown: u64,
    /// Members of archives that are no documents.
    pub left_out: u64,
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
    (supervision.events)(Event::PhaseBegan(Phase::Tally, documents(&job.splits)));
    let total = total_bytes(&job.splits);
    total.iter().for_each(|&bytes| (supervision.events)(Event::TotalBytes(bytes)));
    let earlier = checkpoint.as_mut().map(Checkpoint::take_earlier).unwrap_or_default();
    if let Some(checkpoint) = &checkpoint {
        checkpoint.begin(&job.documents, &job.splits).map_err(system("writing the checkpoint"))?;
    }
    // Tables of the second half that are accessed at random get memory, too.
    let reserved = job.store.reserve_quarter();
    let mut work = TallyWork {
        job,
        checkpoint,
        heartbeats: supervision.heartbeats.clone(),
        queue: VecDeque::new(),
        ends: job.splits.iter().map(Split::documents).collect(),
        states: vec![0; job.splits.len()],
        scans: BTreeMap::new(),
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
        recounted: 0,
        is_spoiled: false,
    };
    for SplitEnd { key, .. } in work.earlier.iter().flat_map(|earlier| &earlier.ends) {
        work.ends[key.split as usize] = Some(key.ordinal);
    }
    work.requeue_uncounted();
    let mut supervisor = Supervisor::new(supervision);
    let mut done = supervisor.run(supervision, &mut work);
    while done.is_ok() && work.requeue_spoiled() {
        done = supervisor.run(supervision, &mut work);
    }
    // If a map was lost, the deaths of workers are not the fault of a document.
    job.store.check().map_err(RunError::LostMap)?;
    done?;
    supervisor.shut_down(supervision)?;
    work.segments.iter().for_each(|segment| segment.inherit(true));
    drop(reserved);
    let collected = work.collect();
    job.store.check().map_err(RunError::LostMap)?;
    collected
}

/// The number of documents, as far as it is known: a record file counts as one.
fn documents(splits: &[Split]) -> u64 {
    let files = splits.iter().enumerate().map(|(number, split)| match split.documents() {
        Some(documents) => u64::from(documents),
        None => u64::from(number == 0 || splits[number - 1].file != split.file),
    });
    files.sum()
}

/// The bytes of all record files; `None` if there are none.
pub fn total_bytes(splits: &[Split]) -> Option<u64> {
    splits.iter().filter_map(Split::records).map(|range| range.bytes()).reduce(u64::saturating_add)
}

struct TallyWork<'a> {
    job: &'a TallyJob,
    checkpoint: Option<Checkpoint>,
    heartbeats: Heartbeats,
    /// What is to be done, in order.
    queue: VecDeque<Task>,
    /// The number of documents of each split, as far as it is known.
    ends: Vec<Option<u32>>,
    /// The state of the scan at the beginning of each split of a CSV file.
    states: Vec<u8>,
    /// The scans of CSV files, by the number of the file's first split.
    scans: BTreeMap<u32, Scans>,
    /// Single documents whose worker died, to be done again alone.
    suspects: VecDeque<Part>,
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
    condemned: BTreeMap<Key, Failure>,
    /// How often something outside killed the worker that held a document.
    kills: BTreeMap<Key, u32>,
    idle_deaths: u32,
    /// Documents that workers had finished and that are counted again, since their records were lost.
    recounted: u64,
    /// A worker that died had spoiled records that it had committed before.
    is_spoiled: bool,
}

/// Work that is held back for a while.
struct Delayed {
    due: Instant,
    part: Part,
    /// Whether the part is a single document to be done alone.
    is_suspect: bool,
}

/// The scans of a CSV file, which find the states at the beginnings of its splits.
struct Scans {
    /// What each scan has found, in the order of splits. The last split is not scanned.
    ends: Vec<Option<[u8; STATES]>>,
    /// The parts that wait for the states.
    parts: Vec<Part>,
}

/// The documents of a split that are counted, as ranges of ordinals.
#[derive(Clone, Default)]
struct Counted(Vec<Range<u32>>);

impl Counted {
    fn add(&mut self, ordinal: u32) {
        match self.0.last_mut() {
            Some(last) if last.end == ordinal => last.end += 1,
            _ => self.0.push(ordinal..ordinal.saturating_add(1)),
        }
    }

    /// The parts of `whole` that are not counted.
    fn missing(mut self, whole: Part) -> Vec<Part> {
        self.0.sort_unstable_by_key(|range| range.start);
        let mut parts = Vec::new();
        let mut start = whole.start;
        for range in self.0 {
            if start < range.start {
                parts.push(Part { start, end: range.start.min(whole.end), ..whole });
            }
            start = start.max(range.end);
        }
        if start < whole.end {
            parts.push(Part { start, ..whole });
        }
        parts
    }
}

/// What the death of a worker means for its document; `None` if it means nothing.
fn failure(cause: DeathCause) -> Option<Failure> {
    Some(match cause {
        DeathCause::Signal(signal) => Failure::Killed(signal),
        DeathCause::Exit(code) => Failure::Exited(code),
        DeathCause::TimedOut => Failure::TimedOut,
        DeathCause::OutOfMemory => Failure::OutOfMemory,
        DeathCause::Outside => return None,
    })
}

/// Documents and bytes that earlier runs have counted.
fn counted(earlier: &[Earlier]) -> (u64, u64) {
    let records = earlier.iter().flat_map(Earlier::records);
    records.fold((0, 0), |(documents, bytes), (_, record)| (documents + 1, bytes + record.source().bytes))
}

impl TallyWork<'_> {
    /// What segment `number` holds no record of, of a part that its worker was doing.
    fn uncommitted(&mut self, number: usize, part: &Part) -> Part {
        let mut start = part.start;
        let segment = self.segments[number].clone();
        for record in segment.records().filter(|record| record.key().split == part.id) {
            let ordinal = record.key().ordinal;
            if record.ends_split() && (part.start..=part.end).contains(&ordinal) {
                self.ended(part, ordinal);
                return Part { start: part.end, ..*part };
            }
            if (part.start..part.end).contains(&ordinal) {
                start = start.max(ordinal + 1);
            }
        }
        Part { start, ..*part }
    }

    /// The part of all of a split.
    fn whole(&self, id: u32) -> Part {
        let split = self.job.splits[id as usize];
        let end = self.ends[id as usize].unwrap_or(TO_THE_END);
        Part { end, state: self.states[id as usize], ..Part::whole(id, split) }
    }

    /// Puts all parts into the queue that have no record. A part of a CSV file waits for the scans of the parts before it.
    fn requeue_uncounted(&mut self) {
        let mut counted = vec![Counted::default(); self.job.splits.len()];
        let earlier = self.earlier.iter().flat_map(|earlier| earlier.rows.iter().map(|&(key, _)| key));
        let records = self.segments[self.earlier.len()..].iter().flat_map(Segment::records);
        let records = records.filter(|record| !record.ends_split()).map(|record| record.key());
        for key in earlier.chain(records).chain(self.condemned.keys().copied()) {
            if let Some(counted) = counted.get_mut(key.split as usize) {
                counted.add(key.ordinal);
            }
        }
        let mut first = 0;
        for (id, counted) in (0..).zip(counted) {
            let split = self.job.splits[id as usize];
            let Some(range) = split.records().filter(|range| range.format.is_table() && !range.is_all())
            else {
                let parts = counted.missing(self.whole(id));
                self.queue.extend(parts.into_iter().map(Task::Tally));
                continue;
            };
            if range.start == 0 {
                first = id;
            }
            let parts = counted.missing(self.whole(id));
            let scans =
                self.scans.entry(first).or_insert_with(|| Scans { ends: Vec::new(), parts: Vec::new() });
            scans.parts.extend(parts);
            if range.end != u64::MAX {
                scans.ends.push(None);
            }
        }
        for (&first, scans) in &mut self.scans {
            match scans.parts.iter().map(|part| part.id).max() {
                None => scans.ends.clear(),
                Some(last) => scans.ends.truncate((last - first) as usize),
            }
            let ids = first..first + scans.ends.len() as u32;
            let scans = ids.map(|id| Task::Scan(Part::whole(id, self.job.splits[id as usize])));
            // Others wait for them.
            scans.rev().for_each(|task| self.queue.push_front(task));
        }
        self.release_scanned();
    }

    /// Puts the parts into the queue whose scans are done.
    fn release_scanned(&mut self) {
        let states = &mut self.states;
        let is_done = |scans: &Scans| scans.ends.iter().all(Option::is_some);
        let done: Vec<u32> =
            self.scans.iter().filter(|(_, scans)| is_done(scans)).map(|(&first, _)| first).collect();
        for first in done {
            let Some(scans) = self.scans.remove(&first) else { continue };
            let mut state = 0;
            for (id, ends) in (first as usize + 1..).zip(scans.ends.iter().flatten()) {
                state = ends.get(state as usize).copied().unwrap_or(UNKNOWN_STATE);
                states[id] = state;
            }
            let parts = scans.parts.into_iter().map(|part| Part { state: states[part.id as usize], ..part });
            self.queue.extend(parts.map(Task::Tally));
        }
    }

    /// A scan has found these states.
    fn scanned(&mut self, part: &Part, ends: [u8; STATES]) {
        if let Some((&first, scans)) = self.scans.range_mut(..=part.id).next_back()
            && let Some(slot) = scans.ends.get_mut((part.id - first) as usize)
        {
            *slot = Some(ends);
        }
        self.release_scanned();
    }

    /// Decides what a death means for the document that the worker held, the first of `rest`.
    fn held(&mut self, rest: Part, death: Death) -> Result<(), RunError> {
        let document = Part { end: rest.start + 1, ..rest };
        let key = rest.key(rest.start);
        let Some(failure) = failure(death.cause) else { return self.killed(rest, key, death) };
        if death.alone {
            self.condemn(key, failure)?;
        } else {
            self.suspects.push_back(document);
        }
        self.requeue(Part { start: rest.start + 1, ..rest });
        Ok(())
    }

    fn condemn(&mut self, document: Key, failure: Failure) -> Result<(), RunError> {
        self.condemned.insert(document, failure);
        match self.condemned.len() > self.job.max_crashes {
            true => Err(RunError::TooManyCrashes(self.job.max_crashes)),
            false => Ok(()),
        }
    }

    /// A worker has died on the way to the first document of `rest`. If that happens to a worker alone, too, nothing can be
    /// read from this document on.
    fn held_before(&mut self, rest: Part, death: Death) -> Result<(), RunError> {
        let key = rest.key(rest.start);
        let Some(failure) = failure(death.cause) else { return self.killed(rest, key, death) };
        if !death.alone {
            self.suspects.push_back(rest);
            return Ok(());
        }
        self.ended(&rest, rest.start + 1);
        self.condemn(key, failure)
    }

    /// A part has ended before this ordinal. If it has an end of its own, other parts have the documents behind it.
    fn ended(&mut self, part: &Part, ordinal: u32) {
        if part.end == TO_THE_END {
            self.ends[part.id as usize].get_or_insert(ordinal);
        }
    }

    /// A worker has died without a document.
    fn died_idle(&mut self, death: Death) -> Result<(), RunError> {
        self.idle_deaths += 1;
        match self.idle_deaths > MAX_IDLE_DEATHS {
            true => Err(RunError::Broken(format!("workers die between documents ({:?})", death.cause))),
            false => Ok(()),
        }
    }

    /// Something outside killed the worker: the document is done again as before, a little later each time.
    fn killed(&mut self, rest: Part, document: Key, death: Death) -> Result<(), RunError> {
        let kills = self.kills.entry(document).or_default();
        *kills += 1;
        if *kills > MAX_KILLS {
            return Err(RunError::KilledAgain(MAX_KILLS));
        }
        let due = death.at + Duration::from_millis((1 << (*kills - 1).min(6)) - 1);
        // What is done alone is one document, and nothing comes after it.
        self.delayed.push(Delayed { due, part: rest, is_suspect: death.alone });
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

    /// Puts into the queue what a dying worker has spoiled of what it had reported long before; whether there is any.
    fn requeue_spoiled(&mut self) -> bool {
        if std::mem::take(&mut self.is_spoiled) {
            self.requeue_uncounted();
        }
        !self.queue.is_empty()
    }

    fn requeue(&mut self, part: Part) {
        if !part.is_empty() {
            self.queue.push_front(Task::Tally(part));
        }
    }

    /// Accepts one record for each row, in one pass over all of them.
    fn collect(self) -> Result<Tallied, RunError> {
        // The workers have finished writing, so the memory reserved for them is free for the tables.
        self.segments.iter().for_each(Segment::close);
        let ends: Option<Vec<u32>> = self.ends.iter().copied().collect();
        let ends = ends.ok_or_else(|| RunError::Broken("a split has no end".into()))?;
        let all = Rows::new(self.job.documents.clone(), self.job.splits.clone(), ends.into_iter());
        let rows = all.len();
        let places = Places::new(rows, &self.job.store).map_err(system("mapping the places of rows"))?;
        let lengths: Table<AtomicU64> =
            Table::new(rows + 1, &self.job.store).map_err(system("mapping the lengths of rows"))?;
        let (numbers, ngram_size) =
            (self.job.settings.counting.row_numbers(), self.job.settings.counting.ngram_size());
        let mut condemned: BTreeMap<usize, Failure> = BTreeMap::new();
        condemned.extend(self.condemned.iter().filter_map(|(&key, &failure)| Some((all.row(key)?, failure))));
        let mut totals = Totals::default();
        let (mut accepted, mut segments) = (0, Vec::with_capacity(self.segments.len()));
        let mut accept = |number: usize, key: Key, record: Record| {
            let Some(row) = all.row(key) else { return };
            if places.get(row).is_some() || condemned.contains_key(&row) {
                return;
            }
            places.set(row, number, record.offset());
            lengths[row].store(record.nonzeros() as u64, Ordering::Relaxed);
            totals.bytes += record.text_bytes();
            totals.tokens += record.tokens();
            totals.unknown += record.unknown();
            totals.failed.extend(record.failure().map(|failure| (row, failure)));
            accepted += 1;
        };
        for (number, earlier) in self.earlier.iter().enumerate() {
            earlier.records().for_each(|(key, record)| accept(number, key, record));
        }
        let ends = self.earlier.iter().flat_map(|earlier| &earlier.ends);
        let mut left_out: BTreeMap<u32, u64> = ends.map(|end| (end.key.split, end.left_out)).collect();
        for (number, segment) in self.segments.iter().enumerate() {
            let mut tallied = TalliedSegment::new(segment.clone());
            for record in segment.records() {
                tallied.add(&record, numbers, self.job.run_bytes);
                // The keys of earlier runs mean something else.
                match record.ends_split() {
                    _ if number < self.earlier.len() => {}
                    true => drop(left_out.insert(record.key().split, record.left_out())),
                    false => accept(number, record.key(), record),
                }
            }
            segment.give_back();
            segments.push(tallied);
        }
        if accepted + condemned.len() != rows {
            for row in (0..rows).filter(|&row| places.get(row).is_none()) {
                if condemned.contains_key(&row) {
                    continue;
                }
                // Two workers have found different numbers of documents in the same range.
                match all.is_part(row) {
                    true => condemned.insert(row, Failure::Changed),
                    false => return Err(RunError::Broken(format!("row {row} has no record"))),
                };
            }
        }
        totals.left_out = left_out.values().sum();
        totals.failed.extend(condemned.iter().map(|(&row, &failure)| (row, failure)));
        totals.failed.sort_unstable_by_key(|&(row, _)| row);
        let documents = RowDocuments::OfRun(all);
        Ok(Tallied { segments, ngram_size, documents, places, lengths, condemned, totals })
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
        for Delayed { part, is_suspect, .. } in self.delayed.extract_if(.., |delayed| delayed.due <= now) {
            match is_suspect {
                true => self.suspects.push_back(part),
                false => self.queue.push_front(Task::Tally(part)),
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
        self.queue.pop_front().map(|task| Job { task, alone: false })
    }

    fn reported(&mut self, slot: usize, task: Task, report: Report) -> Result<(), RunError> {
        match (task, report) {
            (Task::Tally(part), Report::Tallied { end }) => {
                self.ended(&part, end);
                Ok(())
            }
            (Task::Scan(part), Report::Scanned { ends }) => {
                self.scanned(&part, ends);
                Ok(())
            }
            (Task::Scan(_), Report::Retired { .. }) => {
                self.queue.push_front(task);
                Ok(())
            }
            (Task::Tally(part), Report::Retired { next }) => {
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
                self.requeue(Part { start: next, ..part });
                Ok(())
            }
            (Task::Tally(_), Report::Broken { errno }) if errno != 0 => {
                Err(self.no_segment(std::io::Error::from_raw_os_error(errno)))
            }
            (task, report) => Err(RunError::Broken(format!("{report:?} to {task:?}"))),
        }
    }

    fn returned(&mut self, tasks: Vec<Task>) {
        let tasks = tasks.into_iter().filter(|task| matches!(task, Task::Tally(_) | Task::Scan(_)));
        tasks.rev().for_each(|task| self.queue.push_front(task));
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
        let held = self.heartbeats.position(slot).document;
        let (rest, is_single) = match first {
            Task::Tally(part) => {
                (self.uncommitted(number, &part), part.end.checked_sub(part.start) == Some(1))
            }
            task => {
                self.returned(vec![task]);
                return self.died_idle(death);
            }
        };
        match held.filter(|held| held.split == rest.id).map(|held| held.ordinal) {
            // It is also an ordinal below `TO_THE_END`.
            Some(OPENING) if !rest.is_empty() => return self.held_before(rest, death),
            Some(held) if (rest.start..rest.end).contains(&held) => {
                // What lies before it was not written yet, or is spoiled.
                self.recounted += u64::from(held - rest.start);
                self.requeue(Part { end: held, ..rest });
                // After a death on the way to a document, a worker alone has all that is behind it.
                let death = Death { alone: death.alone && is_single, ..death };
                return self.held(Part { start: held, ..rest }, death);
            }
            _ => {}
        }
        match death.alone && !rest.is_empty() {
            true => self.suspects.push_back(rest),
            false => self.requeue(rest),
        }
        self.died_idle(death)
    }

    fn done(&self) -> (u64, u64) {
        let (documents, bytes) = self.heartbeats.done();
        ((self.counted.0 + documents).saturating_sub(self.recounted), self.counted.1 + bytes)
    }
}
