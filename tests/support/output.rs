//! An output directory, opened by readers of its formats that share no code with the program.

use super::{Array, Csr};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use tempfile::TempDir;

/// A finished output. Its directory exists as long as this value.
pub struct Output {
    path: PathBuf,
    _dir: Rc<TempDir>,
}

/// A line of `documents.jsonl`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentLine {
    /// Its path, escaped.
    pub path: String,
    /// Its number in its file, if it is a record.
    pub record: Option<u64>,
    /// Its path in an archive.
    pub member: Option<String>,
    /// Its identifier.
    pub id: Option<String>,
    /// The encoding that was guessed for it.
    pub encoding: Option<String>,
    /// Bytes of its text.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// `ok` or `failed`.
    pub status: String,
    /// Why it failed.
    pub cause: Option<String>,
}

/// A line of `vocabulary.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermLine {
    term: String,
    df: u64,
    #[serde(default, rename = "idf")]
    _idf: Option<f64>,
}

impl Output {
    /// The output at `path`, in the directory of a test.
    pub fn open(path: PathBuf, dir: Rc<TempDir>) -> Self {
        assert!(path.is_dir(), "{} is no output", path.display());
        Output { path, _dir: dir }
    }

    /// The sparse matrix.
    pub fn csr(&self) -> Csr {
        Csr::read(&self.matrix())
    }

    /// The path of the sparse matrix.
    pub fn matrix(&self) -> PathBuf {
        self.path.join("matrix.npz")
    }

    /// The dense matrix.
    pub fn dense(&self) -> Array {
        Array::parse(&self.file("matrix.npy"))
    }

    /// The documents, in row order.
    pub fn documents(&self) -> Vec<DocumentLine> {
        self.lines("documents.jsonl")
    }

    /// The documents' paths, in row order.
    pub fn paths(&self) -> Vec<String> {
        self.documents().into_iter().map(|document| document.path).collect()
    }

    /// Rows of failed documents, and their causes.
    pub fn failures(&self) -> Vec<(usize, String)> {
        let failed =
            self.documents().into_iter().enumerate().filter(|(_, document)| document.status == "failed");
        failed.map(|(row, document)| (row, document.cause.expect("a failed document has a cause"))).collect()
    }

    /// The terms and their document frequencies, in column order.
    pub fn vocabulary(&self) -> Vec<(String, u64)> {
        self.lines("vocabulary.jsonl").into_iter().map(|line: TermLine| (line.term, line.df)).collect()
    }

    /// The terms, in column order.
    pub fn terms(&self) -> Vec<String> {
        self.vocabulary().into_iter().map(|(term, _)| term).collect()
    }

    /// The manifest.
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&self.file("manifest.json")).expect("a manifest of JSON")
    }

    /// The bytes of one of its files.
    pub fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// All its files and their bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(&self.path).expect("an output").map(|entry| entry.unwrap().file_name());
        let names = entries.map(|name| name.into_string().expect("names of our own"));
        names.map(|name| (name.clone(), self.file(&name))).collect()
    }

    fn lines<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let text = String::from_utf8(self.file(name)).expect("UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends within a line");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect()
    }
}

/// Requires the same files with the same bytes.
#[track_caller]
pub fn assert_same_bytes(expected: &Output, found: &Output, context: &str) {
    let (expected, found) = (expected.files(), found.files());
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "{context}");
    for (name, bytes) in &expected {
        let other = &found[name];
        let at = bytes.iter().zip(other).take_while(|(a, b)| a == b).count();
        let sizes = (bytes.len(), other.len());
        assert!(bytes == other, "{context}: {name}, of {sizes:?} bytes, differs from byte {at} on");
    }
}

/// Requires that the documents at `failed` have these causes, and that the output is otherwise equal to that of a run in which
/// they failed for another cause.
#[track_caller]
pub fn assert_same_but_causes(clean: &Output, found: &Output, failed: &[(usize, &str)], context: &str) {
    let others = |output: &Output| {
        let mut files = output.files();
        files.remove("documents.jsonl");
        files
    };
    assert!(others(clean) == others(found), "{context}: files of columns or rows");
    let (clean, mut found) = (clean.documents(), found.documents());
    assert_eq!(clean.len(), found.len(), "{context}");
    for &(row, cause) in failed {
        assert_eq!(found[row].cause.as_deref(), Some(cause), "{context}: row {row}");
        found[row] = clean[row].clone();
    }
    assert_eq!(clean, found, "{context}");
}

/// Requires that the documents at `failed` have these causes and empty rows, and that the output is otherwise equal to
/// that of a run without them.
#[track_caller]
pub fn assert_costs_only_themselves(clean: &Output, found: &Output, failed: &[(usize, &str)], context: &str) {
    let (mut documents, mut kept) = (found.documents(), Vec::new());
    for (row, document) in documents.drain(..).enumerate() {
        match failed.iter().find(|&&(failed, _)| failed == row) {
            Some(&(_, cause)) => assert_eq!(document.cause.as_deref(), Some(cause), "{context}: row {row}"),
            None => kept.push((row, document)),
        }
    }
    let (rows, kept): (Vec<usize>, Vec<DocumentLine>) = kept.into_iter().unzip();
    assert_eq!(kept, clean.documents(), "{context}");
    let others = |output: &Output| {
        let of_rows = ["documents.jsonl", "matrix.npz", "manifest.json"];
        let mut files = output.files();
        files.retain(|name, _| !of_rows.contains(&name.as_str()));
        files
    };
    assert!(others(clean) == others(found), "{context}: the files of columns");
    let (clean, found) = (clean.csr(), found.csr());
    for (row, &at) in rows.iter().enumerate() {
        assert_eq!(found.row_bytes(at), clean.row_bytes(row), "{context}: row {at}");
    }
    for &(row, _) in failed {
        assert_eq!(found.row_bytes(row), (&[][..], &[][..]), "{context}: row {row}");
    }
}
