//! The input cut into splits.
//!
//! Files are cut into batches by guided self-scheduling (Polychronopoulos and Kuck, 1987): large ones first, so that there
//! are few messages; small ones last, so that all workers end together. A record file is cut into ranges of its bytes. The
//! ranges depend only on the file, so that another run, with any number of workers, can go on from a checkpoint.

use crate::corpus::RecordFile;
use bowline_workers::split::{RecordFormat, RecordRange, Split, SplitKind};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Documents in the largest batch.
const LARGEST: usize = 256;

/// Bytes of the smallest and of the largest range that a file is cut into: 1 and 64 MiB.
const RANGE_BYTES: [u64; 2] = [1 << 20, 64 << 20];

/// Cuts `files` files, of which `records` are record files, into splits for `workers` workers. Every document is in exactly
/// one split, and the order of splits is that of documents. Only if `cuts_text`, line ends can be found in the middle of a
/// text file: it is in UTF-8.
pub fn cut(files: usize, records: &[RecordFile], workers: usize, cuts_text: bool) -> Vec<Split> {
    let mut splits = Vec::new();
    let mut first = 0;
    let ends = records.iter().map(|record| record.file).chain([files]);
    for (end, record) in ends.zip(records.iter().map(Some).chain([None])) {
        while first < end {
            let size = ((files - first) / (4 * workers)).clamp(1, LARGEST).min(end - first);
            splits.push(Split { file: first as u64, kind: SplitKind::Files(size as u32) });
            first += size;
        }
        if let Some(record) = record {
            splits.extend(ranges(record, cuts_text));
            first = record.file + 1;
        }
    }
    splits
}

/// One of several parts of a corpus, which follow each other in the order of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shard {
    /// Its number, from 1.
    pub part: u32,
    /// How many parts there are.
    pub of: u32,
}

/// Bytes that a file of one document counts for when a corpus is divided. Sizes of files are not known.
const FILE_BYTES: u64 = 4 << 10;

/// As [`cut`], for one part of the corpus only. Which documents it has depends on the corpus alone. A part has about as many
/// bytes of record files, and as many other files, as each other one. Record files are divided where they are cut into ranges,
/// but for CSV files, whose ranges can't be read alone.
pub fn cut_shard(
    shard: Shard,
    files: usize,
    records: &[RecordFile],
    workers: usize,
    cuts_text: bool,
) -> Vec<Split> {
    let all = cut(files, records, 1, cuts_text);
    let is_one = |a: &Split, b: &Split| {
        let is_table = a.records().is_some_and(|range| range.format.is_table());
        is_table && a.file == b.file
    };
    let bytes = |splits: &[Split]| -> u64 {
        let each = splits.iter().map(|split| match split.kind {
            SplitKind::Files(files) => u64::from(files) * FILE_BYTES,
            SplitKind::Records(range) => range.bytes().max(1),
        });
        each.sum()
    };
    let total = bytes(&all);
    let mut before = 0;
    // Whether the next unit of so many bytes is in the part. Where its middle lies decides, so that the parts of a corpus of equal
    // files are as equal as they can be.
    let mut is_mine = |size: u64| {
        let middle = u128::from(before) * 2 + u128::from(size);
        before += size;
        middle * u128::from(shard.of) / (u128::from(total) * 2) == u128::from(shard.part - 1)
    };
    // Neighbouring files, which become batches for the workers.
    let mut files: Range<u64> = 0..0;
    let mut splits = Vec::new();
    let flush = |files: &mut Range<u64>, splits: &mut Vec<Split>| {
        let batches = cut((files.end - files.start) as usize, &[], workers, cuts_text);
        splits.extend(batches.into_iter().map(|split| Split { file: files.start + split.file, ..split }));
        files.start = files.end;
    };
    for unit in all.chunk_by(is_one) {
        let SplitKind::Files(batch) = unit[0].kind else {
            if is_mine(bytes(unit)) {
                flush(&mut files, &mut splits);
                splits.extend_from_slice(unit);
            }
            continue;
        };
        for file in (unit[0].file..).take(batch as usize).filter(|_| is_mine(FILE_BYTES)) {
            if file != files.end {
                flush(&mut files, &mut splits);
                files.start = file;
            }
            files.end = file + 1;
        }
    }
    flush(&mut files, &mut splits);
    splits
}

