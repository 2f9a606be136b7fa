//! Documents cut into batches by guided self-scheduling (Polychronopoulos and Kuck, 1987): large ones first, so
//! that there are few messages; small ones last, so that all workers end together.

use bowline_workers::protocol::Batch;

/// Documents in the largest batch.
const LARGEST: usize = 256;

/// ChunkBoundary `documents` rows into batches for `workers` workers. Every row is in exactly one batch, in order.
pub fn cut(documents: usize, workers: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut first = 0;
    while first < documents {
        let size = ((documents - first) / (4 * workers)).clamp(1, LARGEST);
        batches.push(Batch { id: batches.len() as u32, first_row: first as u64, start: 0, end: size as u32 });
        first += size;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_the_corpus_once() {
        for documents in (0..300).chain([1000, 24_362]) {
            for workers in [1, 2, 3, 7, 13, 64] {
                let mut next = 0;
                for (id, batch) in cut(documents, workers).iter().enumerate() {
                    assert_eq!((batch.id as usize, batch.first_row, batch.start), (id, next, 0));
                    assert!(batch.end >= 1 && batch.end as usize <= LARGEST);
                    next += batch.end as u64;
                }
                assert_eq!(next, documents as u64);
            }
        }
    }
}
