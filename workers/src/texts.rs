//! Counts texts that a host has in memory: the engine without processes, files and shared memory.
//!
//! The threads of a call end with it. All memory is private, and two objects share none. The thread that calls gets the texts
//! from the host, batch by batch, and asks it now and then whether to go on; other threads count. Rows have the order of the
//! texts, and their values do not depend on the number of threads.

use crate::analyzer::chunks::Chunk;
use crate::cells::{Element, Index, Row};
use crate::columns::Vocabulary;
use crate::count::{CountSettings, DocumentCounter};
use crate::dictionary::{Dictionary, Tier};
use crate::documents::Source;
use crate::failure::Failure;
use crate::mapped::{Store, Table};
use crate::matrix_plan::{
    Dtype, MatrixPlan, NO_COLUMN, Norm, Numbering, Places, SegmentPlan, ValueSettings, Weight,
};
use crate::ngram;
use crate::runs::{TalliedSegment, dictionaries, packing};
use crate::segment::{NewNgrams, NewTerms, Outcome, RowNumbers, Segment, SegmentWriter, push_term};
use crate::spelling::Speller;
use crate::split::Key;
use crate::vocabulary;
use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Texts that are counted by one thread.
pub trait Texts: Send {
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Text `index`.
    fn text(&self, index: usize) -> &[u8];
}

/// The program that has the texts. Its methods are called by the thread that calls the engine.
pub trait Host {
    /// Why it ends a call.
    type Error;
    /// Some of the texts.
    type Batch: Texts;
    /// The next texts, and whether they are the last. Texts that were counted are dropped before.
    ///
    /// # Errors
    /// The host's reason to end the call.
    fn next(&mut self) -> Result<(Self::Batch, bool), Self::Error>;
    /// Called at least each 50 ms while threads work.
    ///
    /// # Errors
    /// The host's reason to end the call.
    fn check(&mut self) -> Result<(), Self::Error>;
}

/// Why a call ended early.
#[derive(Debug)]
pub enum TextsError<E> {
    /// The host ended it.
    Host(E),
    /// Text number `index` of the call can't be counted. It is the first one of its kind.
    Text {
        /// The text's number, from 0.
        index: u64,
        /// Why not.
        failure: Failure,
    },
    /// The value of a cell is not finite.
    NotFinite {
        /// The row.
        row: usize,
        /// The column.
        column: u32,
    },
    /// There are more words, or more cells, than can be numbered.
    TooMany,
    /// The system has no thread or no memory.
    System(io::Error),
}

impl<E> From<io::Error> for TextsError<E> {
    fn from(error: io::Error) -> Self {
        TextsError::System(error)
    }
}

/// The longest time between two calls of [`Host::check`].
const PATIENCE: Duration = Duration::from_millis(50);

/// Bytes of a batch that is counted by the calling thread, if it is the only one: starting threads takes longer.
const SMALL: usize = 32 << 10;

/// Batches that wait for each thread.
const WAITING: usize = 2;

/// What a thread does with texts.
trait Consumer: Send {
    /// Consumes a text.
    fn consume(&mut self, key: Key, text: &mut Vec<u8>) -> Result<(), Failure>;
}

