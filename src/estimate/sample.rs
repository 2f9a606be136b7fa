//! The sample: which splits of a corpus an estimate reads.
//!
//! Files are sorted by size, and every k-th one is taken, so that the sample has the sizes of the corpus. Of record files
//! that can be read from any place, short ranges are taken, evenly spaced over all of them. Of compressed files, tar
//! archives, CSV files and text in other encodings than UTF-8, only the beginning can be read alone. There is no chance in
//! it: the same corpus gives the same sample.

use crate::corpus::{Corpus, RecordFile};
use bowline_workers::opener::Opener;
use bowline_workers::split::{RecordFormat, RecordRange, Split, SplitKind};
use std::collections::BTreeSet;

/// A corpus of no more than this many bytes is read whole: 4 MiB.
const SMALL: u64 = 4 << 20;

/// The smallest and the largest sample in bytes, unless terms are costly: 2 and 32 MiB.
const BUDGET: [u64; 2] = [2 << 20, 32 << 20];

/// Files of a sample, unless it would be too large.
const FILES: usize = 30;

/// Bytes of a range of lines: 64 KiB.
pub(super) const RANGE: u64 = 64 << 10;

/// Bytes of the beginning of a file, at least: 256 KiB.
const BEGINNING: u64 = 256 << 10;

/// Files of which each is one document.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// How many there are.
    pub all: u64,
    /// How many of them are not too large for the sample, and their mean size in bytes.
    pub fitting: u64,
    pub mean_bytes: f64,
    /// The sizes of those in the sample, in the order of rows.
    pub sampled: Vec<u64>,
    /// Bytes of files too large for the sample.
    pub too_large: u64,
}

/// Record files that are sampled in the same way.
#[derive(Debug, Default)]
pub(super) struct Stratum {
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes of the ranges in the sample.
    pub sampled: u64,
    /// How much faster their vocabulary grows than that of the sample, whose documents are neighbours: what is added to the
    /// exponent, and what is added at most. Measured.
    pub alike: [f64; 2],
}

/// [`Stratum::alike`] of short ranges, of longer ones, and of beginnings.
const ALIKE: [[f64; 2]; 3] = [[0.03, 0.08], [0.1, 0.26], [0.12, 0.3]];

/// A part of a corpus.
#[derive(Debug)]
pub(super) struct Sample {
    /// What is read, in the order of rows.
    pub splits: Vec<Split>,
    /// Files of one document.
    pub files: Files,
    /// Record files of which ranges are read.
    pub ranges: Stratum,
    /// Record files of which the beginning is read.
    pub beginnings: Stratum,
    /// The numbers of those of them that are cut off: their last document may be broken.
    pub cut_off: BTreeSet<usize>,
}

/// About how many bytes of text a record file has.
fn text_bytes(record: &RecordFile) -> u64 {
    let factor = match record.format {
        _ if record.compression.is_some() => 5,
        RecordFormat::Parquet | RecordFormat::Zip => 3,
        _ => 1,
    };
    record.source.bytes.saturating_mul(factor)
}

/// Draws a sample of a corpus, smaller where its terms have this `cost`; `None` if the corpus is to be read whole.
/// `cuts_text` is whether text files can be read from any place.
pub(super) fn draw(corpus: &Corpus, cuts_text: bool, cost: u64) -> Option<Sample> {
    let records: BTreeSet<usize> = corpus.records.iter().map(|record| record.file).collect();
    let mut opener = Opener::default();
    let mut size = |file| opener.source(&corpus.documents, file).map_or(0, |source| source.bytes);
    let single = (0..corpus.documents.len()).filter(|file| !records.contains(file));
    let mut single: Vec<(u64, usize)> = single.map(|file| (size(file), file)).collect();
    let single_bytes: u64 = single.iter().map(|(bytes, _)| bytes).sum();
    let total = corpus.records.iter().map(text_bytes).fold(single_bytes, u64::saturating_add);
    if total <= SMALL / cost {
        return None;
    }
    let budget = (total / 10).clamp(BUDGET[0] / cost, BUDGET[1] / cost);
    let share = budget as f64 / total as f64;
    let has_place = |record: &&RecordFile| {
        record.compression.is_none()
            && match record.format {
                RecordFormat::Parquet | RecordFormat::Zip => true,
                RecordFormat::Lines | RecordFormat::Jsonl => cuts_text,
                RecordFormat::Csv | RecordFormat::Tsv | RecordFormat::Tar => false,
            }
    };
    let mut sample = Sample {
        splits: Vec::new(),
        files: Files::default(),
        ranges: Stratum::default(),
        beginnings: Stratum::default(),
        cut_off: BTreeSet::new(),
    };
    sample.take_files(&mut single, single_bytes, budget, share);
    sample.take_ranges(corpus.records.iter().filter(has_place), share);
    let beginnings: Vec<_> = corpus.records.iter().filter(|record| !has_place(record)).collect();
    sample.take_beginnings(&beginnings, share);
    sample.splits.sort_unstable_by_key(|split| (split.file, split.records().map(|range| range.start)));
    let whole = |stratum: &Stratum| stratum.sampled >= stratum.bytes;
    let is_all = sample.files.sampled.len() as u64 == sample.files.all
        && whole(&sample.ranges)
        && whole(&sample.beginnings);
    (!is_all).then_some(sample)
}

