//! Splits: parts of the input, each of which one worker reads in one go.
//!
//! The coordinator cuts the input into splits before any document is read. It knows how many documents a batch of files
//! has. A worker finds how many a part of a record file has. So a document's key is its split and its place there, and
//! its row is known only when all splits have been read.

use crate::documents::{Documents, Source};
pub use crate::key::Key;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The kind of a file that contains many documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// A document a line.
    Lines,
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// A table of columns.
    Parquet,
    /// A tape archive.
    Tar,
    /// A ZIP archive.
    Zip,
}

impl RecordFormat {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            RecordFormat::Lines => "lines",
            RecordFormat::Jsonl => "jsonl",
            RecordFormat::Csv => "csv",
            RecordFormat::Tsv => "tsv",
            RecordFormat::Parquet => "parquet",
            RecordFormat::Tar => "tar",
            RecordFormat::Zip => "zip",
        }
    }

    /// Whether its documents are files, which have a name and no number.
    pub fn is_archive(self) -> bool {
        matches!(self, RecordFormat::Tar | RecordFormat::Zip)
    }

    /// Whether its documents are fields of records.
    pub fn has_fields(self) -> bool {
        self.is_table() || matches!(self, RecordFormat::Jsonl | RecordFormat::Parquet)
    }

    /// Whether it is a table of text, in which a line end may be part of a field.
    pub fn is_table(self) -> bool {
        matches!(self, RecordFormat::Csv | RecordFormat::Tsv)
    }
}

/// The way in which a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

impl Compression {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Xz => "xz",
        }
    }

    /// What a file's first bytes say, of which 10 are enough. No text begins with them.
    pub fn of_beginning(bytes: &[u8]) -> Option<Compression> {
        let is_bzip2 = |rest: &[u8]| match rest.split_first() {
            // The beginning of a block, or of the end of an empty stream.
            Some((b'1'..=b'9', rest)) => {
                rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90")
            }
            _ => false,
        };
        match bytes {
            [0x1F, 0x8B, 8, ..] => Some(Compression::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Compression::Zstd),
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            [b'B', b'Z', b'h', rest @ ..] if is_bzip2(rest) => Some(Compression::Bzip2),
            _ => None,
        }
    }

    /// What a file's name says, and the name without the ending that says it.
    pub fn of_name(name: &[u8]) -> Option<(&[u8], Compression)> {
        let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0)?;
        let is = |ending: &str| name[dot + 1..].eq_ignore_ascii_case(ending.as_bytes());
        let compression = match () {
            () if is("gz") => Compression::Gzip,
            () if is("zst") => Compression::Zstd,
            () if is("bz2") => Compression::Bzip2,
            () if is("xz") => Compression::Xz,
            () => return None,
        };
        // `a/.gz` is a hidden file without an ending.
        (name[dot - 1] != b'/').then_some((&name[..dot], compression))
    }
}

/// A part of the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Split {
    /// Its file, or the first of its files, by number.
    pub file: u64,
    /// What it has of the file.
    pub kind: SplitKind,
}

/// The kind of a split.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SplitKind {
    /// This many files. Each is one document.
    Files(u32),
    /// Documents of one file.
    Records(RecordRange),
}

/// The documents of a record file that begin in a range of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordRange {
    /// The file's kind.
    pub format: RecordFormat,
    /// How the file is compressed. Then the split is the whole file.
    pub compression: Option<Compression>,
    /// First byte of the range.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
    /// The state of the file when it was cut.
    pub source: Source,
}

impl RecordRange {
    /// Its bytes, as far as the file had them when it was cut.
    pub fn bytes(&self) -> u64 {
        self.end.min(self.source.bytes).saturating_sub(self.start)
    }

    /// Whether it is all of its file.
    pub fn is_all(&self) -> bool {
        self.start == 0 && self.end == u64::MAX
    }
}

impl Split {
    /// The number of its documents, if that is known without reading it.
    pub fn documents(&self) -> Option<u32> {
        match self.kind {
            SplitKind::Files(number) => Some(number),
            SplitKind::Records(_) => None,
        }
    }

    /// Its record range; `None` if it is a batch of files.
    pub fn records(&self) -> Option<RecordRange> {
        match self.kind {
            SplitKind::Files(_) => None,
            SplitKind::Records(range) => Some(range),
        }
    }

    /// The file of the document `ordinal`.
    pub fn file_of(&self, ordinal: u32) -> usize {
        match self.kind {
            SplitKind::Files(_) => self.file as usize + ordinal as usize,
            SplitKind::Records(_) => self.file as usize,
        }
    }
}

/// Number of states of a scan for the borders of a CSV file's records.
pub const STATES: usize = 5;

/// Stands for a state that could not be found.
pub const UNKNOWN_STATE: u8 = u8::MAX;

/// The ordinal behind the last document of a split whose number of documents is not known.
pub const TO_THE_END: u32 = u32::MAX;

/// The ordinal of [`Part::opening`].
pub const OPENING: u32 = u32::MAX - 1;

