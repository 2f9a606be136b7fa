//! Any bytes as a segment, as after a wild write of a worker: no record extends beyond them.
//!
//! Two bytes are an offset to look for a record, in addition to the beginning; the rest is the segment. The segment is
//! also recovered from a file, with all checksums corrected: the records that a later run takes over must be valid.

use super::files::unnamed;
use bowline_workers::mapped::Store;
use bowline_workers::row;
use bowline_workers::segment::{Record, RowNumbers, Segment, records, term_at};

/// The offset of a record's size in the record.
const SIZE: usize = 48;

/// Reads the records of one segment. Returns how many of them were recovered, for all meanings of rows' numbers together.
pub fn run(data: &[u8]) -> usize {
    let Some((&place, rest)) = data.split_first_chunk() else { return 0 };
    // A map begins at a page, so its address is a multiple of 8.
    let mut words = vec![0u64; rest.len().div_ceil(8)];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    bytes[..rest.len()].copy_from_slice(rest);
    let bytes = &bytes[..rest.len()];
    let mut end = 0;
    for record in records(bytes) {
        assert!(record.offset() >= end, "records do not overlap");
        end = record.offset() + 1;
        look(bytes, record);
    }
    if let Some(record) = Record::at(bytes, u16::from_le_bytes(place) as usize) {
        look(bytes, record);
    }
    let numbers = [RowNumbers::Terms, RowNumbers::Ngrams, RowNumbers::Columns(1000)];
    numbers.into_iter().map(|numbers| recover(with_checksums(bytes), numbers)).sum()
}

/// The bytes with each record's checksum corrected.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    for record in records(bytes) {
        let Some(size) = bytes.get(record.offset() + SIZE..).and_then(|rest| rest.first_chunk()) else {
            continue;
        };
        let end = record.offset() + u64::from_ne_bytes(*size) as usize;
        let checksum = crc32fast::hash(&bytes[record.offset() + 4..end]);
        mended[record.offset()..][..4].copy_from_slice(&checksum.to_ne_bytes());
    }
    mended
}

/// Recovers a segment of these bytes and checks that its rows' numbers are columns, or local ids of earlier terms.
/// Returns the number of its records.
fn recover(bytes: Vec<u8>, numbers: RowNumbers) -> usize {
    let segment = Segment::recover(&unnamed(&bytes), numbers, &Store::unlimited()).expect("a segment");
    let (mut words, mut ngrams) = (0, 0);
    for record in segment.records() {
        words += record.new_terms() as u64;
        ngrams += record.new_ngrams() as u64;
        let numbers = match numbers {
            RowNumbers::Columns(columns) => columns,
            RowNumbers::Terms => words,
            RowNumbers::Ngrams => ngrams,
        };
        assert!(row::pairs(record.row()).all(|(number, _)| (number as u64) < numbers));
        let terms: Vec<_> = record.term_offsets().filter_map(|at| term_at(segment.bytes(), at)).collect();
        assert_eq!(terms.len(), record.new_terms() as usize);
        assert!(terms.iter().all(|term| std::str::from_utf8(term).is_ok()));
    }
    segment.records().count()
}

/// Calls all accessors of a record.
fn look(bytes: &[u8], record: Record) {
    assert!(record.row().len() * 4 <= bytes.len() && record.term_bytes() <= bytes.len());
    assert!(record.ngram_bytes() <= bytes.len());
    assert!(row::pairs(record.row()).count() <= record.row().len());
    for offset in record.term_offsets() {
        assert!(term_at(bytes, offset).is_some(), "a term lies in its segment");
    }
    assert!(record.failure().is_none_or(|failure| !failure.to_string().is_empty()));
    let _ = (
        record.key(),
        record.source(),
        record.tokens(),
        record.unknown(),
        record.nonzeros(),
        record.is_intact(),
    );
}
