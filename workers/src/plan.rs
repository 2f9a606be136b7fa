//! The input of the second generation of workers: every segment, and the tables that map local ids to columns and rows to
//! places in the output.
//!
//! All of it is in shared memory, and workers inherit it through the fork. Owns the layout of these tables; computes
//! nothing but BM25's saturation.

use crate::documents::Documents;
use crate::failure::Failure;
use crate::hashing::Buckets;
use crate::idf::Idf;
use crate::lexicon::prefetch;
use crate::mapped::{Log, Passage, Store, Table};
use crate::ngram::Packing;
use crate::segment::{Record, Segment, term_at};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A column number that means no column.
pub const NO_COLUMN: u32 = u32::MAX;

/// All data that the sorting of terms and the writing of rows depend on.
#[derive(Debug)]
pub struct Plan {
    /// The documents.
    pub documents: Arc<Documents>,
    /// Rows without a record, and their failures.
    pub condemned: BTreeMap<usize, Failure>,
    /// The segments, by number.
    pub segments: Vec<SegmentPlan>,
    /// Where each row's record is.
    pub places: Places,
    /// The meaning of the numbers in the records' rows.
    pub numbering: Numbering,
    /// The document frequencies with which a term is kept.
    pub kept: RangeInclusive<f64>,
    /// The words of n-grams. Empty where terms are spelled.
    pub words: Dictionary,
    /// The spelling of each merged word. Empty where terms are spelled.
    pub spellings: Spellings,
    /// The terms. Empty where numbers are columns.
    pub terms: Dictionary,
    /// The keys of n-grams; `None` where terms are spelled.
    pub packing: Option<Packing>,
    /// First non-zero of each row, and after the last row the number of all non-zeros (one element more than rows).
    /// Before the rows are laid out, an element contains its row's length.
    pub indptr: Table<AtomicU64>,
    /// The number of documents in which each column is stored. Filled only where numbers are columns already.
    pub frequencies: Table<AtomicU32>,
    /// The bits of each column's idf, if the weight has one.
    pub idf: Table<AtomicU64>,
    /// The formula of idf; `None` if idf was given or is not used.
    pub formula: Option<Idf>,
    /// Number of documents that did not fail.
    pub embedded: u64,
    /// Mean number of terms of a document, for bm25.
    pub mean_length: f64,
    /// The conversion from counts to values.
    pub values: ValueSettings,
    /// Whether the occurrences of terms in the corpus are counted, in addition to their documents.
    pub counts_occurrences: bool,
    /// The output files.
    pub files: Files,
    /// The form of the matrix.
    pub container: Container,
    /// Bytes of private memory that a worker may take.
    pub worker_memory: u64,
}

/// The files that workers write to, each worker at its own offsets.
#[derive(Debug)]
pub struct Files {
    /// The matrix.
    pub matrix: File,
    /// One line for each document.
    pub documents: File,
    /// One line for each term, where the corpus makes the vocabulary.
    pub terms: Option<File>,
}

/// The meaning of the numbers in the records' rows.
#[derive(Clone, Copy, Debug)]
pub enum Numbering {
    /// Columns. Rows are sorted by them.
    Columns,
    /// Local ids. The segment's table maps them to columns.
    LocalIds,
    /// Local ids. The segment's table maps them to `bucket << 1 | negative`, and values in the same bucket are added up.
    LocalIdsOfBuckets(Buckets),
}

/// What is sorted, merged and numbered: first the words of n-grams, then terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Tier {
    /// The words of n-grams, whose numbers are ranks.
    Words,
    /// The terms, whose numbers are columns.
    Terms,
}

/// The words or the terms of all segments.
#[derive(Debug)]
pub struct Dictionary {
    /// The runs of all segments, in order.
    pub runs: Vec<Run>,
    /// What they are merged to: in chunks, each sorted, with gaps between them.
    pub merged: MergedTerms,
}