/// Has the texts of `host` consumed by these consumers, one for each thread. The batches are numbered from `first` on. Returns
/// the number of texts of each batch.
fn consume<H: Host, C: Consumer>(
    host: &mut H,
    first: u32,
    consumers: &mut [C],
) -> Result<Vec<u32>, TextsError<H::Error>> {
    let mut sizes = Vec::new();
    let (mut batch, mut is_last) = host.next().map_err(TextsError::Host)?;
    let bytes = |batch: &H::Batch| (0..batch.len()).map(|index| batch.text(index).len()).sum::<usize>();
    if is_last && (consumers.len() == 1 || bytes(&batch) < SMALL) {
        sizes.push(batch.len() as u32);
        let failed = consume_batch(&batch, first, &mut consumers[0], &mut Vec::new(), || false);
        return match failed {
            None => Ok(sizes),
            Some((index, failure)) => Err(TextsError::Text { index: index as u64, failure }),
        };
    }
    let (sender, batches) = channel::<(u32, H::Batch)>();
    let (giver, done) = channel::<(H::Batch, Option<(u32, usize, Failure)>)>();
    let batches = Mutex::new(batches);
    // The first batch with a failed text. No later one needs to be counted.
    let failed_in = AtomicU32::new(u32::MAX);
    let mut failed: Option<(u32, usize, Failure)> = None;
    thread::scope(|scope| {
        let sender = sender;
        let most = consumers.len() * WAITING;
        for consumer in consumers {
            let (giver, batches, failed_in) = (giver.clone(), &batches, &failed_in);
            let work = move || {
                let mut text = Vec::new();
                loop {
                    let next = lock(batches).recv();
                    let Ok((number, batch)) = next else { return };
                    let is_futile = || failed_in.load(Ordering::Relaxed) < number;
                    let failed = consume_batch(&batch, number, consumer, &mut text, is_futile);
                    if failed.is_some() {
                        failed_in.fetch_min(number, Ordering::Relaxed);
                    }
                    let failed = failed.map(|(index, failure)| (number, index, failure));
                    // The calling thread drops the batch.
                    if giver.send((batch, failed)).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().name("bowline".to_owned()).spawn_scoped(scope, work)?;
        }
        let mut in_flight = 0;
        loop {
            let number = first + sizes.len() as u32;
            sizes.push(batch.len() as u32);
            if sender.send((number, batch)).is_err() {
                return Err(TextsError::System(io::ErrorKind::BrokenPipe.into()));
            }
            in_flight += 1;
            while in_flight >= if is_last { 1 } else { most } {
                match done.recv_timeout(PATIENCE) {
                    Ok((_, this)) => {
                        in_flight -= 1;
                        failed = [failed, this]
                            .into_iter()
                            .flatten()
                            .min_by_key(|&(batch, text, _)| (batch, text));
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(TextsError::System(io::ErrorKind::BrokenPipe.into()));
                    }
                }
                if let Err(error) = host.check() {
                    failed_in.store(0, Ordering::Relaxed);
                    return Err(TextsError::Host(error));
                }
            }
            if is_last || failed.is_some() {
                break;
            }
            (batch, is_last) = match host.next() {
                Ok(next) => next,
                Err(error) => {
                    failed_in.store(0, Ordering::Relaxed);
                    return Err(TextsError::Host(error));
                }
            };
        }
        drop(sender);
        // Those before the failed one may have failed, too.
        while in_flight > 0 {
            let Ok((_, this)) = done.recv() else { break };
            in_flight -= 1;
            failed = [failed, this].into_iter().flatten().min_by_key(|&(batch, text, _)| (batch, text));
        }
        Ok(())
    })?;
    match failed {
        None => Ok(sizes),
        Some((batch, index, failure)) => {
            let before: u64 = sizes[..(batch - first) as usize].iter().map(|&size| u64::from(size)).sum();
            Err(TextsError::Text { index: before + index as u64, failure })
        }
    }
}

/// Has the texts of a batch consumed. Returns the first that failed.
fn consume_batch(
    batch: &impl Texts,
    number: u32,
    consumer: &mut impl Consumer,
    text: &mut Vec<u8>,
    is_futile: impl Fn() -> bool,
) -> Option<(usize, Failure)> {
    for index in 0..batch.len() {
        if is_futile() {
            return None;
        }
        text.clear();
        text.extend_from_slice(batch.text(index));
        let key = Key { split: number, ordinal: index as u32 };
        let consumed = catch_unwind(AssertUnwindSafe(|| consumer.consume(key, text)));
        if let Err(failure) = consumed.unwrap_or(Err(Failure::Panicked)) {
            return Some((index, failure));
        }
    }
    None
}

/// A lock whose holder has panicked guards a value that is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does tasks `0..tasks` by up to `threads` threads, in any order.
fn in_parallel<H: Host>(
    host: &mut H,
    threads: usize,
    tasks: usize,
    act: impl Fn(usize) -> io::Result<()> + Sync,
) -> Result<(), TextsError<H::Error>> {
    if threads == 1 || tasks <= 1 {
        for task in 0..tasks {
            act(task)?;
            host.check().map_err(TextsError::Host)?;
        }
        return Ok(());
    }
    let (next, is_cancelled) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, done) = channel();
    thread::scope(|scope| {
        for _ in 0..threads.min(tasks) {
            let (sender, next, is_cancelled, act) = (sender.clone(), &next, &is_cancelled, &act);
            let work = move || {
                while !is_cancelled.load(Ordering::Relaxed) {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task >= tasks || sender.send(act(task)).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().name("bowline".to_owned()).spawn_scoped(scope, work)?;
        }
        drop(sender);
        let cancelled = |error| {
            is_cancelled.store(true, Ordering::Relaxed);
            Err(error)
        };
        loop {
            match done.recv_timeout(PATIENCE) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return cancelled(TextsError::System(error)),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = host.check() {
                        return cancelled(TextsError::Host(error));
                    }
                }
            }
        }
    })
}

/// Counts of texts, which become a matrix. Texts may be added at any time.
pub struct Counts {
    settings: CountSettings,
    /// Counters that go on with their lexica, each with its segment.
    counters: Vec<SegmentCounter>,
    /// Segments that no counter appends to, each with the number of the batch that its first one stands for.
    segments: Vec<(Segment, u32)>,
    /// The number of texts of each batch. A batch that failed has none, so its records are no rows.
    batches: Vec<u32>,
    merged: Option<Merged>,
}

struct SegmentCounter {
    counter: DocumentCounter,
    writer: SegmentWriter,
    /// Segments that became full.
    full: Vec<Segment>,
    settings: CountSettings,
}

impl SegmentCounter {
    fn new(settings: &CountSettings) -> io::Result<Self> {
        let counter = DocumentCounter::new(settings);
        let writer = SegmentWriter::new(0, &Store::private())?;
        Ok(SegmentCounter { counter, writer, full: Vec::new(), settings: settings.clone() })
    }

    fn segments(self) -> Vec<Segment> {
        let SegmentCounter { writer, mut full, .. } = self;
        full.push(writer.segment());
        full
    }
}

impl Consumer for SegmentCounter {
    fn consume(&mut self, key: Key, text: &mut Vec<u8>) -> Result<(), Failure> {
        let source = Source { bytes: text.len() as u64, modified: 0 };
        self.counter.begin();
        self.counter.count(text, Chunk::WHOLE)?;
        let counted = self.counter.finish(None);
        let outcome = Outcome {
            source,
            tokens: counted.tokens,
            unknown: counted.unknown,
            row: counted.row,
            nonzeros: counted.nonzeros,
            terms: counted.terms,
            ngrams: counted.ngrams,
            ..Outcome::nothing(key)
        };
        // A private log takes all that memory holds.
        self.writer.commit(&outcome).map_err(|_| Failure::OutOfMemory)?;
        self.counter.recorded();
        if !self.counter.has_memory() {
            let fresh = SegmentCounter::new(&self.settings).map_err(|_| Failure::OutOfMemory)?;
            let full = std::mem::replace(self, fresh);
            self.full = full.segments();
        }
        Ok(())
    }
}

/// The terms of all segments, merged.
struct Merged {
    plan: MatrixPlan,
    vocabulary: Vocabulary,
    /// The column of each local id of each segment, in the order of terms.
    columns: Vec<Table<AtomicU32>>,
}

/// A matrix as compressed sparse rows, with sorted columns and no cell twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csr<I, T> {
    /// The values of all cells, row after row.
    pub data: Vec<T>,
    /// Their columns.
    pub indices: Vec<I>,
    /// Where each row begins in both, and where the last one ends.
    pub indptr: Vec<I>,
}

/// The number of texts that contain each column, and of its occurrences in all texts.
pub type Frequencies = (Vec<i64>, Vec<i64>);

