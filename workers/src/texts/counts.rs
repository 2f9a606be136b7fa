//! Counts of texts in two phases: texts are counted, their terms merged, and then the host chooses the columns.

use super::threads::{Consumer, Watch, consume, in_parallel, lock};
use super::{AnyCsr, Csr, Host, TextsError, Values, are_narrow, indptr};
use crate::analyzer::chunks::Chunk;
use crate::cells::{Element, Index, Row};
use crate::columns::Vocabulary;
use crate::count::{CountSettings, DocumentCounter};
use crate::dictionary::{Dictionary, Tier};
use crate::failure::Failure;
use crate::key::{Key, Source};
use crate::mapped::{Store, Table};
use crate::matrix_plan::{
    Dtype, MatrixPlan, NO_COLUMN, Norm, Numbering, Places, SegmentPlan, ValueSettings, Weight,
};
use crate::ngram;
use crate::row;
use crate::runs::{TalliedSegment, dictionaries, packing};
use crate::segment::{NewNgrams, NewTerms, Outcome, RowNumbers, Segment, SegmentWriter, push_term};
use crate::spelling::Speller;
use crate::vocabulary;
use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

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

/// The rows of counts, and the number of terms of each text. The cells of row i are `offsets[i]..offsets[i + 1]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The number of terms of each text, also of those that have no column.
    pub lengths: &'a [u64],
    /// Where each row begins, and where the last one ends.
    pub offsets: &'a [i64],
    /// The columns of all cells, ascending in each row.
    pub columns: &'a [u32],
    /// Their counts.
    pub counts: &'a [i32],
}