impl Dictionary {
    /// A dictionary of these runs, with room for all that they contain.
    ///
    /// # Errors
    /// The system's, if there is no memory for it.
    pub fn new(runs: Vec<Run>, counts_occurrences: bool, store: &Store) -> io::Result<Self> {
        let terms = runs.iter().map(|run| run.range.ids.len()).sum();
        Ok(Dictionary { runs, merged: MergedTerms::new(terms, counts_occurrences, store)? })
    }

    /// The key of a merged term.
    #[inline]
    pub(crate) fn key(&self, term: &MergedTerm) -> Key<'_> {
        self.runs.get(term.run as usize).map_or(Key::Spelled(&[]), |run| run.key_at(term.place))
    }

    /// The passages of a reader that begins now.
    pub(crate) fn passages(&self) -> Passages {
        vec![RunPassages::default(); self.runs.len()]
    }

    /// The key of a merged term, for a reader in order of the terms.
    #[inline]
    pub(crate) fn key_in_order(&self, term: &MergedTerm, passages: &mut Passages) -> Key<'_> {
        let number = term.run as usize;
        let run = self.runs.get(number).zip(passages.get_mut(number));
        run.map_or(Key::Spelled(&[]), |(run, passages)| {
            run.pass_key(term.place, passages);
            run.key_at(term.place)
        })
    }

    /// Takes what lies in scratch files out of this process's memory until it is accessed again.
    fn give_back(&self) {
        for Run { sorted, texts, merged, .. } in &self.runs {
            sorted.words.give_back();
            sorted.occurrences.give_back();
            texts.iter().for_each(|texts| texts.give_back());
            merged.give_back();
        }
        let MergedTerms { places, documents, occurrences } = &self.merged;
        places.give_back();
        documents.give_back();
        occurrences.give_back();
    }
}

/// The bytes of words by their ranks: of most words all that is needed to spell an n-gram, in one place.
#[derive(Debug)]
pub struct Spellings(Table<AtomicU64>);

/// A spelling of up to this many bytes is kept.
const SPELLING: usize = 2 * size_of::<u64>() - 1;

impl Spellings {
    /// Creates room for `words` words.
    ///
    /// # Errors
    /// The system's, if there is no memory for it.
    pub fn new(words: usize, store: &Store) -> io::Result<Self> {
        Table::new(2 * words, store).map(Spellings)
    }

    /// Sets the spelling of a word, if it is short.
    pub(crate) fn set(&self, rank: usize, word: &[u8]) {
        let Some(slot) = self.0.get(2 * rank..).and_then(|rest| rest.first_chunk::<2>()) else { return };
        let mut bytes = [0; SPELLING + 1];
        bytes[0] = u8::MAX;
        if let Some(place) = bytes[1..].get_mut(..word.len()) {
            place.copy_from_slice(word);
            bytes[0] = word.len() as u8;
        }
        let integers: [u64; 2] = bytemuck::cast(bytes);
        slot.iter().zip(integers).for_each(|(slot, integer)| slot.store(integer, Ordering::Relaxed));
    }

    /// Appends the spelling of a word to `text`. Returns whether it is known.
    #[inline]
    fn append(&self, rank: usize, text: &mut Vec<u8>) -> bool {
        let Some(slot) = self.0.get(2 * rank..).and_then(|rest| rest.first_chunk::<2>()) else {
            return false;
        };
        let integers = [slot[0].load(Ordering::Relaxed), slot[1].load(Ordering::Relaxed)];
        let bytes: [u8; SPELLING + 1] = bytemuck::cast(integers);
        let length = bytes[0] as usize;
        if length > SPELLING {
            return false;
        }
        let start = text.len();
        // All bytes, since a copy of a fixed length takes less time.
        text.extend_from_slice(&bytes[1..]);
        text.truncate(start + length);
        true
    }
}

