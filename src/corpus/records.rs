//! Files that contain many documents: record files and archives, by their names.

use crate::event::{Notice, NoticeKind};
use bowline_workers::documents::{Source, display_path};
use bowline_workers::split::{Compression, RecordFormat};
use std::collections::BTreeMap;

/// A file that contains many documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordFile {
    /// Its number among all files.
    pub file: usize,
    /// Its kind.
    pub format: RecordFormat,
    /// How it is compressed.
    pub compression: Option<Compression>,
    /// Its state when it was found.
    pub source: Source,
}

/// Endings of names in small letters, and the formats that they stand for.
const FORMATS: [(&str, RecordFormat); 7] = [
    ("jsonl", RecordFormat::Jsonl),
    ("ndjson", RecordFormat::Jsonl),
    ("csv", RecordFormat::Csv),
    ("tsv", RecordFormat::Tsv),
    ("parquet", RecordFormat::Parquet),
    ("tar", RecordFormat::Tar),
    ("zip", RecordFormat::Zip),
];

/// Endings of tar archives that are compressed.
const PACKED_TAR: [(&str, Compression); 4] = [
    ("tgz", Compression::Gzip),
    ("tbz2", Compression::Bzip2),
    ("txz", Compression::Xz),
    ("tzst", Compression::Zstd),
];

/// Endings of files that no option reads.
const UNKNOWN: [&str; 2] = ["7z", "rar"];

/// The format that a file's name says, and how it is compressed. `None` if the file is one document.
pub fn format_of_name(path: &[u8]) -> (Option<RecordFormat>, Option<Compression>) {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let (stem, compression) = match Compression::of_name(name) {
        Some((stem, compression)) => (stem, Some(compression)),
        None => (name, None),
    };
    let Some(ending) = ending(stem) else { return (None, compression) };
    let is = |name: &str| ending.eq_ignore_ascii_case(name.as_bytes());
    match FORMATS.iter().find(|(name, _)| is(name)) {
        Some(&(_, format)) => (Some(format), compression),
        None if compression.is_some() => (None, compression),
        None => match PACKED_TAR.iter().find(|(name, _)| is(name)) {
            Some(&(_, compression)) => (Some(RecordFormat::Tar), Some(compression)),
            None => (None, None),
        },
    }
}

/// What a name ends with behind its last dot. `.gz` is a hidden file without an ending.
fn ending(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0)?;
    Some(&name[dot + 1..])
}

/// The ending of a file that no option reads.
pub fn unknown_ending(path: &[u8]) -> Option<String> {
    let ending = ending(path.rsplit(|&byte| byte == b'/').next().unwrap_or_default())?;
    let unknown = UNKNOWN.iter().find(|name| ending.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(format!(".{unknown}"))
}

/// Files of directories that look like record files and are one document each, counted by their formats.
#[derive(Default)]
pub struct RecordFiles {
    counts: BTreeMap<String, u64>,
    /// The path of the first one, as it is written, and its format.
    first: Option<(String, RecordFormat)>,
}

impl RecordFiles {
    /// Counts the file if it looks like such a file. `prefix` goes before its path where it is written.
    pub fn count(&mut self, prefix: &[u8], path: &[u8]) {
        let (Some(format), compression) = format_of_name(path) else { return };
        self.first.get_or_insert_with(|| (display_path(&[prefix, path].concat()), format));
        let ending = match compression {
            Some(compression) => format!("{} ({})", format.name(), compression.name()),
            None => format.name().to_owned(),
        };
        *self.counts.entry(ending).or_default() += 1;
    }

    /// What to say about them.
    pub fn notice(&self) -> Option<Notice> {
        let (first, format) = self.first.as_ref()?;
        let counts: Vec<_> = self.counts.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
        let text = format!(
            "files that look like record files are one document each: {}, such as {first}",
            counts.join(", ")
        );
        Some(Notice::new(NoticeKind::Records { format: *format }, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_names() {
        use Compression::{Bzip2, Gzip, Xz, Zstd};
        use RecordFormat::{Csv, Jsonl, Parquet, Tar, Tsv, Zip};
        let cases = [
            ("a.jsonl", (Some(Jsonl), None)),
            ("a.ndjson.zst", (Some(Jsonl), Some(Zstd))),
            ("b/A.JSONL.GZ", (Some(Jsonl), Some(Gzip))),
            ("a.tar.gz", (Some(Tar), Some(Gzip))),
            ("a.TGZ", (Some(Tar), Some(Gzip))),
            ("a.txz", (Some(Tar), Some(Xz))),
            ("a.zip", (Some(Zip), None)),
            ("a.txt.gz", (None, Some(Gzip))),
            ("a.bz2", (None, Some(Bzip2))),
            ("a.gz.csv", (Some(Csv), None)),
            ("a.tsv", (Some(Tsv), None)),
            ("a.parquet", (Some(Parquet), None)),
            (".gz", (None, None)),
            ("a.csv/b", (None, None)),
            ("csv", (None, None)),
            ("a.csv.", (None, None)),
            ("a.txt", (None, None)),
            ("a.json", (None, None)),
            ("", (None, None)),
        ];
        for (path, expected) in cases {
            assert_eq!(format_of_name(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(unknown_ending(b"a/b.7Z").as_deref(), Some(".7z"));
        assert_eq!(unknown_ending(b"a/b.zip"), None);
    }
}
