//! The segments' terms become one vocabulary: each run of a segment's terms is sorted, then each part of the alphabet is
//! merged over all runs, then local ids are numbered. All three run in parallel. For n-grams, this is done with their words
//! first: then the ranks of words make integers that n-grams are sorted and merged by (`ngram`).
//!
//! Only accepted rows count, so a record that another worker replaced has no effect: the result depends only on the
//! terms and their counts, not on the segment of a term. Byte order is code point order, which is how scikit-learn sorts
//! its vocabulary.

use crate::counted_rows::{CountedRows, SegmentRows};
use crate::dictionary::{Dictionary, Key, MergedTerm, Passages, Run, RunPassages, SortedTerm, Tier, prefix};
use crate::lexicon::prefetch;
use crate::mapped::{Log, Passage};
use crate::matrix_plan::{MatrixPlan, NO_COLUMN, Numbering, SegmentPlan, Weight};
use crate::ngram::{self, Packing};
use crate::row;
use crate::segment::{Record, Segment, push_term, term_at, term_size};
use crate::spelling::Speller;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Counts the documents of each local id of segment `number`, and where the plan asks for it how often it occurs. Only this
/// task writes to the segment's tables, so it may be done again. If `has_ended` returns true, it returns with a part of the counts.
pub(crate) fn count(plan: &MatrixPlan, number: usize, has_ended: &dyn Fn() -> bool) {
    let SegmentPlan { rows, columns, occurrences, .. } = &plan.segments[number];
    let segment = match rows {
        SegmentRows::Records(segment) => segment,
        SegmentRows::Counted(output) => return count_occurrences(plan, &**output, occurrences),
    };
    columns.iter().for_each(|documents| documents.store(0, Relaxed));
    occurrences.iter().for_each(|count| count.store(0, Relaxed));
    let is_binary = plan.values.weight == Weight::Binary;
    let accepted = (0..plan.places.len()).filter_map(|row| match plan.places.get(row) {
        Some((segment, offset)) if segment == number => Some(offset),
        _ => None,
    });
    let mut passage = Passage::over_records();
    for record in accepted.filter_map(|offset| segment.record_in_order(offset, &mut passage)) {
        if has_ended() {
            return;
        }
        for (id, count) in row::pairs(record.row()) {
            if let Some(documents) = columns.get(id as usize) {
                documents.store(documents.load(Relaxed) + 1, Relaxed);
            }
            if let Some(occurrences) = occurrences.get(id as usize) {
                let count = if is_binary { 1 } else { count as u64 };
                occurrences.store(occurrences.load(Relaxed) + count, Relaxed);
            }
        }
    }
}

/// Counts how often each column of a merged output occurs.
fn count_occurrences(plan: &MatrixPlan, output: &dyn CountedRows, occurrences: &[AtomicU64]) {
    occurrences.iter().for_each(|count| count.store(0, Relaxed));
    let is_binary = plan.values.weight == Weight::Binary;
    let mut cells = Vec::new();
    for row in 0..output.rows() {
        output.cells(row, &mut cells);
        for &(column, count) in &cells {
            if let Some(occurrences) = occurrences.get(column as usize) {
                let count = if is_binary { 1 } else { count as u64 };
                occurrences.store(occurrences.load(Relaxed) + count, Relaxed);
            }
        }
    }
}

