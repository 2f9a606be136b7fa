//! Segments in shared memory and in files.

use super::*;
use crate::row;

fn outcome<'a>(ordinal: u32, row: &'a [u32], terms: &'a [u8], new_terms: u32) -> Outcome<'a> {
    Outcome {
        key: Key { split: 3, ordinal },
        source: Source { bytes: 5, modified: -1 },
        failure: None,
        tokens: 9,
        absence: 0,
        unknown: 2,
        row,
        nonzeros: row.len() as u32,
        terms: NewTerms { bytes: terms, number: new_terms },
        ngrams: NewNgrams::default(),
        about: b"",
    }
}

#[test]
fn what_goes_in_comes_out() {
    let mut writer = SegmentWriter::new(100_000, &Store::unlimited()).unwrap();
    let segment = writer.segment();
    let mut terms = Vec::new();
    let long = "x".repeat(300);
    for term in ["a", "", &long] {
        push_term(&mut terms, term.as_bytes());
    }
    writer.commit(&outcome(0, &[1, 2, 3], &terms, 3)).unwrap();
    let failed = Outcome { failure: Some(Failure::Killed(11)), ..outcome(1, &[], &[], 0) };
    writer.commit(&failed).unwrap();

    let records: Vec<_> = segment.records().collect();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].row(), [1, 2, 3]);
    let found: Vec<_> = records[0].term_offsets().map(|at| term_at(segment.bytes(), at).unwrap()).collect();
    assert_eq!(found, [&b"a"[..], b"", long.as_bytes()]);
    assert_eq!(records[1].key(), Key { split: 3, ordinal: 1 });
    assert_eq!(records[1].failure(), Some(Failure::Killed(11)));
    assert_eq!(records[0].source(), Source { bytes: 5, modified: -1 });
    assert!(records.iter().all(Record::is_intact));
}

#[test]
fn a_full_segment_says_so_and_stays_whole() {
    let mut writer = SegmentWriter::new(HEADER * 2, &Store::unlimited()).unwrap();
    let segment = writer.segment();
    writer.commit(&outcome(0, &[1, 2], b"", 0)).unwrap();
    let refused = writer.commit(&outcome(1, &[1, 2], b"", 0));
    assert!(matches!(refused, Err(AppendError::Full)));
    assert_eq!(segment.records().count(), 1);
}

#[test]
fn a_sealed_segment_ends_with_its_last_whole_record() {
    let mut writer = SegmentWriter::new(100_000, &Store::unlimited()).unwrap();
    let segment = writer.segment();
    writer.commit(&outcome(0, &[1, 2], b"", 0)).unwrap();
    let whole = segment.bytes().len();
    // A wild write may leave such bytes.
    writer.log.append(&segment.bytes()[..HEADER]).unwrap();
    writer.log.append(&[1; 8]).unwrap();
    writer.log.commit().unwrap();
    assert_eq!(segment.records().count(), 2);
    assert!(!segment.seal() && segment.seal());
    assert_eq!((segment.records().count(), segment.bytes().len()), (1, whole));
}

#[test]
fn a_recovered_segment_has_the_records_that_make_sense() {
    let (path, store) = (tempfile::NamedTempFile::new().unwrap(), Store::unlimited());
    let (mut terms, mut packed) = (Vec::new(), Vec::new());
    push_term(&mut terms, b"a");
    push_term(&mut terms, "\u{e9}".as_bytes());
    row::push(&mut packed, 1, 5);
    let row = packed;
    let good = outcome(0, &row, &terms, 2);
    let bad = [
        Outcome { terms: NewTerms { bytes: b"\x01\xFF\x01b", number: 2 }, ..good },
        Outcome { terms: NewTerms { number: 1, ..good.terms }, ..good },
        Outcome { terms: NewTerms { number: 3, ..good.terms }, ..good },
        Outcome { terms: NewTerms::default(), row: &[5 << 4], ..good },
        Outcome { nonzeros: 2, ..good },
        Outcome { ngrams: NewNgrams { list: &[], number: 1 }, ..good },
        Outcome { ngrams: NewNgrams { list: &[9, 1 << 31 | 1], number: 1 }, ..good },
    ];
    for bad in bad {
        let mut writer = SegmentWriter::new_in(path.reopen().unwrap(), &store).unwrap();
        for outcome in [&good, &bad, &good] {
            writer.commit(outcome).unwrap();
        }
        drop(writer);
        let found = Segment::recover(&path.reopen().unwrap(), RowNumbers::Terms, &store).unwrap();
        assert_eq!(found.records().count(), 1, "{bad:?}");
        for numbers in [RowNumbers::Columns(1), RowNumbers::Ngrams] {
            let none = Segment::recover(&path.reopen().unwrap(), numbers, &store).unwrap();
            assert_eq!(none.records().count(), 0, "its number is no column and no n-gram");
        }
        path.as_file().set_len(0).unwrap();
    }
}

#[test]
fn no_record_begins_at_an_odd_place() {
    let mut writer = SegmentWriter::new(1000, &Store::unlimited()).unwrap();
    let segment = writer.segment();
    writer.commit(&outcome(0, &[1, 2], b"", 0)).unwrap();
    let mut words = [0u64; 20];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    for offset in 1..8 {
        bytes[offset..][..segment.bytes().len()].copy_from_slice(segment.bytes());
        assert!(Record::at(bytes, offset).is_none(), "{offset}");
    }
}

#[test]
fn nonsense_ends_the_records() {
    for byte in 0..HEADER * 2 {
        let mut writer = SegmentWriter::new(1000, &Store::unlimited()).unwrap();
        let segment = writer.segment();
        let mut terms = Vec::new();
        push_term(&mut terms, b"term");
        writer.commit(&outcome(0, &[1, 2], &terms, 1)).unwrap();
        let mut bytes = segment.bytes().to_vec();
        if let Some(byte) = bytes.get_mut(byte) {
            *byte ^= 0xFF;
        }
        // A damaged record never causes a panic and is never intact.
        if let Some(record) = Record::at(&bytes, 0) {
            assert_eq!(record.is_intact(), byte >= bytes.len());
            assert!(record.row().len() <= 1000 && record.term_offsets().count() <= 1000);
        }
    }
}