/// Documents to tally with one task: those of a split with the ordinals `start..end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// The split's number: the first part of its documents' keys.
    pub id: u32,
    /// The split.
    pub split: Split,
    /// The state of a CSV file's scan at the beginning of the range.
    pub state: u8,
    /// First ordinal to tally. Above 0 if another worker has done the ones before.
    pub start: u32,
    /// The ordinal after the last one to tally, or [`TO_THE_END`].
    pub end: u32,
}

impl Part {
    /// All of a split.
    pub fn whole(id: u32, split: Split) -> Self {
        Part { id, split, state: 0, start: 0, end: split.documents().unwrap_or(TO_THE_END) }
    }

    /// The key of a document.
    pub fn key(&self, ordinal: u32) -> Key {
        Key { split: self.id, ordinal }
    }

    /// Stands for the document of a worker that opens the part's file, or passes over the documents before the part's first.
    pub fn opening(&self) -> Key {
        self.key(OPENING)
    }

    /// Whether it has no document.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// The rows of a run: the documents of all splits, in order. Known when all splits have been read.
#[derive(Clone, Debug)]
pub struct Rows {
    files: Arc<Documents>,
    splits: Arc<[Split]>,
    /// The first row of each split, and the number of all rows.
    firsts: Vec<u64>,
    /// The first row of each split's file.
    of_file: Vec<u64>,
}

impl Rows {
    /// The rows of `splits`, which have these numbers of documents.
    pub fn new(files: Arc<Documents>, splits: Arc<[Split]>, documents: impl Iterator<Item = u32>) -> Self {
        let (mut firsts, mut of_file) = (vec![0], Vec::with_capacity(splits.len()));
        let mut last: Option<(u64, u64)> = None;
        for (split, documents) in splits.iter().zip(documents) {
            let first = firsts.last().copied().unwrap_or(0);
            let base = match last {
                Some((file, base)) if file == split.file => base,
                _ => first,
            };
            last = Some((split.file, base));
            of_file.push(base);
            firsts.push(first + u64::from(documents));
        }
        Rows { files, splits, firsts, of_file }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.firsts.last().map_or(0, |&rows| rows as usize)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of a document; `None` if no split has it.
    pub fn row(&self, key: Key) -> Option<usize> {
        let (first, next) = (self.firsts.get(key.split as usize)?, self.firsts.get(key.split as usize + 1)?);
        let row = first + u64::from(key.ordinal);
        (row < *next).then_some(row as usize)
    }

    /// The document of a row.
    pub fn key(&self, row: usize) -> Key {
        // Empty splits have the same first row as the split behind them.
        let split = self.firsts.partition_point(|&first| first <= row as u64).saturating_sub(1);
        Key { split: split as u32, ordinal: (row as u64).saturating_sub(self.firsts[split]) as u32 }
    }

    /// The split of a row.
    fn split(&self, key: Key) -> &Split {
        &self.splits[(key.split as usize).min(self.splits.len() - 1)]
    }

    /// The files of all rows.
    pub(crate) fn files(&self) -> &Documents {
        &self.files
    }

    /// The number of a row's file; and the number of its record there, from 0, unless its document is a file.
    pub(crate) fn place(&self, row: usize) -> (usize, Option<u64>) {
        let key = self.key(row);
        let split = self.split(key);
        let is_record = split.records().is_some_and(|range| !range.format.is_archive());
        (split.file_of(key.ordinal), is_record.then(|| row as u64 - self.of_file[key.split as usize]))
    }

    /// Whether a row's document is a part of a file.
    pub fn is_part(&self, row: usize) -> bool {
        self.split(self.key(row)).records().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_splits() {
        let mut files = Documents::new();
        files.add_root(None, Vec::new());
        ["a", "b", "c.jsonl", "d"].iter().for_each(|path| files.add(path.as_bytes()));
        let range = |start, end| {
            SplitKind::Records(RecordRange {
                format: RecordFormat::Jsonl,
                compression: None,
                start,
                end,
                source: Source { bytes: 30, modified: 0 },
            })
        };
        let splits = [
            Split { file: 0, kind: SplitKind::Files(2) },
            Split { file: 2, kind: range(0, 10) },
            Split { file: 2, kind: range(10, 20) },
            Split { file: 2, kind: range(20, 30) },
            Split { file: 3, kind: SplitKind::Files(1) },
        ];
        let rows = Rows::new(Arc::new(files), splits.into(), [2, 3, 0, 1, 1].into_iter());
        let shown = |(file, record)| (rows.files().shown(file), record);
        let shown: Vec<_> = (0..rows.len()).map(|row| shown(rows.place(row))).collect();
        let c = |record| ("c.jsonl".to_owned(), Some(record));
        let file = |path: &str| (path.to_owned(), None);
        assert_eq!(shown, [file("a"), file("b"), c(0), c(1), c(2), c(3), file("d")]);
        for row in 0..rows.len() {
            assert_eq!(rows.row(rows.key(row)), Some(row));
            assert_eq!(Key::of_number(rows.key(row).to_number()), rows.key(row));
        }
        assert_eq!(rows.row(Key { split: 2, ordinal: 0 }), None);
        assert_eq!(rows.row(Key { split: 9, ordinal: 0 }), None);
    }
}