/// A range of a record file.
fn range(record: &RecordFile, start: u64, end: u64) -> Split {
    let &RecordFile { file, format, compression, source } = record;
    let end = if end >= source.bytes { u64::MAX } else { end };
    Split {
        file: file as u64,
        kind: SplitKind::Records(RecordRange { format, compression, start, end, source }),
    }
}

impl Sample {
    /// Takes every k-th file, in the order of their sizes.
    fn take_files(&mut self, all: &mut [(u64, usize)], bytes: u64, budget: u64, share: f64) {
        if all.is_empty() {
            return;
        }
        all.sort_unstable();
        let fitting = all.partition_point(|&(bytes, _)| bytes <= budget / 4).max(all.len().min(2));
        let fitting_bytes: u64 = all[..fitting].iter().map(|(bytes, _)| bytes).sum();
        let mean = (fitting_bytes / fitting as u64).max(1);
        let affordable = (2 * budget / mean).max(4) as usize;
        let wanted = ((fitting as f64 * share).ceil() as usize).max(FILES.min(affordable)).min(fitting);
        let mut taken: Vec<(usize, u64)> = (0..wanted)
            .map(|number| all[(2 * number + 1) * fitting / (2 * wanted)])
            .map(|(bytes, file)| (file, bytes))
            .collect();
        taken.sort_unstable();
        for files in taken.chunk_by(|one, next| one.0 + 1 == next.0) {
            for some in files.chunks(256) {
                let kind = SplitKind::Files(some.len() as u32);
                self.splits.push(Split { file: some[0].0 as u64, kind });
            }
        }
        self.files = Files {
            all: all.len() as u64,
            fitting: fitting as u64,
            mean_bytes: fitting_bytes as f64 / fitting as f64,
            sampled: taken.into_iter().map(|(_, bytes)| bytes).collect(),
            too_large: bytes.saturating_sub(fitting_bytes),
        };
    }