/// Sorts the words or terms of run `number` into its tables. Its segment is counted before. A term that occurs in no
/// accepted row is left out.
///
/// # Errors
/// If another worker of this process has begun this run and not finished, or if the disk is full.
pub(crate) fn sort(plan: &MatrixPlan, tier: Tier, number: usize) -> io::Result<()> {
    let run = &plan.dictionary(tier).runs[number];
    let segment = &plan.segments[run.segment];
    let SegmentRows::Records(records) = &segment.rows else {
        // Its terms came in order. How often they occur was counted since.
        for (rank, count) in segment.occurrences.iter().enumerate() {
            run.sorted.set_occurrences(rank, count.load(Relaxed));
        }
        return Ok(());
    };
    match (&run.texts, plan.packing) {
        (Some(texts), _) => sort_spelled(run, records, segment, tier, texts),
        (None, Some(packing)) => {
            sort_ngrams(run, records, segment, packing);
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

/// The term `id` of the segment, which occurs in `documents` accepted rows. Words of n-grams have no occurrences.
fn sorted_term(segment: &SegmentPlan, tier: Tier, id: usize, documents: u32) -> SortedTerm {
    let occurrences = segment.occurrences.get(id).filter(|_| tier == Tier::Terms);
    SortedTerm { id: id as u32, documents, occurrences: occurrences.map_or(0, |count| count.load(Relaxed)) }
}

/// The number of accepted rows of the segment in which the term `id` occurs. Words of n-grams are not counted: 1.
#[inline]
fn documents(segment: &SegmentPlan, tier: Tier, id: usize) -> u32 {
    match tier {
        Tier::Words => 1,
        Tier::Terms => segment.columns.get(id).map_or(0, |documents| documents.load(Relaxed)),
    }
}

fn sort_spelled(
    run: &Run,
    segment: &Segment,
    plan: &SegmentPlan,
    tier: Tier,
    log: &Arc<Log>,
) -> io::Result<()> {
    if !log.committed().is_empty() {
        // By a worker that died before it could say so.
        return Ok(());
    }
    let mut writer = log.writer().ok_or(io::ErrorKind::ResourceBusy)?;
    // Together they lie nearer than between the rows.
    // As much as the run costs: a vector that grows would take up to twice as much.
    let mut texts = Vec::with_capacity(run.range.bytes);
    let mut starts = Vec::with_capacity(run.range.ids.len());
    let records = segment.records_from(run.range.start);
    for offset in records.flat_map(|record| record.term_offsets()).take(run.range.ids.len()) {
        starts.push(texts.len());
        push_term(&mut texts, term(segment.bytes(), offset));
    }
    let first = run.range.ids.start;
    let occurring = (0..starts.len()).filter(|&id| documents(plan, tier, first + id) > 0);
    let mut terms: Vec<(u64, u32)> = Vec::with_capacity(starts.len());
    terms.extend(occurring.map(|id| (0, id as u32)));
    let text = |id: u32| term(&texts, starts[id as usize]);
    sort_from(0, &mut terms, &text);
    run.sorted.expect(terms.len());
    for (rank, &(_, id)) in terms.iter().enumerate() {
        if let Some(&(_, later)) = terms.get(rank + AHEAD) {
            prefetch(&texts, starts[later as usize]);
        }
        let of_segment = first + id as usize;
        let sorted = sorted_term(plan, tier, of_segment, documents(plan, tier, of_segment));
        run.sorted.set(rank, &[writer.len() as u64], sorted);
        run.set_index(rank, prefix(text(id)));
        let start = starts[id as usize];
        writer.append(&texts[start..start + term_size(text(id).len())])?;
    }
    run.sorted.set_len(terms.len());
    writer.commit()
}

/// Sorts the n-grams of a run by their keys. It may be done again.
fn sort_ngrams(run: &Run, segment: &Segment, plan: &SegmentPlan, packing: Packing) {
    /// The first integer of an n-gram's key, the place of the others, and in how many documents it occurs.
    type Ngram = (u64, u32, u32);
    let ngrams = run.range.ids.len();
    let mut sorted: Vec<Ngram> = Vec::with_capacity(ngrams);
    let mut rests: Vec<u64> = Vec::with_capacity(ngrams * (packing.width() - 1));
    let mut key = vec![0; packing.width()];
    let rank = |word: u32| plan.ranks.get(word as usize).map_or(0, |rank| rank.load(Relaxed));
    let records = segment.records_from(run.range.start);
    for (id, words) in records.flat_map(Record::ngrams).take(run.range.ids.len()).enumerate() {
        packing.pack(ngram::word_ids(words).map(rank), &mut key);
        let (first, rest) = (key[0], &key[1..]);
        rests.extend_from_slice(rest);
        let documents = documents(plan, Tier::Terms, run.range.ids.start + id);
        if documents > 0 {
            sorted.push((first, id as u32, documents));
        }
    }
    sorted.sort_unstable_by_key(|&(first, ..)| first);
    let width = key.len() - 1;
    let rest = |id: u32| &rests[id as usize * width..][..width];
    if width > 0 {
        for same in sorted.chunk_by_mut(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            same.sort_unstable_by_key(|&(_, id, _)| rest(id));
        }
    }
    run.sorted.expect(sorted.len());
    for (place, &(first, id, documents)) in sorted.iter().enumerate() {
        let of_segment = run.range.ids.start + id as usize;
        key[0] = first;
        key[1..].copy_from_slice(rest(id));
        run.set_index(place, first);
        run.sorted.set(place, &key, sorted_term(plan, Tier::Terms, of_segment, documents));
    }
    run.sorted.set_len(sorted.len());
}

/// How many elements ahead bytes at random places are prefetched.
const AHEAD: usize = 8;

/// Maximum number of bytes of a term that are compared eight at a time.
const DEEPEST: usize = 64;

/// Sorts terms that are equal in their first `depth` bytes: by the next eight bytes as a number, then recursively terms
/// with equal numbers (Bentley and Sedgewick, Fast Algorithms for Sorting and Searching Strings, 1997, with
/// eight bytes for a letter). The numbers beside the ids are scratch space.
fn sort_from<'a>(depth: usize, terms: &mut [(u64, u32)], text: &impl Fn(u32) -> &'a [u8]) {
    for (key, id) in terms.iter_mut() {
        *key = prefix(text(*id).get(depth..).unwrap_or_default());
    }
    terms.sort_unstable_by_key(|&(key, _)| key);
    let next = depth + size_of::<u64>();
    for same in terms.chunk_by_mut(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
        if next < DEEPEST && same.iter().any(|&(_, id)| text(id).len() > next) {
            sort_from(next, same, text);
        } else {
            // Very long terms, or terms that differ only in zeroes at their ends.
            same.sort_unstable_by_key(|&(_, id)| text(id));
        }
    }
}

fn term(bytes: &[u8], offset: usize) -> &[u8] {
    term_at(bytes, offset).unwrap_or_default()
}

/// The first term of a run that is not merged yet.
struct Head<'a> {
    prefix: u64,
    key: Key<'a>,
    run: usize,
    rank: usize,
    /// The ranks of the run's part end here.
    end: usize,
}

impl<'a> Head<'a> {
    fn new(runs: &'a [Run], run: usize, rank: usize, end: usize, passages: &mut Passages) -> Option<Self> {
        let key = (rank < end).then(|| runs[run].key_in_order(rank, &mut passages[run]))?;
        Some(Head { prefix: key.prefix(), key, run, rank, end })
    }

    /// The term behind it in its run.
    fn next(&self, runs: &'a [Run], passages: &mut Passages) -> Option<Self> {
        Head::new(runs, self.run, self.rank + 1, self.end, passages)
    }

    /// Compares the terms.
    fn cmp_terms(&self, other: &Self) -> Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| self.key.cmp_behind_prefix(&other.key))
    }
}

