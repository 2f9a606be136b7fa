//! A segment's terms sorted by their bytes, with the number of its documents that each occurs in.
//!
//! Only rows that were accepted count, so a record that was redone elsewhere leaves no trace. Byte order is code
//! point order, which is how scikit-learn sorts its vocabulary.

use crate::plan::{Plan, SortedTerm, prefix};
use crate::row;
use crate::segment::{Record, term_at};

/// Sorts the terms of segment `number` into its table and returns how many there are. A term that occurs in no
/// accepted row is left out.
pub fn sort(plan: &Plan, number: usize) -> u64 {
    let segment = &plan.segments[number];
    let bytes = segment.segment.bytes();
    let offsets: Vec<usize> = segment.segment.records().flat_map(|record| record.term_offsets()).collect();
    let documents = document_frequencies(plan, number, offsets.len());

    let mut terms: Vec<(u128, u32)> = (0..offsets.len() as u32)
        .filter(|&id| documents[id as usize] > 0)
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
            documents: documents[id as usize],
        };
        segment.sorted.set(rank, term);
    }
    terms.len() as u64
}

/// In how many accepted rows of the segment each local id occurs.
fn document_frequencies(plan: &Plan, number: usize, ids: usize) -> Vec<u32> {
    let bytes = plan.segments[number].segment.bytes();
    let mut documents = vec![0; ids];
    for row in 0..plan.places.len() {
        let Some((segment, offset)) = plan.places.get(row) else { continue };
        if segment != number {
            continue;
        }
        let Some(record) = Record::at(bytes, offset) else { continue };
        for (id, _) in row::pairs(record.row()) {
            if let Some(count) = documents.get_mut(id as usize) {
                *count += 1;
            }
        }
    }
    documents
}

fn term(bytes: &[u8], offset: usize) -> &[u8] {
    term_at(bytes, offset).unwrap_or_default()
}

/// The first sixteen bytes, as `prefix` makes a number of eight.
fn key(term: &[u8]) -> u128 {
    (prefix(term) as u128) << 64 | prefix(term.get(8..).unwrap_or_default()) as u128
}
