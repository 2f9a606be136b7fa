//! A segment's terms sorted by their bytes, with the number of its documents that each occurs in.
//!
//! Only rows that were accepted count, so a record that was redone elsewhere leaves no trace. Byte order is code
//! point order, which is how scikit-learn sorts its vocabulary.

use crate::plan::{Plan, SortedTerm, Weight, prefix};
use crate::row;
use crate::segment::{Record, term_at};

/// Sorts the terms of segment `number` into its table and returns how many there are. A term that occurs in no
/// accepted row is left out.
pub fn sort(plan: &Plan, number: usize) -> u64 {
    let segment = &plan.segments[number];
    let bytes = segment.segment.bytes();
    let offsets: Vec<usize> = segment.segment.records().flat_map(|record| record.term_offsets()).collect();
    let counts = Counts::of(plan, number, offsets.len());

    let mut terms: Vec<(u128, u32)> = (0..offsets.len() as u32)
        .filter(|&id| counts.documents[id as usize] > 0)
        .map(|id| (key(term(bytes, offsets[id as usize])), id))
        .collect();
    terms.sort_unstable_by(|a, b| {
        let rest = |id: u32| term(bytes, offsets[id as usize]);
        a.0.cmp(&b.0).then_with(|| rest(a.1).cmp(rest(b.1)))
    });
    for (rank, &(key, id)) in terms.iter().enumerate() {
        let term = SortedTerm {
            prefix: (key >> 64) as u64,
            offset: offsets[id as usize] as u64,
            id,
            documents: counts.documents[id as usize],
            occurrences: counts.occurrences.get(id as usize).copied().unwrap_or(0),
        };
        segment.sorted.set(rank, term);
    }
    terms.len() as u64
}

/// What is counted of each local id.
struct Counts {
    documents: Vec<u32>,
    /// Empty if the plan doesn't ask for them.
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

/// The first sixteen bytes, as `prefix` makes a number of eight.
fn key(term: &[u8]) -> u128 {
    (prefix(term) as u128) << 64 | prefix(term.get(8..).unwrap_or_default()) as u128
}