    /// Takes ranges that are evenly spaced over the bytes of all files.
    fn take_ranges<'a>(&mut self, files: impl Iterator<Item = &'a RecordFile> + Clone, share: f64) {
        let bytes: u64 = files.clone().map(|record| record.source.bytes).sum();
        let is_binary =
            |record: &RecordFile| matches!(record.format, RecordFormat::Parquet | RecordFormat::Zip);
        let wanted = (bytes as f64 * share) as u64;
        // Each range of a Parquet file decodes pages before it.
        let (size, alike) = match files.clone().any(is_binary) {
            true => (RANGE.max(wanted / 16), ALIKE[1]),
            false => (RANGE, ALIKE[0]),
        };
        let number = wanted.div_ceil(size).max(16);
        let takes_all = number * size >= bytes;
        let mut sampled = 0;
        let (mut before, mut next) = (0, 0);
        // The first range begins with the first file, so that it has a document however long documents are. The others are
        // displaced, each by a fixed part of the space between two, so that they do not keep step with records.
        let place = |range: u64| {
            let displaced = if range == 0 { 0.0 } else { (range as f64 * 0.618_033_988_7).fract() - 0.5 };
            ((range as f64 + 0.8 * displaced) / number as f64 * bytes as f64) as u64
        };
        for record in files {
            let length = record.source.bytes;
            if takes_all {
                self.splits.push(range(record, 0, length));
                sampled += length;
                continue;
            }
            let mut taken = 0;
            while next < number && place(next) < before + length {
                let start = place(next).saturating_sub(before).max(taken);
                let end = (start + size).min(length);
                if start < end {
                    self.splits.push(range(record, start, end));
                    sampled += end - start;
                    taken = end;
                }
                next += 1;
            }
            before += length;
        }
        self.ranges = Stratum { bytes, sampled, alike };
    }

    /// Takes the beginnings of some files, evenly spaced.
    fn take_beginnings(&mut self, files: &[&RecordFile], share: f64) {
        let bytes: u64 = files.iter().map(|record| record.source.bytes).sum();
        let wanted = (bytes as f64 * share) as u64;
        let number = ((wanted / BEGINNING) as usize).clamp(files.len().min(1), files.len());
        let mut sampled = 0;
        for place in 0..number {
            let record = files[(2 * place + 1) * files.len() / (2 * number)];
            let length = record.source.bytes;
            let of_file = length as f64 * share * files.len() as f64 / number as f64;
            let end = (of_file as u64).max(BEGINNING).min(length);
            self.splits.push(range(record, 0, end));
            sampled += end;
            if end < length {
                self.cut_off.insert(record.file);
            }
        }
        self.beginnings = Stratum { bytes, sampled, alike: ALIKE[2] };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_workers::documents::Source;

    fn sample() -> Sample {
        Sample {
            splits: Vec::new(),
            files: Files::default(),
            ranges: Stratum::default(),
            beginnings: Stratum::default(),
            cut_off: BTreeSet::new(),
        }
    }

    fn record(file: usize, format: RecordFormat, bytes: u64) -> RecordFile {
        RecordFile { file, format, compression: None, source: Source { bytes, modified: 0 } }
    }

    #[test]
    fn ranges_are_spread_over_all_files() {
        let files = [(0, 10 << 20), (1, 0), (2, 30 << 20), (3, 100)];
        let files: Vec<_> = files.map(|(file, bytes)| record(file, RecordFormat::Jsonl, bytes)).into();
        let mut sample = sample();
        sample.take_ranges(files.iter(), 0.1);
        let ranges: Vec<_> = sample.splits.iter().map(|split| split.records().expect("a range")).collect();
        assert_eq!(ranges.len(), 65);
        assert!(ranges.iter().all(|range| range.end > range.start && range.start < range.source.bytes));
        assert_eq!(ranges[0].start, 0);
        let of_first = sample.splits.iter().filter(|split| split.file == 0).count();
        assert!((16..=17).contains(&of_first), "{of_first}");
        assert!((60 * RANGE..=65 * RANGE).contains(&sample.ranges.sampled));
        assert_eq!(sample.ranges.bytes, (40 << 20) + 100);
    }

    #[test]
    fn files_have_the_sizes_of_the_corpus() {
        let mut files: Vec<_> = (0..1000).map(|file| (((file * 7919) % 1000) as u64, file)).collect();
        let mut sample = sample();
        sample.take_files(&mut files, 499_500, 50_000, 0.1);
        let Files { all, mean_bytes, sampled, too_large, .. } = &sample.files;
        assert_eq!((*all, sampled.len(), *too_large), (1000, 100, 0));
        let mean = sampled.iter().sum::<u64>() as f64 / 100.0;
        assert!((mean - mean_bytes).abs() < 6.0, "{mean}");
        let read: u32 = sample.splits.iter().filter_map(Split::documents).sum();
        assert_eq!(read, 100);
    }

    #[test]
    fn beginnings_of_some_files() {
        let files: Vec<_> = (0..100).map(|file| record(file, RecordFormat::Csv, 1 << 20)).collect();
        let files: Vec<_> = files.iter().collect();
        let mut sample = sample();
        sample.take_beginnings(&files, 0.1);
        assert_eq!((sample.splits.len(), sample.cut_off.len()), (40, 40));
        assert_eq!(sample.beginnings.sampled, 10 << 20);
    }
}