/// The conversion from counts to values.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The weight, the norm and the element type.
    pub settings: ValueSettings,
    /// The idf of each column; empty where the weight has none.
    pub idf: &'a [f64],
    /// The mean number of terms of a document, for bm25.
    pub mean_length: f64,
}

impl Values<'_> {
    fn idf(&self, column: u32) -> f64 {
        self.idf.get(column as usize).copied().unwrap_or(1.0)
    }
}

impl Counts {
    /// Counts of no text.
    pub fn new(settings: CountSettings) -> Self {
        let (counters, segments, batches) = (Vec::new(), Vec::new(), Vec::new());
        Counts { settings, counters, segments, batches, merged: None }
    }

    /// Adds texts, counted by `threads` threads, and returns how many there were. If a call fails, nothing was added.
    ///
    /// # Errors
    /// See [`TextsError`].
    pub fn add<H: Host>(&mut self, host: &mut H, threads: usize) -> Result<u64, TextsError<H::Error>> {
        self.merged = None;
        let threads = threads.max(1);
        while self.counters.len() < threads {
            self.counters.push(SegmentCounter::new(&self.settings)?);
        }
        let first = self.batches.len() as u32;
        match consume(host, first, &mut self.counters[..threads]) {
            Ok(sizes) => {
                let texts = sizes.iter().map(|&size| u64::from(size)).sum();
                self.batches.extend(sizes);
                Ok(texts)
            }
            Err(error) => {
                // What was counted refers to batches that have no texts.
                self.freeze();
                let last = self.segments.iter().flat_map(|(segment, before)| {
                    segment.records().map(move |record| before + record.key().split + 1)
                });
                let batches = last.max().unwrap_or(0).max(first) as usize;
                self.batches.resize(batches, 0);
                Err(error)
            }
        }
    }

    /// Ends all segments.
    fn freeze(&mut self) {
        let segments = self.counters.drain(..).flat_map(SegmentCounter::segments);
        self.segments.extend(segments.map(|segment| (segment, 0)));
    }

    /// Adds the texts of `other` behind its own. Both were counted in the same way.
    pub fn merge(&mut self, other: &mut Counts) {
        self.merged = None;
        self.freeze();
        other.freeze();
        let before = self.batches.len() as u32;
        self.segments.extend(other.segments.iter().map(|(segment, of)| (segment.clone(), before + of)));
        self.batches.extend_from_slice(&other.batches);
    }

    /// Counts again what [`Counts::matrix`] and [`Counts::terms`] have given, of texts with these numbers of terms. `terms` is
    /// empty where columns are given. `None` if the parts contradict each other.
    ///
    /// # Errors
    /// The system's, if there is no memory.
    pub fn restored(
        settings: CountSettings,
        terms: &[&str],
        rows: &Csr<i64, i32>,
        lengths: &[i64],
    ) -> io::Result<Option<Self>> {
        let numbers = settings.row_numbers();
        let columns = match numbers {
            RowNumbers::Columns(columns) => columns as i64,
            RowNumbers::Terms | RowNumbers::Ngrams => terms.len() as i64,
        };
        let Csr { data, indices, indptr } = rows;
        let is_sound = indptr.len() == lengths.len() + 1
            && indptr.first() == Some(&0)
            && indptr.is_sorted()
            && indptr.last().is_some_and(|&end| end as usize == indices.len())
            && data.len() == indices.len()
            && indices.iter().all(|column| (0..columns).contains(column))
            && (matches!(numbers, RowNumbers::Columns(_)) == terms.is_empty() || columns == 0)
            && terms.iter().collect::<HashSet<_>>().len() == terms.len()
            && u32::try_from(lengths.len()).is_ok();
        if !is_sound {
            return Ok(None);
        }
        let (mut spelled, mut new_terms, mut list) = (Vec::new(), 0, Vec::new());
        let mut words: HashMap<&str, u32> = HashMap::new();
        for term in terms {
            if numbers == RowNumbers::Terms {
                push_term(&mut spelled, term.as_bytes());
                new_terms += 1;
                continue;
            }
            // No word of such n-grams has a space.
            let ids = term.split(' ').map(|word| {
                *words.entry(word).or_insert_with(|| {
                    push_term(&mut spelled, word.as_bytes());
                    new_terms += 1;
                    new_terms - 1
                })
            });
            ngram::push(&mut list, &ids.collect::<Vec<_>>());
        }
        let mut writer = SegmentWriter::new(0, &Store::private())?;
        let mut row = Vec::new();
        for (ordinal, &length) in lengths.iter().enumerate() {
            let cells = indptr[ordinal] as usize..indptr[ordinal + 1] as usize;
            row.clear();
            let pairs = indices[cells.clone()].iter().zip(&data[cells.clone()]);
            pairs.for_each(|(&column, &count)| crate::row::push(&mut row, column as u32, count));
            let mut outcome = Outcome {
                tokens: length as u64,
                row: &row,
                nonzeros: cells.len() as u32,
                ..Outcome::nothing(Key { split: 0, ordinal: ordinal as u32 })
            };
            if ordinal == 0 {
                outcome.terms = NewTerms { bytes: &spelled, number: new_terms };
                let number = if list.is_empty() { 0 } else { terms.len() as u32 };
                outcome.ngrams = NewNgrams { list: &list, number };
            }
            writer.commit(&outcome).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        }
        let segment = writer.segment();
        drop(writer);
        let (counters, batches) = (Vec::new(), vec![lengths.len() as u32]);
        Ok(Some(Counts { settings, counters, segments: vec![(segment, 0)], batches, merged: None }))
    }

    /// Counts of the same texts. Both go on apart.
    pub fn snapshot(&mut self) -> Counts {
        self.freeze();
        let (settings, segments, batches) =
            (self.settings.clone(), self.segments.clone(), self.batches.clone());
        Counts { settings, counters: Vec::new(), segments, batches, merged: None }
    }

    /// The settings of the counts.
    pub fn settings(&self) -> &CountSettings {
        &self.settings
    }