/// One segment, and its columns.
#[derive(Debug)]
pub struct SegmentPlan {
    /// The records.
    pub(crate) segment: Segment,
    /// The rank of each local word of n-grams: its place among the merged words.
    pub(crate) ranks: Table<AtomicU32>,
    /// Until local ids are numbered, in how many accepted documents each occurs; then its column, or [`NO_COLUMN`], if it
    /// occurs. Empty where numbers are columns.
    pub columns: Table<AtomicU32>,
    /// How often each local id occurs in accepted documents. Empty if that is not counted.
    pub(crate) occurrences: Table<AtomicU64>,
}

impl SegmentPlan {
    /// Tables for a segment with `ids` local ids, and with `words` words of n-grams.
    ///
    /// # Errors
    /// The system's, if there is no memory for them.
    pub fn new(
        segment: Segment,
        words: usize,
        ids: usize,
        counts_occurrences: bool,
        store: &Store,
    ) -> io::Result<Self> {
        let (ranks, columns) = (Table::new(words, store)?, Table::new(ids, store)?);
        let occurrences = Table::new(if counts_occurrences { ids } else { 0 }, store)?;
        Ok(SegmentPlan { segment, ranks, columns, occurrences })
    }

    /// The numbers of the words or of the terms, by their ids in the segment.
    pub(crate) fn numbers(&self, tier: Tier) -> &[AtomicU32] {
        match tier {
            Tier::Words => &self.ranks,
            Tier::Terms => &self.columns,
        }
    }
}

/// Consecutive records of a segment whose new terms are sorted in one go: as many as a worker has memory for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRange {
    /// Where the first of the records begins.
    pub start: usize,
    /// The local ids of their new terms.
    pub ids: Range<usize>,
    /// Bytes of these terms in the records.
    pub bytes: usize,
}

impl RunRange {
    /// Bytes of memory that sorting a term takes beside its bytes: a key and its place.
    const BYTES_PER_TERM: usize = 24;

    /// Bytes of memory that sorting its terms takes, about.
    pub fn cost(&self) -> usize {
        self.bytes + self.ids.len() * Self::BYTES_PER_TERM
    }
}

/// Ranks of a run from one of its index to the next.
const INDEXED: usize = 64;

/// How far a reader in order has come in the maps of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunPassages {
    words: Passage,
    occurrences: Passage,
    texts: Passage,
    merged: Passage,
}

/// How far a reader in order has come in each run of a dictionary.
pub(crate) type Passages = Vec<RunPassages>;

/// A run: sorted terms of a segment. No two runs of a segment have a term in common.
#[derive(Debug)]
pub struct Run {
    /// The segment's number.
    pub(crate) segment: usize,
    /// Which of its terms they are.
    pub(crate) range: RunRange,
    /// Filled by the task that sorts the run.
    pub sorted: SortedTerms,
    /// The bytes of the sorted terms, in their order, as `segment::push_term` writes them: what is read together lies
    /// together. Committed when the run is sorted. `None` for n-grams, which are sorted by their keys.
    pub(crate) texts: Option<Arc<Log>>,
    /// The prefix of each term whose rank is a multiple of [`INDEXED`]: in memory as long as there is some.
    index: Table<AtomicU64>,
    /// For each sorted term its place in its part of the merged ones, or [`NO_COLUMN`]; its bucket, where it has one.
    pub merged: Table<AtomicU32>,
}

impl Run {
    /// Tables for the terms in `range` of segment `segment`: n-grams with keys of `packing`, or terms that are spelled.
    ///
    /// # Errors
    /// The system's, if there is no memory for them.
    pub fn new(
        segment: usize,
        range: RunRange,
        packing: Option<Packing>,
        counts_occurrences: bool,
        store: &Store,
    ) -> io::Result<Self> {
        let ids = range.ids.len();
        let index = Table::new(ids.div_ceil(INDEXED), store)?;
        let merged = Table::new(ids, store)?;
        let sorted = SortedTerms::new(ids, packing.map_or(1, Packing::width), counts_occurrences, store)?;
        let texts = match packing {
            None => Some(Arc::new(Log::new(range.bytes, store)?)),
            Some(_) => None,
        };
        merged.read_by_passages();
        sorted.words.read_by_passages();
        sorted.occurrences.read_by_passages();
        texts.iter().for_each(|texts| texts.read_by_passages());
        Ok(Run { segment, range, sorted, texts, index, merged })
    }