/// The ranges of a record file.
fn ranges(record: &RecordFile, cuts_text: bool) -> impl Iterator<Item = Split> {
    let &RecordFile { file, format, compression, source } = record;
    let parts = match format {
        _ if compression.is_some() => 1,
        RecordFormat::Tar => 1,
        // The pages before the range are passed over in each.
        RecordFormat::Parquet | RecordFormat::Zip => 16,
        _ if !cuts_text => 1,
        RecordFormat::Lines | RecordFormat::Jsonl | RecordFormat::Csv | RecordFormat::Tsv => 64,
    };
    let [least, most] = RANGE_BYTES;
    let size = match parts {
        1 => u64::MAX,
        parts => (source.bytes / parts).clamp(least, most),
    };
    let number = source.bytes.div_ceil(size).max(1);
    (0..number).map(move |part| {
        let start = part * size;
        // Bytes behind the end that was stated are seen by who reads the last range.
        let end = if part + 1 == number { u64::MAX } else { start + size };
        let range = RecordRange { format, compression, start, end, source };
        Split { file: file as u64, kind: SplitKind::Records(range) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_workers::documents::Source;

    #[test]
    fn batches_cover_the_corpus_once() {
        for documents in (0..300).chain([1000, 24_362]) {
            for workers in [1, 2, 3, 7, 13, 64] {
                let mut next = 0;
                for split in cut(documents, &[], workers, true) {
                    let files = split.documents().expect("a batch");
                    assert_eq!(split.file, next);
                    assert!(files >= 1 && files as usize <= LARGEST);
                    next += u64::from(files);
                }
                assert_eq!(next, documents as u64);
            }
        }
    }

    #[test]
    fn shards_are_the_corpus_in_order() {
        let record = |file, bytes, format| RecordFile {
            file,
            format,
            compression: None,
            source: Source { bytes, modified: 0 },
        };
        let (jsonl, csv) = (RecordFormat::Jsonl, RecordFormat::Csv);
        let corpora: [(usize, Vec<RecordFile>); 5] = [
            (0, vec![]),
            (1, vec![]),
            (1000, vec![]),
            (6, vec![record(0, 9 << 20, jsonl), record(3, 5 << 20, csv), record(5, 7, jsonl)]),
            (1, vec![record(0, 90 << 20, jsonl)]),
        ];
        for (files, records) in corpora {
            let range = |split: &Split| (split.file, split.records().map(|range| (range.start, range.end)));
            let files_of = |splits: &[Split]| -> Vec<_> {
                let each = splits.iter().flat_map(|split| {
                    (0..split.documents().unwrap_or(1)).map(|file| match split.records() {
                        None => (split.file + u64::from(file), None),
                        Some(_) => range(split),
                    })
                });
                each.collect()
            };
            let whole = files_of(&cut(files, &records, 2, true));
            for of in [1, 2, 3, 8] {
                for workers in [1, 2, 7] {
                    let shards = (1..=of)
                        .map(|part| files_of(&cut_shard(Shard { part, of }, files, &records, workers, true)));
                    let shards: Vec<_> = shards.collect();
                    assert_eq!(shards.concat(), whole);
                    if records.is_empty() && files > 0 {
                        let sizes = shards.iter().map(Vec::len);
                        assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
                    }
                    let has_csv = |shard: &&Vec<_>| shard.iter().any(|&(file, _): &(u64, _)| file == 3);
                    assert!(files != 6 || shards.iter().filter(has_csv).count() == 1);
                }
            }
        }
    }

    #[test]
    fn ranges_cover_a_file_once_and_files_stay_in_order() {
        let record = |file, bytes| RecordFile {
            file,
            format: RecordFormat::Jsonl,
            compression: None,
            source: Source { bytes, modified: 0 },
        };
        for bytes in [0, 1, 1 << 20, (1 << 20) + 1, 100 << 20, 20 << 30] {
            let splits = cut(6, &[record(0, bytes), record(3, bytes), record(5, 7)], 2, true);
            let mut files: Vec<u64> = splits.iter().map(|split| split.file).collect();
            assert!(files.is_sorted());
            files.dedup();
            let ranges: Vec<_> = splits.iter().filter(|split| split.file == 3).collect();
            let ranges: Vec<_> = ranges.iter().map(|split| split.records().expect("a range")).collect();
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, u64::MAX));
            assert!(ranges.windows(2).all(|two| two[0].end == two[1].start));
            assert!(ranges.iter().all(|range| range.start < range.end && range.start <= bytes));
            let documents: u32 = splits.iter().filter_map(Split::documents).sum();
            assert_eq!(documents, 3);
        }
    }
}