    /// The number of texts.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(|&size| size as usize).sum()
    }

    /// Terms counted in each text.
    pub fn lengths(&mut self) -> Vec<u64> {
        self.freeze();
        let firsts = self.firsts();
        let mut lengths = vec![0; self.rows()];
        for (segment, before) in &self.segments {
            for record in segment.records() {
                if let Some(row) = row_of(&firsts, *before, record.key()) {
                    lengths[row] = record.tokens();
                }
            }
        }
        lengths
    }

    /// The first row of each batch, and the number of rows.
    fn firsts(&self) -> Vec<usize> {
        let mut firsts = vec![0];
        firsts.extend(self.batches.iter().scan(0, |rows, &size| {
            *rows += size as usize;
            Some(*rows)
        }));
        firsts
    }

    /// The merged terms. They are merged by `threads` threads if they are not yet.
    fn merged<H: Host>(&mut self, host: &mut H, threads: usize) -> Result<&mut Merged, TextsError<H::Error>> {
        let merged = match self.merged.take() {
            Some(merged) => merged,
            None => {
                self.freeze();
                let plan = self.plan().map_err(|error| match error {
                    Some(error) => TextsError::System(error),
                    None => TextsError::TooMany,
                })?;
                merge_terms(plan, host, threads.max(1))?
            }
        };
        Ok(self.merged.insert(merged))
    }

    /// A plan whose terms are not merged. `None` is the error of too many words.
    fn plan(&self) -> Result<MatrixPlan, Option<io::Error>> {
        let (store, firsts, numbers) = (Store::private(), self.firsts(), self.settings.row_numbers());
        let places = Places::new(self.rows(), &store)?;
        let mut segments = Vec::with_capacity(self.segments.len());
        for (number, (segment, before)) in self.segments.iter().enumerate() {
            let mut tallied = TalliedSegment::new(segment.clone());
            for record in segment.records() {
                tallied.add(&record, numbers, RUN_BYTES);
                if let Some(row) = row_of(&firsts, *before, record.key()) {
                    places.set(row, number, record.offset());
                }
            }
            segments.push(tallied);
        }
        let packing = match self.settings.ngram_size() {
            Some(size) => Some(packing(&segments, size).ok_or(None)?),
            None => None,
        };
        let is_numbered = matches!(numbers, RowNumbers::Columns(_));
        let (segments, spellings, words, terms) = dictionaries(segments, packing, !is_numbered, &store)?;
        Ok(MatrixPlan {
            segments,
            embedded: places.len() as u64,
            places,
            numbering: if is_numbered { Numbering::Columns } else { Numbering::LocalIds },
            kept: 0.0..=f64::INFINITY,
            words,
            spellings,
            terms,
            packing,
            indptr: Table::new(0, &store)?,
            frequencies: Table::new(0, &store)?,
            idf: Table::new(0, &store)?,
            formula: None,
            mean_length: 0.0,
            values: ValueSettings { weight: Weight::Count, norm: Norm::None, dtype: Dtype::I64 },
            counts_occurrences: !is_numbered,
        })
    }

    /// The number of columns: of distinct terms, if they are not given.
    ///
    /// # Errors
    /// See [`TextsError`].
    pub fn columns<H: Host>(&mut self, host: &mut H, threads: usize) -> Result<usize, TextsError<H::Error>> {
        match self.settings.row_numbers() {
            RowNumbers::Columns(columns) => Ok(columns as usize),
            _ => Ok(self.merged(host, threads)?.vocabulary.len() as usize),
        }
    }

    /// Calls `each` for all distinct terms in order, with the number of texts that contain it and of its occurrences. None, if
    /// terms have given numbers.
    ///
    /// # Errors
    /// See [`TextsError`].
    pub fn terms<H: Host>(
        &mut self,
        host: &mut H,
        threads: usize,
        mut each: impl FnMut(&[u8], u32, u64),
    ) -> Result<(), TextsError<H::Error>> {
        let Merged { plan, vocabulary, .. } = self.merged(host, threads)?;
        let mut speller = Speller::new(plan);
        for term in vocabulary.terms(plan) {
            each(speller.spell(&term), term.documents, term.occurrences);
        }
        Ok(())
    }

    /// The number of texts that contain each column, and of its occurrences.
    ///
    /// # Errors
    /// See [`TextsError`].
    pub fn frequencies<H: Host>(
        &mut self,
        host: &mut H,
        threads: usize,
    ) -> Result<Frequencies, TextsError<H::Error>> {
        let columns = self.columns(host, threads)?;
        let is_numbered = matches!(self.settings.row_numbers(), RowNumbers::Columns(_));
        let Merged { plan, vocabulary, .. } = self.merged(host, threads)?;
        if !is_numbered {
            let counts =
                vocabulary.terms(plan).map(|term| (i64::from(term.documents), term.occurrences as i64));
            return Ok(counts.unzip());
        }
        let (mut documents, mut occurrences) = (vec![0; columns], vec![0; columns]);
        for record in (0..plan.places.len()).filter_map(|row| plan.record(row)) {
            for (column, count) in crate::row::pairs(record.row()) {
                documents[column as usize] += 1;
                occurrences[column as usize] += i64::from(count);
            }
        }
        Ok((documents, occurrences))
    }

    /// The matrix, with the columns that `new_columns` gives to terms: the new number of each column, or `NO_COLUMN`.
    ///
    /// # Errors
    /// See [`TextsError`]; [`TextsError::TooMany`] if the cells are more than `I` can number.
    pub fn matrix<H: Host, I: Index + Send, T: Element + Send>(
        &mut self,
        host: &mut H,
        threads: usize,
        new_columns: Option<&[u32]>,
        values: &Values,
    ) -> Result<Csr<I, T>, TextsError<H::Error>> {
        let threads = threads.max(1);
        let merged = self.merged(host, threads)?;
        merged.renumber(new_columns)?;
        let plan = &merged.plan;
        let lengths = Table::<AtomicU32>::new(plan.places.len(), &Store::private())?;
        let rows = plan.places.len();
        let tasks = rows.div_ceil(ROWS);
        let of_task = |task: usize| task * ROWS..((task + 1) * ROWS).min(rows);
        in_parallel(host, threads, tasks, |task| {
            let mut scratch = Row::default();
            for row in of_task(task) {
                let length = match new_columns {
                    None => plan.record(row).map_or(0, |record| record.nonzeros()),
                    Some(_) => {
                        scratch.load(plan, row);
                        scratch.columns().len() as u32
                    }
                };
                lengths[row].store(length, Ordering::Relaxed);
            }
            Ok(())
        })?;
        let mut indptr = Vec::with_capacity(rows + 1);
        let mut cells = 0;
        indptr.push(I::from_place(0).ok_or(TextsError::TooMany)?);
        for length in lengths.iter() {
            cells += length.load(Ordering::Relaxed) as usize;
            indptr.push(I::from_place(cells).ok_or(TextsError::TooMany)?);
        }
        let (mut indices, mut data) = (vec![I::zeroed(); cells], vec![T::zeroed(); cells]);
        let (mut rest_of_indices, mut rest_of_data) = (&mut indices[..], &mut data[..]);
        let mut parts = Vec::with_capacity(tasks);
        for task in 0..tasks {
            let cells =
                lengths[of_task(task)].iter().map(|length| length.load(Ordering::Relaxed) as usize).sum();
            let (of_indices, of_data);
            (of_indices, rest_of_indices) = rest_of_indices.split_at_mut(cells);
            (of_data, rest_of_data) = rest_of_data.split_at_mut(cells);
            parts.push(Mutex::new((of_indices, of_data)));
        }
        let not_finite: Mutex<Option<(usize, u32)>> = Mutex::new(None);
        in_parallel(host, threads, tasks, |task| {
            let mut part = lock(&parts[task]);
            let (of_indices, of_data) = &mut *part;
            let failed = fill(plan, of_task(task), values, of_indices, of_data)?;
            if let Some(failed) = failed {
                let mut first = lock(&not_finite);
                *first = Some(first.map_or(failed, |first| first.min(failed)));
            }
            Ok(())
        })?;
        drop(parts);
        match not_finite.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((row, column)) => Err(TextsError::NotFinite { row, column }),
            None => Ok(Csr { data, indices, indptr }),
        }
    }
}