    /// Sets the prefixes of the index. The run is sorted but for its number of terms.
    pub(crate) fn set_index(&self, rank: usize, prefix: u64) {
        if rank.is_multiple_of(INDEXED) {
            self.index[rank / INDEXED].store(prefix, Ordering::Relaxed);
        }
    }

    /// The prefixes of some of the terms, in order, at equal distances.
    pub fn prefixes(&self) -> impl Iterator<Item = u64> {
        let indexed = self.sorted.len().div_ceil(INDEXED);
        self.index.iter().take(indexed).map(|prefix| prefix.load(Ordering::Relaxed))
    }

    /// Notes that a reader in order has come to the term with rank `rank`.
    #[inline]
    pub(crate) fn pass(&self, rank: usize, passages: &mut RunPassages) {
        self.sorted.pass(rank, &mut passages.words);
        self.merged.pass(rank, &mut passages.merged);
        if !self.sorted.occurrences.is_empty() {
            self.sorted.occurrences.pass(rank, &mut passages.occurrences);
        }
    }

    /// Notes that a reader in order has come to the key at a place.
    #[inline]
    fn pass_key(&self, place: u64, passages: &mut RunPassages) {
        match &self.texts {
            None => self.sorted.pass(place as usize, &mut passages.words),
            Some(texts) => texts.pass(place as usize, &mut passages.texts),
        }
    }

    /// The elements of `merged` of these ranks, for a reader in order.
    pub fn merged_in_order(&self, ranks: Range<usize>) -> impl Iterator<Item = &AtomicU32> {
        let mut passage = Passage::default();
        ranks.map(move |rank| {
            self.merged.pass(rank, &mut passage);
            &self.merged[rank]
        })
    }

    /// The key of the sorted term with rank `rank`, for a reader in order.
    #[inline]
    pub(crate) fn key_in_order(&self, rank: usize, passages: &mut RunPassages) -> Key<'_> {
        self.pass(rank, passages);
        let place = self.place(rank);
        self.pass_key(place, passages);
        self.key_at(place)
    }

    /// Where the key of the sorted term with rank `rank` is: its offset in the texts, or the rank.
    #[inline]
    pub(crate) fn place(&self, rank: usize) -> u64 {
        match &self.texts {
            None => rank as u64,
            Some(_) => self.sorted.key(rank).first().map_or(0, |offset| offset.load(Ordering::Relaxed)),
        }
    }

    /// The key at a place.
    #[inline]
    fn key_at(&self, place: u64) -> Key<'_> {
        match &self.texts {
            None => Key::Packed(self.sorted.key(place as usize)),
            Some(texts) => Key::Spelled(term_at(texts.committed(), place as usize).unwrap_or_default()),
        }
    }

    /// The key of the sorted term with rank `rank`.
    #[inline]
    pub(crate) fn key(&self, rank: usize) -> Key<'_> {
        self.key_at(self.place(rank))
    }

    /// The ranks of the terms whose prefix is in `prefixes`.
    pub fn ranks(&self, prefixes: &Range<u64>) -> Range<usize> {
        let before = |limit: u64| {
            let indexed = self.index.get(..self.sorted.len().div_ceil(INDEXED)).unwrap_or_default();
            let after = indexed.partition_point(|prefix| prefix.load(Ordering::Relaxed) < limit);
            // The term sought lies behind the last indexed one before the limit, and not behind the next one.
            let mut low = after.saturating_sub(1) * INDEXED;
            let mut high = (after * INDEXED).min(self.sorted.len());
            while low < high {
                let middle = low.midpoint(high);
                if self.key(middle).prefix() < limit { low = middle + 1 } else { high = middle }
            }
            low
        };
        before(prefixes.start)..before(prefixes.end)
    }
}

