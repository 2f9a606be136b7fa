//! The words and the terms of all segments, as sorted runs and then as merged terms.
//!
//! Owns the layout of these tables, and the order of their readers. Workers inherit the tables through the fork: one task sorts
//! a run, one merges a part of the alphabet over all runs (`vocabulary`).

use crate::lexicon::prefetch;
use crate::mapped::{Log, LogWriter, Passage, Store, Table};
use crate::ngram::Packing;
use crate::segment::{push_term, term_at};
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

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

    /// Announces a reader that accesses the bytes of terms at random. Page by page, such a reader takes longer than all of
    /// these bytes do in one go, unless there are many.
    pub(crate) fn expect_texts(&self) {
        let texts = || self.runs.iter().filter_map(|run| run.texts.as_ref());
        if texts().map(|texts| texts.on_disk()).sum::<usize>() <= MAX_EXPECTED {
            texts().for_each(|texts| texts.expect());
        }
    }

    /// Takes what lies in scratch files out of this process's memory until it is accessed again.
    pub(crate) fn give_back(&self) {
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

/// Bytes of terms that are read in one go, at most: 32 MiB.
const MAX_EXPECTED: usize = 32 << 20;

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

    /// Prefetches the spelling of a word.
    #[inline]
    pub(crate) fn expect(&self, rank: usize) {
        prefetch(&self.0, 2 * rank);
    }

    /// Appends the spelling of a word to `text`. Returns whether it is known.
    #[inline]
    pub(crate) fn append(&self, rank: usize, text: &mut Vec<u8>) -> bool {
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
    pub segment: usize,
    /// Which of its terms they are.
    pub(crate) range: RunRange,
    /// Filled by the task that sorts the run.
    pub sorted: SortedTerms,
    /// The bytes of the sorted terms, in their order, as `segment::push_term` writes them: what is read together lies
    /// together. Committed when the run is sorted. `None` for n-grams, which are sorted by their keys.
    pub(crate) texts: Option<Arc<Log>>,
    /// The prefix of each term whose rank is a multiple of [`INDEXED`]: in memory as long as there is some.
    index: Table<AtomicU64>,
    /// For each sorted term its place in its part of the merged ones, or `matrix_plan::NO_COLUMN`; its bucket, where it has one.
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

    /// The same run, of the terms of segment `segment`.
    pub(crate) fn of_segment(self, segment: usize) -> Self {
        Run { segment, ..self }
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

/// Makes the run of terms that come in order, each of which has its place as local id.
#[derive(Debug)]
pub struct RunWriter {
    run: Run,
    texts: LogWriter,
    /// The terms so far.
    terms: usize,
    /// The last of them.
    last: Vec<u8>,
    /// A term as it is written.
    entry: Vec<u8>,
}

/// Why a term is not accepted.
#[derive(Debug)]
pub enum TermError {
    /// It does not come behind the one before it.
    Order,
    /// There are more terms, or more bytes of them, than were announced.
    TooMany,
    /// The system's error: the disk is full.
    System(io::Error),
}

impl RunWriter {
    /// A writer of `terms` terms, which take up to `bytes` bytes in a record (`segment::push_term`).
    ///
    /// # Errors
    /// The system's, if there is no memory for the tables.
    pub fn new(terms: usize, bytes: usize, counts_occurrences: bool, store: &Store) -> io::Result<Self> {
        let range = RunRange { start: 0, ids: 0..terms, bytes };
        let run = Run::new(0, range, None, counts_occurrences, store)?;
        let texts = run.texts.as_ref().and_then(Log::writer).ok_or(io::ErrorKind::ResourceBusy)?;
        run.sorted.expect(terms);
        Ok(RunWriter { run, texts, terms: 0, last: Vec::new(), entry: Vec::new() })
    }

    /// Adds the next term, which occurs in `documents` rows.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn push(&mut self, term: &[u8], documents: u32) -> Result<(), TermError> {
        if self.terms > 0 && *self.last >= *term {
            return Err(TermError::Order);
        }
        self.entry.clear();
        push_term(&mut self.entry, term);
        if self.terms >= self.run.range.ids.len() || self.entry.len() > self.texts.room() {
            return Err(TermError::TooMany);
        }
        let sorted = SortedTerm { id: self.terms as u32, documents, occurrences: 0 };
        self.run.sorted.set(self.terms, &[self.texts.len() as u64], sorted);
        self.run.set_index(self.terms, prefix(term));
        self.texts.append(&self.entry).map_err(TermError::System)?;
        self.last.clear();
        self.last.extend_from_slice(term);
        self.terms += 1;
        Ok(())
    }

    /// The run of all terms.
    ///
    /// # Errors
    /// The system's, if the disk is full.
    pub fn finish(mut self) -> io::Result<Run> {
        self.run.sorted.set_len(self.terms);
        self.texts.commit()?;
        Ok(self.run)
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

    /// Sets the occurrences of the term with rank `rank`.
    pub(crate) fn set_occurrences(&self, rank: usize, occurrences: u64) {
        if let Some(slot) = self.occurrences.get(rank) {
            slot.store(occurrences, Ordering::Relaxed);
        }
    }

    /// In how many documents the term with rank `rank` occurs.
    pub fn documents(&self, rank: usize) -> u32 {
        self.get(rank).documents
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
    fn a_run_of_terms_in_order() {
        let terms: Vec<String> = (0..200).map(|number| format!("term{number:03}")).collect();
        let writer = |terms, bytes| RunWriter::new(terms, bytes, true, &Store::private()).unwrap();
        let mut run = writer(200, 200 * 8);
        for (documents, term) in (1..).zip(&terms) {
            run.push(term.as_bytes(), documents).unwrap();
        }
        assert!(matches!(run.push(b"terms", 1), Err(TermError::TooMany)));
        let run = run.finish().unwrap();
        assert_eq!(run.sorted.len(), 200);
        for (rank, term) in terms.iter().enumerate() {
            assert!(matches!(run.key(rank), Key::Spelled(key) if key == term.as_bytes()));
            let found = run.sorted.get(rank);
            assert_eq!((found.id as usize, found.documents as usize), (rank, rank + 1));
        }
        let (first, last) = (prefix(b"term0640"), prefix(b"term128"));
        assert_eq!(run.ranks(&(first..last)), 65..128);
        for second in ["a", "b", ""] {
            let mut run = writer(2, 100);
            run.push(b"b", 1).unwrap();
            assert!(matches!(run.push(second.as_bytes(), 1), Err(TermError::Order)));
        }
    }

    #[test]
    fn prefixes_compare_as_terms() {
        let terms = [&b""[..], b"a", b"a\0", b"ab", b"abcdefgh", b"abcdefghi", "é".as_bytes(), b"\xFF"];
        assert!(terms.is_sorted_by_key(|term| prefix(term)));
    }
}