/// Rows of a task.
const ROWS: usize = 512;

/// Bytes of memory that sorting a run of terms takes: a task of some 50 ms.
const RUN_BYTES: usize = 16 << 20;

/// Terms of a part of the alphabet that is merged in one go.
const PART_TERMS: usize = 128 << 10;

/// The row of a record with this key in a segment whose batches are numbered from `before` on.
fn row_of(firsts: &[usize], before: u32, key: Key) -> Option<usize> {
    let batch = (before + key.split) as usize;
    let row = firsts.get(batch)? + key.ordinal as usize;
    (row < *firsts.get(batch + 1)?).then_some(row)
}

/// Writes the cells of these rows. Returns the row and column of the first value that is not finite.
fn fill<I: Index, T: Element>(
    plan: &MatrixPlan,
    rows: Range<usize>,
    values: &Values,
    indices: &mut [I],
    data: &mut [T],
) -> io::Result<Option<(usize, u32)>> {
    let (mut scratch, mut of_row, mut at) = (Row::default(), Vec::new(), 0);
    for row in rows {
        scratch.load(plan, row);
        of_row.clear();
        let weighed =
            scratch.weighed(&values.settings, |column| values.idf(column), values.mean_length, &mut of_row);
        if let Err(not_finite) = weighed {
            return Ok(Some((row, not_finite.0)));
        }
        let range = at..at + of_row.len();
        at = range.end;
        let places =
            indices.get_mut(range.clone()).zip(data.get_mut(range)).ok_or(io::ErrorKind::InvalidData)?;
        places
            .0
            .iter_mut()
            .zip(scratch.columns())
            .for_each(|(index, column)| *index = I::from_column(column));
        places.1.copy_from_slice(&of_row);
    }
    Ok(None)
}

/// Merges the terms of all segments, and numbers them in their order.
fn merge_terms<H: Host>(
    plan: MatrixPlan,
    host: &mut H,
    threads: usize,
) -> Result<Merged, TextsError<H::Error>> {
    let mut vocabulary = Vocabulary::default();
    if !matches!(plan.numbering, Numbering::Columns) {
        in_parallel(host, threads, plan.segments.len(), |segment| {
            vocabulary::count(&plan, segment);
            Ok(())
        })?;
        if plan.packing.is_some() {
            let words = merge_tier(&plan, Tier::Words, host, threads)?;
            // A rank is the word's place among the merged words, which has gaps.
            number(
                &plan,
                Tier::Words,
                words.parts().iter().map(|part| part.first).collect(),
                &words,
                host,
                threads,
            )?;
        }
        vocabulary = merge_tier(&plan, Tier::Terms, host, threads)?;
        number(&plan, Tier::Terms, vocabulary.bases().collect(), &vocabulary, host, threads)?;
    }
    let columns = plan.segments.iter().map(|segment| segment.columns.clone()).collect();
    Ok(Merged { plan, vocabulary, columns })
}

/// Sorts and merges words or terms.
fn merge_tier<H: Host>(
    plan: &MatrixPlan,
    tier: Tier,
    host: &mut H,
    threads: usize,
) -> Result<Vocabulary, TextsError<H::Error>> {
    let dictionary: &Dictionary = plan.dictionary(tier);
    in_parallel(host, threads, dictionary.runs.len(), |run| vocabulary::sort(plan, tier, run))?;
    let wanted = match threads {
        1 => 1,
        threads => 4 * threads,
    };
    let mut vocabulary = Vocabulary::cut(dictionary, wanted.max(dictionary.merged.len() / PART_TERMS));
    let kept: Vec<AtomicUsize> = vocabulary.parts().iter().map(|_| AtomicUsize::new(0)).collect();
    in_parallel(host, threads, kept.len(), |number| {
        let part = &vocabulary.parts()[number];
        let (_, terms) = vocabulary::merge(plan, tier, part.prefixes.clone(), part.first as usize);
        kept[number].store(terms as usize, Ordering::Relaxed);
        Ok(())
    })?;
    vocabulary.set_kept(kept.iter().map(|terms| terms.load(Ordering::Relaxed) as u64));
    Ok(vocabulary)
}