/// What terms are sorted by: all those of a dictionary by the same.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    /// The bytes of the term.
    Spelled(&'a [u8]),
    /// The key of an n-gram (`ngram::Packing`).
    Packed(&'a [AtomicU64]),
}

impl Key<'_> {
    /// The first eight bytes, as a number. Numbers compare as the terms do, but for equal ones.
    #[inline]
    pub(crate) fn prefix(&self) -> u64 {
        match self {
            Key::Spelled(term) => prefix(term),
            Key::Packed(key) => key.first().map_or(0, |first| first.load(Ordering::Relaxed)),
        }
    }

    /// Compares two keys with the same prefix.
    #[inline]
    pub(crate) fn cmp_behind_prefix(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Key::Spelled(term), Key::Spelled(other)) => term.cmp(other),
            (Key::Packed(key), Key::Packed(other)) => {
                let load = |integer: &AtomicU64| integer.load(Ordering::Relaxed);
                key.iter().skip(1).map(load).cmp(other.iter().skip(1).map(load))
            }
            (Key::Spelled(_), Key::Packed(_)) => std::cmp::Ordering::Less,
            (Key::Packed(_), Key::Spelled(_)) => std::cmp::Ordering::Greater,
        }
    }
}

/// The form of the matrix in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Container {
    /// Compressed sparse rows (CSR): an array of column indices and one of values.
    Sparse,
    /// One element for each row and column.
    Dense,
}

/// The formula of a cell's value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Weight {
    /// The number of occurrences of the term in the document, tf.
    Count,
    /// 1 for each stored cell.
    Binary,
    /// tf * idf, or (1 + ln tf) * idf.
    TfIdf {
        /// Whether tf is 1 + ln tf.
        sublinear: bool,
    },
    /// idf times a saturated tf (Robertson and Zaragoza, 2009), by document length.
    Bm25 {
        /// How fast tf saturates: larger values saturate later.
        k1: f64,
        /// The weight of the document's length, from 0 to 1.
        b: f64,
        /// The formula of the saturation.
        tf: Bm25Tf,
    },
}

/// The saturation of tf in BM25. With s = k1 (1 - b + b length / mean length):
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bm25Tf {
    /// tf c / (s + tf).
    Plain {
        /// c, the limit for large tf: k1 + 1 for atire, 1 for lucene and robertson.
        ceiling: f64,
    },
    /// BM25+ (Lv and Zhai, 2011): tf (k1 + 1) / (s + tf) + delta.
    Plus {
        /// The amount added for each term that occurs.
        delta: f64,
    },
    /// BM25L (Lv and Zhai, 2011), with t = tf k1 / s + delta: t (k1 + 1) / (k1 + t).
    Long {
        /// The amount added to the tf of each term that occurs.
        delta: f64,
    },
}

impl Bm25Tf {
    /// The saturated tf of a term that occurs `tf` times in a document. `length` is the document's normalised length:
    /// 1 - b + b length / mean length.
    ///
    /// Returns the saturated tf and the amount to subtract. As in the bm25s package, stored values of BM25+ and BM25L
    /// are reduced by the value of a term that does not occur. So a value that is not stored is 0, and the ranking of
    /// documents for a query stays the same.
    pub(crate) fn of(self, tf: f64, k1: f64, length: f64) -> (f64, f64) {
        match self {
            Bm25Tf::Plain { ceiling } => (tf * ceiling / (k1 * length + tf), 0.0),
            Bm25Tf::Plus { delta } => ((k1 + 1.0) * tf / (k1 * length + tf) + delta, delta),
            Bm25Tf::Long { delta } => {
                let saturated = |tf: f64| (k1 + 1.0) * (tf + delta) / (k1 + tf + delta);
                let absent = if delta > 0.0 { saturated(0.0) } else { 0.0 };
                (saturated(tf / length), absent)
            }
        }
    }
}

/// The divisor of each row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// No division.
    None,
    /// The sum of absolute values.
    L1,
    /// The square root of the sum of squares.
    L2,
}

