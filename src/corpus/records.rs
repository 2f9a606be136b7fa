//! Files that contain many documents, judged by their names: record files, archives, compressed files.
//!
//! This version does not read them. It refuses such a file as a CORPUS, and prints a notice about those in a directory.

use crate::event::{Notice, NoticeKind};
use bowline_workers::documents::display_path;
use std::collections::BTreeMap;

/// Endings of such files.
const RECORDS: [&str; 5] = ["csv", "jsonl", "ndjson", "parquet", "tsv"];
/// Endings of files that have to be unpacked.
const PACKED: [&str; 11] = ["7z", "bz2", "gz", "rar", "tar", "tbz2", "tgz", "txz", "xz", "zip", "zst"];

/// What the name of a file ends with, in small letters, if it looks like one of many documents: `.jsonl`, `.tar.gz`.
pub fn ending(path: &[u8]) -> Option<String> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let last = known_ending(name)?;
    // Only behind a name: `.gz` is a hidden file without an ending.
    let stem = &name[..name.len() - last.len() - 1];
    let inner = if PACKED.contains(&last) { known_ending(stem) } else { None };
    match inner {
        Some(inner) => Some(format!(".{inner}.{last}")),
        None => Some(format!(".{last}")),
    }
}

fn known_ending(name: &[u8]) -> Option<&'static str> {
    let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0)?;
    let is = |ending: &&&str| name[dot + 1..].eq_ignore_ascii_case(ending.as_bytes());
    RECORDS.iter().chain(&PACKED).find(is).copied()
}

/// What to do with a file that is a CORPUS and has such an ending.
pub fn advice(ending: &str) -> &'static str {
    let last = ending.rsplit('.').next().unwrap_or_default();
    match (PACKED.contains(&last), last) {
        (true, _) => "unpack it first",
        (_, "parquet") => "write the text of each record into a file of its own",
        _ => {
            "write the text of each record into a file of its own, or give its folder, where the file is one document"
        }
    }
}

/// Such files among the documents of directories, counted by their endings.
#[derive(Default)]
pub struct RecordFiles {
    counts: BTreeMap<String, u64>,
    /// The path of the first one, as it is written, and its ending as it is spelled there.
    first: Option<(String, String)>,
}

impl RecordFiles {
    /// Counts the document if it looks like such a file. `prefix` goes before its path where it is written.
    pub fn count(&mut self, prefix: &[u8], path: &[u8]) {
        if let Some(ending) = ending(path) {
            let shown = || display_path(&[prefix, path].concat());
            let spelled = || display_path(&path[path.len() - ending.len()..]);
            self.first.get_or_insert_with(|| (shown(), spelled()));
            *self.counts.entry(ending).or_default() += 1;
        }
    }

    /// What to say about them.
    pub fn notice(&self) -> Option<Notice> {
        let (first, ending) = self.first.as_ref()?;
        let counts: Vec<_> = self.counts.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
        let text = format!(
            "record files and archives are one document each ({}; such as {first}): \
             unpack them into a file for each record, or leave them out",
            counts.join(", ")
        );
        Some(Notice::new(NoticeKind::Records { ending: ending.clone() }, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_of_record_files() {
        let cases = [
            ("a.jsonl", Some(".jsonl")),
            ("b/A.JSONL.GZ", Some(".jsonl.gz")),
            ("a.tar.gz", Some(".tar.gz")),
            ("a.TGZ", Some(".tgz")),
            ("a.zip", Some(".zip")),
            ("a.txt.gz", Some(".gz")),
            ("a.gz.csv", Some(".csv")),
            (".gz", None),
            ("a.csv/b", None),
            ("csv", None),
            ("a.csv.", None),
            ("a.txt", None),
            ("a.json", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(ending(path.as_bytes()).as_deref(), expected, "{path}");
        }
    }
}