fn number<H: Host>(
    plan: &MatrixPlan,
    tier: Tier,
    bases: Vec<u64>,
    vocabulary: &Vocabulary,
    host: &mut H,
    threads: usize,
) -> Result<(), TextsError<H::Error>> {
    if bases.last().is_some_and(|&base| base >= u64::from(u32::MAX)) {
        return Err(TextsError::TooMany);
    }
    in_parallel(host, threads, bases.len(), |part| {
        vocabulary::number(plan, tier, vocabulary.parts()[part].prefixes.clone(), bases[part] as u32);
        Ok(())
    })
}

impl Merged {
    /// Gives the plan's local ids the new columns of their terms, or their places among all terms.
    fn renumber(&mut self, new_columns: Option<&[u32]>) -> io::Result<()> {
        let renumbered = |columns: &Table<AtomicU32>| -> io::Result<_> {
            Ok(match new_columns {
                None => columns.clone(),
                Some(new) => {
                    let table: Table<AtomicU32> = Table::new(columns.len(), &Store::private())?;
                    for (slot, column) in table.iter().zip(columns.iter()) {
                        let column = column.load(Ordering::Relaxed) as usize;
                        slot.store(new.get(column).copied().unwrap_or(NO_COLUMN), Ordering::Relaxed);
                    }
                    table
                }
            })
        };
        for (SegmentPlan { columns, .. }, of_terms) in self.plan.segments.iter_mut().zip(&self.columns) {
            *columns = renumbered(of_terms)?;
        }
        Ok(())
    }
}

/// Converts texts to rows whose columns are known: of a given vocabulary, or by hashing. Calls may run at the same time; each
/// takes its counters from a pool.
pub struct Transformer {
    settings: CountSettings,
    pool: Mutex<Vec<DocumentCounter>>,
}

/// Counters that wait in a pool, at most.
const POOLED: usize = 64;

/// What a thread of a transformer has made.
struct RowCounter<'a, I, T> {
    counter: DocumentCounter,
    values: &'a Values<'a>,
    scratch: Row,
    rows: Vec<RowsOfBatch<I, T>>,
}

struct RowsOfBatch<I, T> {
    batch: u32,
    lengths: Vec<u32>,
    indices: Vec<I>,
    data: Vec<T>,
    not_finite: Option<(u32, u32)>,
}

impl<I: Index + Send, T: Element + Send> Consumer for RowCounter<'_, I, T> {
    fn consume(&mut self, key: Key, text: &mut Vec<u8>) -> Result<(), Failure> {
        let RowCounter { counter, values, scratch, rows } = self;
        if rows.last().is_none_or(|rows| rows.batch != key.split) {
            let (lengths, indices, data) = (Vec::new(), Vec::new(), Vec::new());
            rows.push(RowsOfBatch { batch: key.split, lengths, indices, data, not_finite: None });
        }
        let Some(RowsOfBatch { lengths, indices, data, not_finite, .. }) = rows.last_mut() else {
            return Ok(());
        };
        counter.begin();
        counter.count(text, Chunk::WHOLE)?;
        let counted = counter.finish(None);
        scratch.set(counted.row, counted.tokens);
        indices.extend(scratch.columns().map(I::from_column));
        lengths.push(scratch.columns().len() as u32);
        let weighed =
            scratch.weighed(&values.settings, |column| values.idf(column), values.mean_length, data);
        if let Err(column) = weighed {
            not_finite.get_or_insert((key.ordinal, column.0));
        }
        counter.has_memory();
        Ok(())
    }
}

impl Transformer {
    /// A transformer with an empty pool. The features are not [`Features::Vocabulary`](crate::count::Features::Vocabulary).
    pub fn new(settings: CountSettings) -> Self {
        Transformer { settings, pool: Mutex::new(Vec::new()) }
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        match self.settings.row_numbers() {
            RowNumbers::Columns(columns) => columns as usize,
            RowNumbers::Terms | RowNumbers::Ngrams => 0,
        }
    }

    /// The rows of the texts of `host`.
    ///
    /// # Errors
    /// See [`TextsError`]; [`TextsError::TooMany`] if the cells are more than `I` can number.
    pub fn transform<H: Host, I: Index + Send, T: Element + Send>(
        &self,
        host: &mut H,
        threads: usize,
        values: &Values,
    ) -> Result<Csr<I, T>, TextsError<H::Error>> {
        let threads = threads.max(1);
        let mut pooled = {
            let mut pool = lock(&self.pool);
            let kept = pool.len().saturating_sub(threads);
            pool.split_off(kept)
        };
        // A call for a single small batch needs one of them.
        let mut lazily = Vec::with_capacity(threads);
        for _ in 0..threads {
            lazily.push(LazyRowCounter {
                pooled: pooled.pop(),
                settings: &self.settings,
                values,
                made: None,
            });
        }
        let consumed = consume(host, 0, &mut lazily);
        let (mut parts, mut idle) = (Vec::new(), Vec::new());
        for LazyRowCounter { pooled, made, .. } in lazily {
            idle.extend(pooled);
            if let Some(RowCounter { counter, rows, .. }) = made {
                idle.push(counter);
                parts.extend(rows);
            }
        }
        // After a panic, a counter may be in any state; the others are whole.
        if consumed.is_ok() {
            let mut pool = lock(&self.pool);
            idle.truncate(POOLED.saturating_sub(pool.len()));
            pool.append(&mut idle);
        }
        let sizes = consumed?;
        parts.sort_unstable_by_key(|part| part.batch);
        let first = |batch: u32| sizes[..batch as usize].iter().map(|&size| size as usize).sum::<usize>();
        let mut not_finite = parts.iter().filter_map(|part| part.not_finite.map(|cell| (part.batch, cell)));
        if let Some((batch, (ordinal, column))) = not_finite.next() {
            return Err(TextsError::NotFinite { row: first(batch) + ordinal as usize, column });
        }
        let rows = sizes.iter().map(|&size| size as usize).sum::<usize>();
        let mut indptr = Vec::with_capacity(rows + 1);
        let mut cells = 0;
        indptr.push(I::from_place(0).ok_or(TextsError::TooMany)?);
        for &length in parts.iter().flat_map(|part| &part.lengths) {
            cells += length as usize;
            indptr.push(I::from_place(cells).ok_or(TextsError::TooMany)?);
        }
        if parts.len() == 1
            && let Some(RowsOfBatch { indices, data, .. }) = parts.pop()
        {
            return Ok(Csr { data, indices, indptr });
        }
        let (mut indices, mut data) = (Vec::with_capacity(cells), Vec::with_capacity(cells));
        for part in parts {
            indices.extend_from_slice(&part.indices);
            data.extend_from_slice(&part.data);
        }
        Ok(Csr { data, indices, indptr })
    }
}