/// The element type of the values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dtype {
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> u64 {
        match self {
            Dtype::I32 | Dtype::F32 => 4,
            Dtype::I64 | Dtype::F64 => 8,
        }
    }
}

/// The conversion from counts to values.
#[derive(Clone, Copy, Debug)]
pub struct ValueSettings {
    /// The formula of a cell's value.
    pub weight: Weight,
    /// The divisor of each row.
    pub norm: Norm,
    /// The element type of the values.
    pub dtype: Dtype,
}

/// The segment and offset of each row's record. A row without a record has no place.
#[derive(Clone, Debug)]
pub struct Places(Table<AtomicU64>);

/// Bits of a place that hold the record's offset in units of 8 bytes.
const OFFSET_BITS: u32 = 40;

impl Places {
    /// Creates a table for `rows` rows, all without a place.
    ///
    /// # Errors
    /// The system's error, if memory for the table runs out.
    pub fn new(rows: usize, store: &Store) -> io::Result<Self> {
        Table::new(rows, store).map(Places)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the place of `row`: the record at byte `offset` of segment number `segment`.
    pub fn set(&self, row: usize, segment: usize, offset: usize) {
        let place = ((segment as u64 + 1) << OFFSET_BITS) | (offset as u64 / 8);
        self.0[row].store(place, Ordering::Relaxed);
    }

    /// The segment number and byte offset of a row's record; `None` if the row has no record.
    pub fn get(&self, row: usize) -> Option<(usize, usize)> {
        let place = self.0[row].load(Ordering::Relaxed);
        let segment = (place >> OFFSET_BITS).checked_sub(1)?;
        Some((segment as usize, (place & ((1 << OFFSET_BITS) - 1)) as usize * 8))
    }
}

impl Plan {
    /// The record of a row; `None` if the row has no record.
    pub fn record(&self, row: usize) -> Option<Record<'_>> {
        let (segment, offset) = self.places.get(row)?;
        Record::at(self.segments.get(segment)?.segment.bytes(), offset)
    }

    /// The words or the terms.
    pub fn dictionary(&self, tier: Tier) -> &Dictionary {
        match tier {
            Tier::Words => &self.words,
            Tier::Terms => &self.terms,
        }
    }

    /// Takes what lies in scratch files out of this process's memory until it is accessed again.
    pub fn give_back(&self) {
        self.words.give_back();
        self.terms.give_back();
        for SegmentPlan { segment, ranks, columns, occurrences } in &self.segments {
            segment.give_back();
            ranks.give_back();
            columns.give_back();
            occurrences.give_back();
        }
    }

    /// The bytes of a merged term.
    pub fn spelled(&self, term: &MergedTerm) -> Cow<'_, [u8]> {
        match self.terms.key(term) {
            Key::Spelled(term) => Cow::Borrowed(term),
            Key::Packed(_) => Cow::Owned(Speller::new(self).spell(term).to_vec()),
        }
    }
}

/// Spells the terms of a plan one after the other, in their order. Of an n-gram, it spells the words that differ from those of the one
/// before it: in order, most n-grams begin like the one before.
pub struct Speller<'a> {
    plan: &'a Plan,
    /// The rank of each word of the n-gram, and where it ends.
    words: Vec<(u32, usize)>,
    text: Vec<u8>,
    passages: Passages,
}

impl<'a> Speller<'a> {
    /// Begins with any term of `plan`.
    pub fn new(plan: &'a Plan) -> Self {
        Speller { plan, words: Vec::new(), text: Vec::new(), passages: plan.terms.passages() }
    }

    /// Prefetches what merged term `index` is spelled with, if there is one: mostly its last word, since the words before
    /// are often those of the term before it.
    #[inline]
    pub(crate) fn expect(&self, index: usize) {
        let Plan { terms, spellings, packing: Some(packing), .. } = self.plan else { return };
        if index < terms.merged.len()
            && let Key::Packed(key) = terms.key(&terms.merged.get(index))
            && let Some(last) = packing.unpack(key).last()
        {
            prefetch(&spellings.0, 2 * last as usize);
        }
    }

