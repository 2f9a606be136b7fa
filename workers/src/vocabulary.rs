//! The segments' terms become one vocabulary: each run of a segment's terms is sorted, then each part of the alphabet is
//! merged over all runs, then local ids are numbered. All three run in parallel.
//!
//! Only accepted rows count, so a record that another worker replaced has no effect: the result depends only on the
//! terms and their counts, not on the segment of a term. Byte order is code point order, which is how scikit-learn sorts
//! its vocabulary.

use crate::lexicon::prefetch;
use crate::plan::{
    MergedTerm, NO_COLUMN, Numbering, Passages, Plan, RunPassages, SegmentPlan, SortedTerm, Weight, prefix,
};
use crate::row;
use crate::segment::{Record, push_term, term_at, term_size};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// Counts the documents of each local id of segment `number`, and where the plan asks for it how often it occurs. Only this
/// task writes to the segment's tables, so it may be done again.
pub(crate) fn count(plan: &Plan, number: usize) {
    let SegmentPlan { segment, columns, occurrences } = &plan.segments[number];
    columns.iter().for_each(|documents| documents.store(0, Relaxed));
    occurrences.iter().for_each(|count| count.store(0, Relaxed));
    let is_binary = plan.values.weight == Weight::Binary;
    let accepted = (0..plan.places.len()).filter_map(|row| match plan.places.get(row) {
        Some((segment, offset)) if segment == number => Some(offset),
        _ => None,
    });
    for record in accepted.filter_map(|offset| Record::at(segment.bytes(), offset)) {
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

/// Sorts the terms of run `number` into its tables. Its segment is counted before. A term that occurs in no accepted row is
/// left out.
///
/// # Errors
/// If another worker of this process has begun this run and not finished, or if the disk is full.
pub(crate) fn sort(plan: &Plan, number: usize) -> io::Result<()> {
    let run = &plan.runs[number];
    if !run.texts.committed().is_empty() {
        // By a worker that died before it could say so.
        return Ok(());
    }
    let mut writer = run.texts.writer().ok_or(io::ErrorKind::ResourceBusy)?;
    // Together they lie nearer than between the rows.
    let segment = &plan.segments[run.segment].segment;
    // As much as the run costs: a vector that grows would take up to twice as much.
    let mut texts = Vec::with_capacity(run.range.bytes);
    let mut starts = Vec::with_capacity(run.range.ids.len());
    let records = segment.records_from(run.range.start);
    for offset in records.flat_map(|record| record.term_offsets()).take(run.range.ids.len()) {
        starts.push(texts.len());
        push_term(&mut texts, term(segment.bytes(), offset));
    }
    let SegmentPlan { columns, occurrences, .. } = &plan.segments[run.segment];
    let documents = &columns[run.range.ids.clone()];
    let occurring = (0..starts.len() as u32).filter(|&id| documents[id as usize].load(Relaxed) > 0);
    let mut terms: Vec<(u64, u32)> = Vec::with_capacity(starts.len());
    terms.extend(occurring.map(|id| (0, id)));
    let text = |id: u32| term(&texts, starts[id as usize]);
    sort_from(0, &mut terms, &text);
    run.sorted.expect(terms.len());
    for (rank, &(_, id)) in terms.iter().enumerate() {
        if let Some(&(_, later)) = terms.get(rank + AHEAD) {
            prefetch(&texts, starts[later as usize]);
        }
        let of_segment = run.range.ids.start + id as usize;
        let sorted = SortedTerm {
            offset: writer.len() as u64,
            id: of_segment as u32,
            documents: documents[id as usize].load(Relaxed),
            occurrences: occurrences.get(of_segment).map_or(0, |count| count.load(Relaxed)),
        };
        run.sorted.set(rank, sorted);
        run.set_index(rank, text(id));
        let start = starts[id as usize];
        writer.append(&texts[start..start + term_size(text(id).len())])?;
    }
    run.sorted.set_len(terms.len());
    writer.commit()
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
    text: &'a [u8],
    run: usize,
    rank: usize,
    /// The ranks of the run's part end here.
    end: usize,
}

impl<'a> Head<'a> {
    fn new(plan: &'a Plan, run: usize, rank: usize, end: usize, passages: &mut Passages) -> Option<Self> {
        let text = (rank < end).then(|| plan.runs[run].text_in_order(rank, &mut passages.0[run]))?;
        Some(Head { prefix: prefix(text), text, run, rank, end })
    }

    /// The term behind it in its run.
    fn next(&self, plan: &'a Plan, passages: &mut Passages) -> Option<Self> {
        Head::new(plan, self.run, self.rank + 1, self.end, passages)
    }

    fn key(&self) -> (u64, &'a [u8], usize) {
        (self.prefix, self.text, self.run)
    }
}

// The greatest of a heap is the least term, of the first run between equals.
impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
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

/// Merges the terms with these prefixes over all runs: those that enough documents have become the plan's terms from
/// `first` on. Returns how many there were, and how many of them were kept. A heap holds the first term of each run that is
/// not merged yet (Knuth, The Art of Computer Programming, 5.4.1), so the memory depends on the number of runs only.
pub(crate) fn merge(plan: &Plan, prefixes: Range<u64>, first: usize) -> (u64, u64) {
    let mut passages = plan.passages();
    let heads = plan.runs.iter().enumerate().filter_map(|(number, run)| {
        let ranks = run.ranks(&prefixes);
        Head::new(plan, number, ranks.start, ranks.end, &mut passages)
    });
    let mut heads: BinaryHeap<Head> = heads.collect();
    let (mut found, mut kept) = (0, 0);
    // The runs that contain the least term, and its rank in each.
    let mut same: Vec<(usize, usize)> = Vec::with_capacity(heads.len());
    while let Some(least) = heads.peek() {
        let (key, text, run, rank) = (least.prefix, least.text, least.run, least.rank);
        let term = plan.runs[run].sorted.get(rank);
        let mut merged = MergedTerm { run: run as u32, offset: term.offset, documents: 0, occurrences: 0 };
        same.clear();
        while let Some(mut head) = heads.peek_mut().filter(|head| head.prefix == key && head.text == text) {
            let term = plan.runs[head.run].sorted.get(head.rank);
            merged.documents += term.documents;
            merged.occurrences += term.occurrences;
            same.push((head.run, head.rank));
            match head.next(plan, &mut passages) {
                Some(next) => *head = next,
                None => _ = PeekMut::pop(head),
            }
        }
        found += 1;
        let is_kept = plan.kept.contains(&(merged.documents as f64));
        let number = match plan.numbering {
            _ if !is_kept => NO_COLUMN,
            Numbering::LocalIdsOfBuckets(buckets) => buckets.bucket(text),
            Numbering::LocalIds | Numbering::Columns => kept as u32,
        };
        for &(run, rank) in &same {
            plan.runs[run].merged[rank].store(number, Relaxed);
        }
        if is_kept {
            plan.terms.set(first + kept as usize, merged);
            kept += 1;
        }
    }
    (found, kept)
}

/// Sets the columns of the local ids of the terms with these prefixes: `base` plus the term's place in its part.
pub(crate) fn number(plan: &Plan, prefixes: Range<u64>, base: u32) {
    for run in &plan.runs {
        let columns = &plan.segments[run.segment].columns;
        let mut passages = RunPassages::default();
        for rank in run.ranks(&prefixes) {
            run.pass(rank, &mut passages);
            let number = match run.merged[rank].load(Relaxed) {
                NO_COLUMN => NO_COLUMN,
                place => base + place,
            };
            columns[run.sorted.get(rank).id as usize].store(number, Relaxed);
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