/// A counter that is made when its thread gets a text.
struct LazyRowCounter<'a, I, T> {
    pooled: Option<DocumentCounter>,
    settings: &'a CountSettings,
    values: &'a Values<'a>,
    made: Option<RowCounter<'a, I, T>>,
}

impl<I: Index + Send, T: Element + Send> Consumer for LazyRowCounter<'_, I, T> {
    fn consume(&mut self, key: Key, text: &mut Vec<u8>) -> Result<(), Failure> {
        let LazyRowCounter { pooled, settings, values, made } = self;
        let made = made.get_or_insert_with(|| RowCounter {
            counter: pooled.take().unwrap_or_else(|| DocumentCounter::new(settings)),
            values,
            scratch: Row::default(),
            rows: Vec::new(),
        });
        made.consume(key, text)
    }
}

impl std::fmt::Debug for Transformer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transformer").field("columns", &self.columns()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::decode::DecodeError;
    use crate::analyzer::{Grams, TextSettings, Tokenizer};
    use crate::count::Features;
    use crate::hashing::Buckets;
    use crate::lexicon::{FixedVocabulary, TermFilter};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A host of a list, in batches of a few texts.
    struct List<'a> {
        texts: &'a [String],
        size: usize,
    }

    impl Texts for Vec<String> {
        fn len(&self) -> usize {
            self.len()
        }
        fn text(&self, index: usize) -> &[u8] {
            self[index].as_bytes()
        }
    }

    impl Host for List<'_> {
        type Error = ();
        type Batch = Vec<String>;
        fn next(&mut self) -> Result<(Vec<String>, bool), ()> {
            let (now, rest) = self.texts.split_at(self.size.min(self.texts.len()));
            self.texts = rest;
            Ok((now.to_vec(), rest.is_empty()))
        }
        fn check(&mut self) -> Result<(), ()> {
            Ok(())
        }
    }

    fn settings(grams: Grams, features: Features) -> CountSettings {
        let text = TextSettings { grams, ..words(1..=1) };
        CountSettings { text, term_filter: TermFilter::default(), features, lexicon_bytes: usize::MAX }
    }

    fn words(sizes: std::ops::RangeInclusive<usize>) -> TextSettings {
        let grams = Grams::Words { tokenizer: Tokenizer::Words, sizes };
        TextSettings {
            lowercase: true,
            decode_error: DecodeError::Strict,
            strip_accents: None,
            grams,
            unicode: Default::default(),
        }
    }

    fn values(weight: Weight, norm: Norm) -> Values<'static> {
        let settings = ValueSettings { weight, norm, dtype: Dtype::F64 };
        Values { settings, idf: &[], mean_length: 0.0 }
    }

    /// N-grams of words of two letters and more.
    fn ngrams(text: &str, sizes: std::ops::RangeInclusive<usize>) -> BTreeMap<String, f64> {
        let words: Vec<&str> = text.split(' ').filter(|word| word.len() > 1).collect();
        let mut counts = BTreeMap::new();
        for size in sizes {
            words.windows(size).for_each(|words| *counts.entry(words.join(" ")).or_default() += 1.0);
        }
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn counts_are_those_of_a_map(
            texts in proptest::collection::vec("([a-c]{1,3} ){0,12}", 0..40), longest in 1usize..4,
            size in 1usize..9, threads in 1usize..5, cut in 0usize..40, drops: bool,
        ) {
            let settings = settings(Grams::Words { tokenizer: Tokenizer::Words, sizes: 1..=longest }, Features::Vocabulary);
            let (first, second) = texts.split_at(cut.min(texts.len()));
            let mut counts = Counts::new(settings.clone());
            prop_assert_eq!(counts.add(&mut List { texts: first, size }, threads).unwrap() as usize, first.len());
            let mut others = Counts::new(settings.clone());
            others.add(&mut List { texts: second, size }, threads).unwrap();
            counts.merge(&mut others);
            let host = &mut List { texts: &[], size };
            let mut terms = Vec::new();
            counts.terms(host, threads, |term, documents, occurrences| {
                terms.push((String::from_utf8(term.to_vec()).unwrap(), documents as f64, occurrences as f64));
            }).unwrap();
            let rows: Vec<_> = texts.iter().map(|text| ngrams(text, 1..=longest)).collect();
            let mut expected: BTreeMap<String, (f64, f64)> = BTreeMap::new();
            for (term, count) in rows.iter().flatten() {
                let known = expected.entry(term.clone()).or_default();
                *known = (known.0 + 1.0, known.1 + count);
            }
            let expected: Vec<_> = expected.into_iter().map(|(term, (n, sum))| (term, n, sum)).collect();
            prop_assert_eq!(&terms, &expected);
            // Every second column, in the reverse order.
            let new = |old: usize| if old.is_multiple_of(2) { (terms.len() - 1 - old) as u32 } else { NO_COLUMN };
            let new_columns: Vec<u32> = (0..terms.len()).map(new).collect();
            let new_columns = drops.then_some(&new_columns[..]);
            let rows_of_all: Csr<i64, i32> =
                counts.matrix(host, threads, None, &values(Weight::Count, Norm::None)).unwrap();
            let lengths: Vec<i64> = counts.lengths().into_iter().map(|length| length as i64).collect();
            let spelled: Vec<&str> = terms.iter().map(|term| &*term.0).collect();
            let restored = Counts::restored(settings.clone(), &spelled, &rows_of_all, &lengths).unwrap();
            let mut counts = restored.expect("parts of one whole");
            prop_assert_eq!(counts.frequencies(host, threads).unwrap().0.len(), terms.len());
            let matrix: Csr<i32, f64> =
                counts.matrix(host, threads, new_columns, &values(Weight::Count, Norm::None)).unwrap();
            prop_assert_eq!(matrix.indptr.len(), texts.len() + 1);
            for (row, expected) in rows.iter().enumerate() {
                let cells = matrix.indptr[row] as usize..matrix.indptr[row + 1] as usize;
                prop_assert!(matrix.indices[cells.clone()].is_sorted());
                let found: BTreeMap<i32, f64> = cells.map(|at| (matrix.indices[at], matrix.data[at])).collect();
                let place = |term: &String| terms.binary_search_by(|known| known.0.cmp(term)).unwrap();
                let column = |term| new_columns.map_or(place(term) as u32, |new| new[place(term)]);
                let expected = expected.iter().map(|(term, &count)| (column(term) as i32, count));
                let expected: BTreeMap<i32, f64> = expected.filter(|&(column, _)| column >= 0).collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn a_transformer_gives_the_rows_of_counts(
            texts in proptest::collection::vec("([a-c]{1,3} ){0,12}", 0..40), size in 1usize..9, threads in 1usize..5,
        ) {
            let vocabulary = ["bb", "aa", "bb cc", "zz"].map(|term| term.as_bytes().into());
            let fixed = Features::Fixed(FixedVocabulary::new(vocabulary.to_vec()).unwrap().into());
            for features in [fixed, Features::Hashed(Buckets { n_features: 7, alternate_sign: true })] {
                let settings = settings(Grams::Words { tokenizer: Tokenizer::Words, sizes: 1..=2 }, features);
                let mut counts = Counts::new(settings.clone());
                counts.add(&mut List { texts: &texts, size }, threads).unwrap();
                let values = values(Weight::Count, Norm::L2);
                let expected: Csr<i32, f64> = counts.matrix(&mut List { texts: &[], size }, threads, None, &values).unwrap();
                let transformer = Transformer::new(settings);
                for _ in 0..2 {
                    let host = &mut List { texts: &texts, size };
                    prop_assert_eq!(&transformer.transform::<_, i32, f64>(host, threads, &values).unwrap(), &expected);
                }
            }
        }
    }

    #[test]
    fn a_call_that_fails_adds_nothing() {
        let mut counts = Counts::new(settings(Grams::Chars { sizes: 1..=1 }, Features::Vocabulary));
        let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        struct Ends<'a>(List<'a>, usize);
        impl Host for Ends<'_> {
            type Error = ();
            type Batch = Vec<String>;
            fn next(&mut self) -> Result<(Vec<String>, bool), ()> {
                self.1 = self.1.checked_sub(1).ok_or(())?;
                self.0.next()
            }
            fn check(&mut self) -> Result<(), ()> {
                Ok(())
            }
        }
        let (good, lost) = (texts(&["ab", "b", "c"]), texts(&["x", "y", "z"]));
        for threads in [1, 3] {
            counts.add(&mut List { texts: &good, size: 2 }, threads).unwrap();
            let ends = &mut Ends(List { texts: &lost, size: 1 }, 2);
            assert!(matches!(counts.add(ends, threads), Err(TextsError::Host(()))));
        }
        let (host, mut terms) = (&mut List { texts: &[], size: 1 }, Vec::new());
        counts.terms(host, 1, |term, documents, _| terms.push((term.to_vec(), documents))).unwrap();
        assert_eq!(terms, [(b"a".to_vec(), 2), (b"b".to_vec(), 4), (b"c".to_vec(), 2)]);
        assert_eq!((counts.rows(), counts.lengths()), (6, vec![2, 1, 1, 2, 1, 1]));
    }

    #[test]
    fn the_first_text_that_fails_is_named() {
        struct Bytes(Vec<Vec<u8>>);
        struct Text(Vec<u8>);
        impl Texts for Text {
            fn len(&self) -> usize {
                1
            }
            fn text(&self, _: usize) -> &[u8] {
                &self.0
            }
        }
        impl Host for Bytes {
            type Error = ();
            type Batch = Text;
            fn next(&mut self) -> Result<(Text, bool), ()> {
                let batch = Text(self.0.remove(0));
                Ok((batch, self.0.is_empty()))
            }
            fn check(&mut self) -> Result<(), ()> {
                Ok(())
            }
        }
        let texts = || {
            Bytes((0..40).map(|n| if n % 7 == 6 { b"a\xFF".to_vec() } else { b"a".repeat(n * 99) }).collect())
        };
        let buckets = Features::Hashed(Buckets { n_features: 7, alternate_sign: true });
        let transformer = Transformer::new(settings(words(1..=1).grams, buckets));
        for threads in [1, 2, 8] {
            let failed = transformer.transform::<_, i32, f64>(
                &mut texts(),
                threads,
                &values(Weight::Count, Norm::None),
            );
            let Err(TextsError::Text { index, failure }) = failed else { panic!("{failed:?}") };
            assert_eq!((index, failure), (6, Failure::InvalidUtf8(1)));
        }
    }
}