    /// The bytes of a merged term.
    #[inline]
    pub fn spell(&mut self, term: &MergedTerm) -> &[u8] {
        let plan = self.plan;
        let key = plan.terms.key_in_order(term, &mut self.passages);
        self.spell_key(key)
    }

    /// The bytes of the term with this key.
    #[inline]
    pub(crate) fn spell_key<'b>(&'b mut self, key: Key<'b>) -> &'b [u8] {
        match (key, self.plan.packing) {
            (Key::Spelled(term), _) => term,
            (Key::Packed(key), Some(packing)) => self.spell_ngram(packing.unpack(key)),
            (Key::Packed(_), None) => &[],
        }
    }

    fn spell_ngram(&mut self, ranks: impl Iterator<Item = u32>) -> &[u8] {
        let Speller { plan, words, text, .. } = self;
        let mut ranks = ranks.peekable();
        let known = words.iter().take_while(|&&(rank, _)| ranks.next_if_eq(&rank).is_some()).count();
        words.truncate(known);
        text.truncate(words.last().map_or(0, |&(_, end)| end));
        for rank in ranks {
            if !words.is_empty() {
                text.push(b' ');
            }
            if !plan.spellings.append(rank as usize, text)
                && let Key::Spelled(word) = plan.words.key(&plan.words.merged.get(rank as usize))
            {
                text.extend_from_slice(word);
            }
            words.push((rank, text.len()));
        }
        text
    }
}

/// The merged terms, with their document frequencies. The runs hold their keys.
#[derive(Clone, Debug)]
pub struct MergedTerms {
    places: Table<AtomicU64>,
    documents: Table<AtomicU32>,
    /// Empty if occurrences are not counted.
    occurrences: Table<AtomicU64>,
}

/// A merged term.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MergedTerm {
    /// The first run that contains it.
    pub(crate) run: u32,
    /// Where its key is in it (`Run::place`).
    pub(crate) place: u64,
    /// Its document frequency.
    pub documents: u32,
    /// Its occurrences in all documents; 0 if they are not counted.
    pub occurrences: u64,
}

impl MergedTerms {
    /// Creates room for `terms` terms.
    ///
    /// # Errors
    /// The system's error, if memory for the tables runs out.
    pub fn new(terms: usize, counts_occurrences: bool, store: &Store) -> io::Result<Self> {
        let occurrences = Table::new(if counts_occurrences { terms } else { 0 }, store)?;
        let (places, documents) = (Table::new(terms, store)?, Table::new(terms, store)?);
        Ok(MergedTerms { places, documents, occurrences })
    }

    /// The number of terms that there is room for.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is room for none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Sets term `index`.
    pub fn set(&self, index: usize, term: MergedTerm) {
        let place = (term.run as u64) << PLACE_BITS | term.place;
        self.places[index].store(place, Ordering::Relaxed);
        self.documents[index].store(term.documents, Ordering::Relaxed);
        if let Some(occurrences) = self.occurrences.get(index) {
            occurrences.store(term.occurrences, Ordering::Relaxed);
        }
    }

    /// Term `index`.
    pub fn get(&self, index: usize) -> MergedTerm {
        let place = self.places[index].load(Ordering::Relaxed);
        MergedTerm {
            run: (place >> PLACE_BITS) as u32,
            place: place & ((1 << PLACE_BITS) - 1),
            documents: self.documents[index].load(Ordering::Relaxed),
            occurrences: self.occurrences.get(index).map_or(0, |count| count.load(Ordering::Relaxed)),
        }
    }
}

/// Bits that hold the place of a merged term in its run.
const PLACE_BITS: u32 = 43;

/// The sorted terms of a run: their keys or the offsets of their bytes, their local ids, their document frequencies and
/// their occurrences.
#[derive(Clone, Debug)]
pub struct SortedTerms {
    /// The number of terms; then for each term `width` words of its key, and one more.
    words: Table<AtomicU64>,
    /// Words of a key.
    width: usize,
    /// Empty if occurrences are not counted.
    occurrences: Table<AtomicU64>,
}

