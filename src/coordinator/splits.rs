//! The input cut into splits.
//!
//! Files are cut into batches by guided self-scheduling (Polychronopoulos and Kuck, 1987): large ones first, so that there
//! are few messages; small ones last, so that all workers end together. A record file is cut into ranges of its bytes. The
//! ranges depend only on the file, so that another run, with any number of workers, can go on from a checkpoint.

use crate::corpus::RecordFile;
use bowline_workers::split::{RecordFormat, RecordRange, Split, SplitKind};

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
