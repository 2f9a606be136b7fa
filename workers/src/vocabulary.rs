//! Merges the terms of all segments into one vocabulary. First each segment's terms are sorted, then each range of
//! prefixes is merged over all segments, then local ids get their columns. All three steps run in parallel.
//!
//! Only accepted rows count, so a record that another worker replaced has no effect: the result depends only on the
//! terms and their counts, not on the segment of a term. Byte order is code point order, which is how scikit-learn sorts
//! its vocabulary.

use crate::lexicon::prefetch;
use crate::plan::{MergedTerm, NO_COLUMN, Numbering, Plan, SortedTerm, Weight, prefix};
use crate::row;
use crate::segment::{Record, push_term, term_at, term_size};
use std::cmp::Ordering;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// Sorts the terms of segment `number` into its tables. Omits terms that occur in no accepted row.
///
/// # Errors
/// If another worker of this process has begun this segment and not finished, or if the disk is full.
pub(crate) fn sort(plan: &Plan, number: usize) -> io::Result<()> {
    let segment = &plan.segments[number];
    if !segment.texts.committed().is_empty() {
        // A worker sorted it and died before its report.
        return Ok(());
    }
    let mut writer = segment.texts.writer().ok_or(io::ErrorKind::ResourceBusy)?;
    // A copy of the terms alone is denser in memory than the terms between the rows.
    let bytes = segment.segment.bytes();
    let (mut texts, mut starts) = (Vec::new(), Vec::new());
    for offset in segment.segment.records().flat_map(|record| record.term_offsets()) {
        starts.push(texts.len());
        push_term(&mut texts, term(bytes, offset));
    }
    let counts = Counts::of(plan, number, starts.len());

    let occurring = (0..starts.len() as u32).filter(|&id| counts.documents[id as usize] > 0);
    let mut terms: Vec<(u64, u32)> = occurring.map(|id| (0, id)).collect();
    let text = |id: u32| term(&texts, starts[id as usize]);
    sort_from(0, &mut terms, &text);
    segment.sorted.expect(terms.len());
    for (rank, &(_, id)) in terms.iter().enumerate() {
        if let Some(&(_, later)) = terms.get(rank + AHEAD) {
            prefetch(&texts, starts[later as usize]);
        }
        let sorted = SortedTerm {
            offset: writer.len() as u64,
            id,
            documents: counts.documents[id as usize],
            occurrences: counts.occurrences.get(id as usize).copied().unwrap_or(0),
        };
        segment.sorted.set(rank, sorted);
        let start = starts[id as usize];
        writer.append(&texts[start..start + term_size(text(id).len())])?;
    }
    segment.sorted.set_len(terms.len());
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

/// The counts of each local id.
struct Counts {
    documents: Vec<u32>,
    /// Empty if the plan does not count occurrences.
    occurrences: Vec<u64>,
}

impl Counts {
    fn of(plan: &Plan, number: usize, ids: usize) -> Self {
        let occurrences = if plan.counts_occurrences { vec![0; ids] } else { Vec::new() };
        let mut counts = Counts { documents: vec![0; ids], occurrences };
        let binary = plan.values.weight == Weight::Binary;
        for record in accepted(plan, number) {
            for (id, count) in row::pairs(record.row()) {
                if let Some(documents) = counts.documents.get_mut(id as usize) {
                    *documents += 1;
                }
                if let Some(occurrences) = counts.occurrences.get_mut(id as usize) {
                    *occurrences += if binary { 1 } else { count as u64 };
                }
            }
        }
        counts
    }
}

/// The accepted records of segment `number`.
fn accepted(plan: &Plan, number: usize) -> impl Iterator<Item = Record<'_>> {
    let bytes = plan.segments[number].segment.bytes();
    (0..plan.places.len()).filter_map(move |row| match plan.places.get(row) {
        Some((segment, offset)) if segment == number => Record::at(bytes, offset),
        _ => None,
    })
}

fn term(bytes: &[u8], offset: usize) -> &[u8] {
    term_at(bytes, offset).unwrap_or_default()
}

/// A sorted term of one segment, to be merged.
#[derive(Clone, Copy)]
struct Candidate {
    prefix: u64,
    segment: u32,
    rank: u32,
}

impl Candidate {
    fn bytes<'a>(&self, plan: &'a Plan) -> &'a [u8] {
        plan.segments[self.segment as usize].text(self.rank as usize)
    }

    fn compare(&self, other: &Self, plan: &Plan) -> Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| self.bytes(plan).cmp(other.bytes(plan)))
    }
}

/// Merges the terms with these prefixes over all segments. Terms whose document frequency is within the limits become
/// the plan's terms from index `first` on. Returns the number of distinct terms and the number of kept terms.
pub(crate) fn merge(plan: &Plan, prefixes: Range<u64>, first: usize) -> (u64, u64) {
    let mut candidates = Vec::new();
    for (number, segment) in plan.segments.iter().enumerate() {
        candidates.extend(segment.ranks(&prefixes).map(|rank| Candidate {
            prefix: prefix(segment.text(rank)),
            segment: number as u32,
            rank: rank as u32,
        }));
    }
    // The standard library's stable sort detects sorted runs and merges them (Peters and Hass, driftsort, 2024). Each
    // segment is one run.
    candidates.sort_by(|a, b| a.compare(b, plan));
    let (mut found, mut kept) = (0, 0);
    for same in candidates.chunk_by(|a, b| a.compare(b, plan).is_eq()) {
        let sorted = |candidate: &Candidate| {
            plan.segments[candidate.segment as usize].sorted.get(candidate.rank as usize)
        };
        let mut merged = MergedTerm {
            segment: same[0].segment,
            offset: sorted(&same[0]).offset,
            documents: 0,
            occurrences: 0,
        };
        for term in same.iter().map(sorted) {
            merged.documents += term.documents;
            merged.occurrences += term.occurrences;
        }
        found += 1;
        let is_kept = plan.kept.contains(&(merged.documents as f64));
        let number = match plan.numbering {
            _ if !is_kept => NO_COLUMN,
            Numbering::LocalIdsOfBuckets(buckets) => buckets.bucket(plan.term(&merged)),
            Numbering::LocalIds | Numbering::Columns => kept as u32,
        };
        for candidate in same {
            let segment = &plan.segments[candidate.segment as usize];
            segment.merged[candidate.rank as usize].store(number, Relaxed);
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
    for segment in &plan.segments {
        for rank in segment.ranks(&prefixes) {
            let number = match segment.merged[rank].load(Relaxed) {
                NO_COLUMN => NO_COLUMN,
                place => base + place,
            };
            segment.columns[segment.sorted.get(rank).id as usize].store(number, Relaxed);
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