/// A sorted term.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SortedTerm {
    /// Its local id.
    pub(crate) id: u32,
    /// The number of the segment's documents in which it occurs: at least 1. 1 for a word of
    /// n-grams, whatever it is.
    pub(crate) documents: u32,
    /// Its occurrences in them; 0 if they are not counted.
    pub(crate) occurrences: u64,
}

impl SortedTerms {
    /// Creates room for `terms` terms with keys of `width` words.
    ///
    /// # Errors
    /// The system's error, if memory for the tables runs out.
    pub(crate) fn new(
        terms: usize,
        width: usize,
        counts_occurrences: bool,
        store: &Store,
    ) -> io::Result<Self> {
        let occurrences = Table::new(if counts_occurrences { terms } else { 0 }, store)?;
        Ok(SortedTerms { words: Table::new(1 + terms * (width + 1), store)?, width, occurrences })
    }

    /// Announces that `terms` terms will be set soon.
    pub(crate) fn expect(&self, terms: usize) {
        self.words.expect(1 + terms * (self.width + 1));
    }

    /// Sets the number of terms.
    pub(crate) fn set_len(&self, terms: usize) {
        self.words[0].store(terms as u64, Ordering::Relaxed);
    }

    /// The number of terms.
    pub fn len(&self) -> usize {
        self.words[0].load(Ordering::Relaxed) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The words of the term with rank `rank`.
    #[inline]
    fn words(&self, rank: usize) -> &[AtomicU64] {
        let stride = self.width + 1;
        self.words.get(1 + rank * stride..).and_then(|words| words.get(..stride)).unwrap_or_default()
    }

    /// Notes that a reader in order has come to the term with rank `rank`.
    #[inline]
    fn pass(&self, rank: usize, passage: &mut Passage) {
        self.words.pass(1 + rank * (self.width + 1), passage);
    }

    /// Sets the term with rank `rank`, and its key.
    #[inline]
    pub(crate) fn set(&self, rank: usize, key: &[u64], term: SortedTerm) {
        let words = self.words(rank);
        words.iter().zip(key).for_each(|(word, &key)| word.store(key, Ordering::Relaxed));
        words[self.width].store((term.id as u64) << 32 | term.documents as u64, Ordering::Relaxed);
        if let Some(occurrences) = self.occurrences.get(rank) {
            occurrences.store(term.occurrences, Ordering::Relaxed);
        }
    }

    /// The key of the term with rank `rank`: of an n-gram, or the offset in the run's texts.
    #[inline]
    pub(crate) fn key(&self, rank: usize) -> &[AtomicU64] {
        self.words(rank).get(..self.width).unwrap_or_default()
    }

    /// The term with rank `rank`.
    #[inline]
    pub(crate) fn get(&self, rank: usize) -> SortedTerm {
        let counts = self.words(rank)[self.width].load(Ordering::Relaxed);
        SortedTerm {
            id: (counts >> 32) as u32,
            documents: counts as u32,
            occurrences: self.occurrences.get(rank).map_or(0, |count| count.load(Ordering::Relaxed)),
        }
    }
}

/// The first eight bytes of a term as a number. Numbers compare as the bytes do.
#[inline]
pub(crate) fn prefix(term: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = term.len().min(8);
    bytes[..length].copy_from_slice(&term[..length]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let places = Places::new(2, &Store::unlimited()).unwrap();
        assert_eq!(places.get(0), None);
        places.set(0, 0, 0);
        places.set(1, 70_000, 8 << 30);
        assert_eq!(places.get(0), Some((0, 0)));
        assert_eq!(places.get(1), Some((70_000, 8 << 30)));
    }

    #[test]
    fn prefixes_compare_as_terms() {
        let terms = [&b""[..], b"a", b"a\0", b"ab", b"abcdefgh", b"abcdefghi", "é".as_bytes(), b"\xFF"];
        assert!(terms.is_sorted_by_key(|term| prefix(term)));
    }
}