// The greatest of a heap is the least term, of the first run between equals.
impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.cmp_terms(self).then_with(|| other.run.cmp(&self.run))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

/// Merges the words or terms with these prefixes over all runs: those that enough documents have become the merged ones
/// from `first` on. Returns how many there were, and how many of them were kept. A heap holds the first term of each run
/// that is not merged yet (Knuth, The Art of Computer Programming, 5.4.1), so the memory depends on the number of runs
/// only.
pub(crate) fn merge(plan: &MatrixPlan, tier: Tier, prefixes: Range<u64>, first: usize) -> (u64, u64) {
    let dictionary = plan.dictionary(tier);
    let Dictionary { runs, merged: all } = dictionary;
    let mut passages = dictionary.passages();
    let heads = runs.iter().enumerate().filter_map(|(number, run)| {
        let ranks = run.ranks(&prefixes);
        Head::new(runs, number, ranks.start, ranks.end, &mut passages)
    });
    let mut heads: BinaryHeap<Head> = heads.collect();
    let (mut found, mut kept, mut speller) = (0, 0, Speller::new(plan));
    // The runs that contain the least term, and its rank in each.
    let mut same: Vec<(usize, usize)> = Vec::with_capacity(heads.len());
    while let Some(&Head { prefix, key, run, rank, end }) = heads.peek() {
        let least = Head { prefix, key, run, rank, end };
        let place = runs[run].place(rank);
        let mut merged = MergedTerm { run: run as u32, place, documents: 0, occurrences: 0 };
        same.clear();
        while let Some(mut head) = heads.peek_mut().filter(|head| head.cmp_terms(&least).is_eq()) {
            let term = runs[head.run].sorted.get(head.rank);
            merged.documents += term.documents;
            merged.occurrences += term.occurrences;
            same.push((head.run, head.rank));
            match head.next(runs, &mut passages) {
                Some(next) => *head = next,
                None => _ = PeekMut::pop(head),
            }
        }
        found += 1;
        let is_kept = tier == Tier::Words || plan.kept.contains(&(merged.documents as f64));
        let number = match plan.numbering {
            _ if !is_kept => NO_COLUMN,
            Numbering::LocalIdsOfBuckets(buckets) if tier == Tier::Terms => {
                buckets.bucket(speller.spell_key(key))
            }
            _ => kept as u32,
        };
        for &(run, rank) in &same {
            runs[run].merged[rank].store(number, Relaxed);
        }
        if is_kept {
            all.set(first + kept as usize, merged);
            kept += 1;
        }
    }
    (found, kept)
}

/// Sets the ranks and spellings of the words, or the columns of the local ids of the terms, with these prefixes: `base` plus the place in
/// the part.
pub(crate) fn number(plan: &MatrixPlan, tier: Tier, prefixes: Range<u64>, base: u32) {
    for run in &plan.dictionary(tier).runs {
        let numbers = plan.segments[run.segment].numbers(tier);
        let mut passages = RunPassages::default();
        for rank in run.ranks(&prefixes) {
            run.pass(rank, &mut passages);
            let number = match run.merged[rank].load(Relaxed) {
                NO_COLUMN => NO_COLUMN,
                place => base + place,
            };
            numbers[run.sorted.get(rank).id as usize].store(number, Relaxed);
            if let (Tier::Words, Key::Spelled(word)) = (tier, run.key_in_order(rank, &mut passages)) {
                plan.spellings.set(number as usize, word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_as_bytes_do(terms in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![8 => Just(b'a'), 1 => Just(0u8), 1 => any::<u8>()], 0..100), 0..60)) {
            let mut expected = terms.clone();
            expected.sort();
            let mut keys: Vec<(u64, u32)> = (0..terms.len() as u32).map(|id| (0, id)).collect();
            sort_from(0, &mut keys, &|id| terms[id as usize].as_slice());
            let sorted: Vec<_> = keys.iter().map(|&(_, id)| terms[id as usize].clone()).collect();
            prop_assert_eq!(sorted, expected);
        }
    }
}
