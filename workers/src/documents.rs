//! The documents of a run and their paths, in row order.
//!
//! The coordinator creates the list once, before any worker starts. After that it is only read.

pub use crate::key::Source;
use crate::split::Compression;
use nix::sys::stat::{FileStat, SFlag};
use serde::Serialize;
use std::ffi::CStr;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// The place of a CORPUS argument's documents.
#[derive(Debug)]
pub(crate) enum Place {
    /// Beneath an open directory.
    Directory(OwnedFd),
    /// The argument is a file. Its path is relative to the working directory.
    Argument,
    /// Files whose paths a list contains, relative to the working directory.
    List,
    /// An open file, which is the only document or record file, and the way in which it is compressed.
    Open(File, Option<Compression>),
}

/// The documents of a CORPUS argument, or of a list.
#[derive(Debug)]
struct Root {
    place: Place,
    /// The prefix of its documents' paths in output.
    prefix: Vec<u8>,
    /// The row of its first document.
    first: usize,
}

/// Paths of all documents, in row order.
#[derive(Debug, Default)]
pub struct Documents {
    /// Whether a document, or a folder in its path, may be a link.
    follows_links: bool,
    roots: Vec<Root>,
    /// The paths, each followed by a NUL.
    paths: Vec<u8>,
    /// The first byte of each path.
    starts: Vec<usize>,
}

impl Source {
    /// The state in the result of `stat`.
    pub(crate) fn of(stat: &FileStat) -> Self {
        Source {
            bytes: stat.st_size as u64,
            modified: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec),
        }
    }
}

/// Whether it is a regular file: not a directory, pipe or device.
pub(crate) fn is_regular(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

impl Documents {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list. The paths of its documents may contain links if `follows_links`.
    pub fn following(follows_links: bool) -> Self {
        Documents { follows_links, ..Self::default() }
    }

    /// Begins the documents of one CORPUS. Paths added from now on are relative to `directory`, or to the
    /// working directory if it is `None`. Output shows `prefix` before them.
    pub fn add_root(&mut self, directory: Option<OwnedFd>, prefix: Vec<u8>) {
        self.begin(directory.map_or(Place::Argument, Place::Directory), prefix);
    }

    /// Begins the documents of a list. Their paths are relative to the working directory. One that does not exist is a
    /// failed document.
    pub fn add_list(&mut self) {
        self.begin(Place::List, Vec::new());
    }

    /// Adds an open file as the next row. Output shows `path`. The file is compressed by `compression`, whatever its path
    /// says. It is read from its beginning, and its own position is not moved.
    pub fn add_open(&mut self, file: File, path: &[u8], compression: Option<Compression>) {
        self.begin(Place::Open(file, compression), Vec::new());
        self.add(path);
    }

    fn begin(&mut self, place: Place, prefix: Vec<u8>) {
        self.roots.push(Root { place, prefix, first: self.starts.len() });
    }

    /// Adds a document to the last root, as the next row.
    pub fn add(&mut self, path: &[u8]) {
        self.starts.push(self.paths.len());
        self.paths.extend_from_slice(path);
        self.paths.push(0);
    }

    /// Number of documents, which is the number of rows.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The path of row `row`, relative to its root.
    pub fn path(&self, row: usize) -> &[u8] {
        self.c_path(row).to_bytes()
    }

    /// The path of row `row` as a C string, for system calls.
    pub(crate) fn c_path(&self, row: usize) -> &CStr {
        CStr::from_bytes_until_nul(&self.paths[self.starts[row]..]).expect("each path is closed by a NUL")
    }

    /// The path of row `row` in messages and in `documents.jsonl`.
    pub fn shown(&self, row: usize) -> String {
        let prefix = &self.roots[self.root(row)].prefix;
        match prefix.is_empty() {
            true => display_path(self.path(row)),
            false => display_path(&[prefix, self.path(row)].concat()),
        }
    }

    /// The root of row `row`, numbered from 0 in the order of the arguments.
    pub fn root(&self, row: usize) -> usize {
        self.roots.partition_point(|root| root.first <= row) - 1
    }

    /// The first row of each root.
    pub fn first_rows(&self) -> impl Iterator<Item = usize> {
        self.roots.iter().map(|root| root.first)
    }

    /// The place of the root of row `row`.
    pub(crate) fn place(&self, row: usize) -> &Place {
        &self.roots[self.root(row)].place
    }

    /// How the file of row `row` is compressed: by its name, unless it was opened without one.
    pub(crate) fn compression(&self, row: usize) -> Option<Compression> {
        match self.place(row) {
            Place::Open(_, compression) => *compression,
            _ => Compression::of_name(self.path(row)).map(|(_, compression)| compression),
        }
    }

    /// Whether a document, or a folder in its path, may be a link.
    pub(crate) fn follows_links(&self) -> bool {
        self.follows_links
    }

    /// The open directories and files, which a worker must keep.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.roots.iter().filter_map(|root| match &root.place {
            Place::Directory(directory) => Some(directory.as_fd()),
            Place::Open(file, _) => Some(file.as_fd()),
            Place::Argument | Place::List => None,
        })
    }
}

/// A path in messages and in `documents.jsonl`. Bytes that are not UTF-8 become `\xHH`, and a backslash is doubled, so
/// that the bytes can be restored.
pub fn display_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        match chunk.valid().contains('\\') {
            true => text.push_str(&chunk.valid().replace('\\', "\\\\")),
            false => text.push_str(chunk.valid()),
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02X}").expect("a string takes all");
        }
    }
    text
}

/// The name of a row's document, in `documents.jsonl` and in messages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct DocumentName {
    /// The path of its file, escaped as in [`display_path`].
    pub path: String,
    /// Its number in its file, from 0, if the file contains many documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Its path in an archive, escaped as its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Its identifier, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl fmt::Display for DocumentName {
    /// Writes `corpus.jsonl, record 5, id a7` or `docs.tar, a/b.txt`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        self.record.iter().try_for_each(|record| write!(f, ", record {record}"))?;
        self.member.iter().try_for_each(|member| write!(f, ", {member}"))?;
        self.id.iter().try_for_each(|id| write!(f, ", id {id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_reversible() {
        assert_eq!(display_path("a/é.txt".as_bytes()), "a/é.txt");
        assert_eq!(display_path(b"a\\b\xFFc\n"), "a\\\\b\\xFFc\n");
        assert_ne!(display_path(b"\\xFF"), display_path(b"\xFF"));
    }

    #[test]
    fn names_of_documents() {
        let name = |record, member: Option<&str>, id: Option<&str>| DocumentName {
            path: "a".to_owned(),
            record,
            member: member.map(str::to_owned),
            id: id.map(str::to_owned),
        };
        assert_eq!(name(None, None, None).to_string(), "a");
        assert_eq!(name(Some(5), None, None).to_string(), "a, record 5");
        assert_eq!(name(Some(5), None, Some("7")).to_string(), "a, record 5, id 7");
        assert_eq!(name(None, Some("b/c.txt"), None).to_string(), "a, b/c.txt");
    }

    #[test]
    fn rows_know_their_roots() {
        let mut documents = Documents::new();
        documents.add_root(None, Vec::new());
        documents.add(b"one");
        documents.add_root(None, Vec::new());
        documents.add_root(None, Vec::new());
        documents.add(b"two");
        documents.add(b"three");
        assert_eq!(documents.len(), 3);
        assert_eq!((0..3).map(|row| documents.root(row)).collect::<Vec<_>>(), [0, 2, 2]);
        assert_eq!(documents.path(2), b"three");
    }
}