/// The number of texts that contain each column, and of its occurrences in all texts.
pub type Frequencies = (Vec<i64>, Vec<i64>);

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

    /// Counts from what [`Counts::terms`], [`Counts::lengths`] and [`Counts::matrix`] returned. `terms` is empty where columns are
    /// given. `None` if the parts contradict each other.
    ///
    /// # Errors
    /// See [`TextsError`].
    pub fn restored<H: Host>(
        host: &mut H,
        settings: CountSettings,
        terms: &[&str],
        rows: &Rows,
    ) -> Result<Option<Self>, TextsError<H::Error>> {
        let mut watch = Watch::new(host);
        let numbers = settings.row_numbers();
        let n_columns = match numbers {
            RowNumbers::Columns(columns) => columns as usize,
            RowNumbers::Terms | RowNumbers::Ngrams => terms.len(),
        };
        let Rows { lengths, offsets, columns, counts } = rows;
        let is_sound = offsets.len() == lengths.len() + 1
            && offsets.first() == Some(&0)
            && offsets.is_sorted()
            && offsets.last().is_some_and(|&end| end as usize == columns.len())
            && counts.len() == columns.len()
            && columns.iter().all(|&column| (column as usize) < n_columns)
            && offsets
                .windows(2)
                .all(|cells| columns[cells[0] as usize..cells[1] as usize].is_sorted_by(|a, b| a < b))
            && (matches!(numbers, RowNumbers::Columns(_)) == terms.is_empty() || n_columns == 0)
            && u32::try_from(lengths.len()).is_ok();
        if !is_sound {
            return Ok(None);
        }
        let (mut spelled, mut new_terms, mut list) = (Vec::new(), 0, Vec::new());
        let mut words: HashMap<&str, u32> = HashMap::new();
        let mut distinct = HashSet::with_capacity(terms.len());
        for term in terms {
            watch.step()?;
            if !distinct.insert(term) {
                return Ok(None);
            }
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
            watch.check()?;
            let cells = offsets[ordinal] as usize..offsets[ordinal + 1] as usize;
            row.clear();
            let pairs = columns[cells.clone()].iter().zip(&counts[cells.clone()]);
            pairs.for_each(|(&column, &count)| row::push(&mut row, column, count));
            let mut outcome = Outcome {
                tokens: length,
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
                let plan = self.plan(host)?;
                merge_terms(plan, host, threads.max(1))?
            }
        };
        Ok(self.merged.insert(merged))
    }

    /// A plan whose terms are not merged.
    fn plan<H: Host>(&self, host: &mut H) -> Result<MatrixPlan, TextsError<H::Error>> {
        let mut watch = Watch::new(host);
        let (store, firsts, numbers) = (Store::private(), self.firsts(), self.settings.row_numbers());
        let places = Places::new(self.rows(), &store)?;
        let mut segments = Vec::with_capacity(self.segments.len());
        for (number, (segment, before)) in self.segments.iter().enumerate() {
            let mut tallied = TalliedSegment::new(segment.clone());
            for record in segment.records() {
                watch.check()?;
                tallied.add(&record, numbers, RUN_BYTES);
                if let Some(row) = row_of(&firsts, *before, record.key()) {
                    places.set(row, number, record.offset());
                }
            }
            segments.push(tallied);
        }
        let packing = match self.settings.ngram_size() {
            Some(size) => Some(packing(&segments, size).ok_or(TextsError::TooMany)?),
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
        let (mut speller, mut watch) = (Speller::new(plan), Watch::new(host));
        for term in vocabulary.terms(plan) {
            watch.step()?;
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
        let mut watch = Watch::new(host);
        if !is_numbered {
            let (mut documents, mut occurrences) = (Vec::with_capacity(columns), Vec::with_capacity(columns));
            for term in vocabulary.terms(plan) {
                watch.step()?;
                documents.push(i64::from(term.documents));
                occurrences.push(term.occurrences as i64);
            }
            return Ok((documents, occurrences));
        }
        let (mut documents, mut occurrences) = (vec![0; columns], vec![0; columns]);
        for record in (0..plan.places.len()).filter_map(|row| plan.record(row)) {
            watch.check()?;
            for (column, count) in row::pairs(record.row()) {
                documents[column as usize] += 1;
                occurrences[column as usize] += i64::from(count);
            }
        }
        Ok((documents, occurrences))
    }

    /// The matrix, with the columns that `new_columns` gives to terms: the new number of each column, or `NO_COLUMN`.
    ///
    /// # Errors
    /// See [`TextsError`].
    pub fn matrix<H: Host, T: Element + Send>(
        &mut self,
        host: &mut H,
        threads: usize,
        new_columns: Option<&[u32]>,
        values: &Values,
    ) -> Result<AnyCsr<T>, TextsError<H::Error>> {
        let threads = threads.max(1);
        let merged = self.merged(host, threads)?;
        merged.renumber(host, new_columns)?;
        let plan = &merged.plan;
        let lengths: Table<AtomicU32> = Table::new(plan.places.len(), &Store::private())?;
        in_parallel(host, threads, tasks(plan), |task, _| {
            let mut scratch = Row::default();
            for row in rows_of(plan, task) {
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
        let lengths: Vec<usize> =
            lengths.iter().map(|length| length.load(Ordering::Relaxed) as usize).collect();
        Ok(match are_narrow(lengths.iter().sum()) {
            true => AnyCsr::Narrow(merged.cells(host, threads, &lengths, values)?),
            false => AnyCsr::Wide(merged.cells(host, threads, &lengths, values)?),
        })
    }
}

/// Rows of a task.
const ROWS: usize = 512;

/// The number of tasks that rows are cut into.
fn tasks(plan: &MatrixPlan) -> usize {
    plan.places.len().div_ceil(ROWS)
}

/// The rows of a task.
fn rows_of(plan: &MatrixPlan, task: usize) -> Range<usize> {
    task * ROWS..((task + 1) * ROWS).min(plan.places.len())
}

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
        let places = indices.get_mut(range.clone()).zip(data.get_mut(range));
        let (of_indices, of_data) = places.ok_or(io::ErrorKind::InvalidData)?;
        of_indices
            .iter_mut()
            .zip(scratch.columns())
            .for_each(|(index, column)| *index = I::from_column(column));
        of_data.copy_from_slice(&of_row);
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
        in_parallel(host, threads, plan.segments.len(), |segment, has_ended| {
            vocabulary::count(&plan, segment, has_ended);
            Ok(())
        })?;
        if plan.packing.is_some() {
            let words = merge_tier(&plan, Tier::Words, host, threads)?;
            // A rank is the word's place among the merged words, which has gaps.
            let bases = words.parts().iter().map(|part| part.first).collect();
            number(&plan, Tier::Words, bases, &words, host, threads)?;
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
    in_parallel(host, threads, dictionary.runs.len(), |run, _| vocabulary::sort(plan, tier, run))?;
    let wanted = match threads {
        1 => 1,
        threads => 4 * threads,
    };
    let mut vocabulary = Vocabulary::cut(dictionary, wanted.max(dictionary.merged.len() / PART_TERMS));
    let kept: Vec<AtomicUsize> = vocabulary.parts().iter().map(|_| AtomicUsize::new(0)).collect();
    in_parallel(host, threads, kept.len(), |number, _| {
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
    in_parallel(host, threads, bases.len(), |part, _| {
        vocabulary::number(plan, tier, vocabulary.parts()[part].prefixes.clone(), bases[part] as u32);
        Ok(())
    })
}

impl Merged {
    /// The cells of all rows, which have these lengths.
    fn cells<H: Host, I: Index + Send, T: Element + Send>(
        &self,
        host: &mut H,
        threads: usize,
        lengths: &[usize],
        values: &Values,
    ) -> Result<Csr<I, T>, TextsError<H::Error>> {
        let (plan, cells) = (&self.plan, lengths.iter().sum());
        let (mut indices, mut data) = (vec![I::zeroed(); cells], vec![T::zeroed(); cells]);
        let (mut rest_of_indices, mut rest_of_data) = (&mut indices[..], &mut data[..]);
        let mut parts = Vec::with_capacity(tasks(plan));
        for task in 0..tasks(plan) {
            let cells = lengths[rows_of(plan, task)].iter().sum();
            let (of_indices, of_data);
            (of_indices, rest_of_indices) = rest_of_indices.split_at_mut(cells);
            (of_data, rest_of_data) = rest_of_data.split_at_mut(cells);
            parts.push(Mutex::new((of_indices, of_data)));
        }
        let not_finite: Mutex<Option<(usize, u32)>> = Mutex::new(None);
        in_parallel(host, threads, parts.len(), |task, _| {
            let mut part = lock(&parts[task]);
            let (of_indices, of_data) = &mut *part;
            if let Some(failed) = fill(plan, rows_of(plan, task), values, of_indices, of_data)? {
                let mut first = lock(&not_finite);
                *first = Some(first.map_or(failed, |first| first.min(failed)));
            }
            Ok(())
        })?;
        drop(parts);
        match *lock(&not_finite) {
            Some((row, column)) => Err(TextsError::NotFinite { row, column }),
            None => Ok(Csr { data, indices, indptr: indptr(lengths.iter().copied()) }),
        }
    }

    /// Gives the plan's local ids the new columns of their terms, or their places among all terms.
    fn renumber<H: Host>(
        &mut self,
        host: &mut H,
        new_columns: Option<&[u32]>,
    ) -> Result<(), TextsError<H::Error>> {
        let mut watch = Watch::new(host);
        let mut renumbered = |columns: &Table<AtomicU32>| -> Result<_, TextsError<H::Error>> {
            Ok(match new_columns {
                None => columns.clone(),
                Some(new) => {
                    let table: Table<AtomicU32> = Table::new(columns.len(), &Store::private())?;
                    for (slot, column) in table.iter().zip(columns.iter()) {
                        watch.step()?;
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
