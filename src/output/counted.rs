//! An output that is merged with others: what it must be, and its rows for the workers.

use super::manifest::ManifestFile;
use super::matrix::Matrix;
use super::names::{DOCUMENTS, HASH_TERMS, VOCABULARY};
use super::reader::OpenOutput;
use crate::settings::{FeatureKind, Norm, Settings, WeightKind, name};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bowline_workers::counted_rows::CountedRows;
use bowline_workers::lines::{DocumentLine, TermLine};
use bowline_workers::mapped::input;
use memmap2::Mmap;
use std::io;
use std::ops::Range;
use std::path::Path;

/// An output with counts of all its terms.
#[derive(Debug)]
pub struct CountedOutput {
    /// Its manifest.
    pub manifest: ManifestFile,
    /// Its path, for messages.
    pub shown: String,
    matrix: Matrix,
    /// `documents.jsonl`, and the first byte of each line and behind the last one.
    lines: Mmap,
    starts: Vec<u64>,
    /// The terms of all columns one after the other, and where each ends. `None` if columns are buckets.
    terms: Option<(Vec<u8>, Vec<u64>)>,
    /// So many of the first rows are of a file that the part before has begun, and their records have this number more.
    renumbered: (u64, u64),
}

impl CountedOutput {
    /// Opens the output at `path` and checks all of it.
    ///
    /// # Errors
    /// If it is none, can't be merged, is damaged, or can't be read.
    pub fn open(path: &Path) -> Result<Self> {
        let output = OpenOutput::open(path)?;
        let shown = output.shown(None);
        let manifest = ManifestFile::read(&output).with_context(|| shown.clone())?;
        if let Some(why) = unmergeable(&manifest.settings) {
            bail!("{shown}: {why}");
        }
        ensure!(
            manifest.matrix == "matrix.npz",
            "{shown}: its matrix is {}, and only matrix.npz can be merged",
            manifest.matrix
        );
        ensure!(!output.has(HASH_TERMS), "{shown}: a merge can't make {HASH_TERMS}, which it has");
        let matrix = Matrix::read(&output, &manifest)?.context("no matrix").with_context(|| shown.clone())?;
        ensure!(matrix.has_counts(), "{}: a value is no count", output.shown(Some(&manifest.matrix)));
        let is_hashed = manifest.settings.columns.features == FeatureKind::Hashed;
        let terms = if is_hashed { None } else { Some(terms(&output, &manifest)?) };
        let of_documents = || output.shown(Some(DOCUMENTS));
        let file = output.file(DOCUMENTS).with_context(of_documents)?;
        let lines = match file.metadata().with_context(of_documents)?.len() {
            // No file of no bytes can be mapped.
            0 => memmap2::MmapMut::map_anon(1).and_then(|map| map.make_read_only()),
            _ => input(file),
        };
        let lines = lines.with_context(of_documents)?;
        let starts = checked_lines(&lines, &manifest).with_context(of_documents)?;
        Ok(CountedOutput { manifest, shown, matrix, lines, starts, terms, renumbered: (0, 0) })
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.manifest.counts.documents
    }

    /// The path of the last document and the number of the record behind it, if it is a record.
    pub fn end(&self) -> Option<(String, u64)> {
        let DocumentLine { path, record, .. } = self.line(self.rows().checked_sub(1)?).ok()?;
        Some((path.into_owned(), record? + 1))
    }

    /// Renumbers the records of the first file, which is `path`, if the part before has read the ones before `next`.
    pub fn continue_from(&mut self, path: &str, next: u64) {
        let is_same =
            |&row: &u64| self.line(row).is_ok_and(|line| line.record.is_some() && line.path == path);
        let rows = (0..self.rows()).take_while(is_same).count() as u64;
        self.renumbered = (rows, next);
    }

    fn bytes_of_line(&self, row: u64) -> Option<&[u8]> {
        let (start, end) = (self.starts.get(row as usize)?, self.starts.get(row as usize + 1)?);
        self.lines.get(*start as usize..*end as usize)
    }
}

impl CountedRows for CountedOutput {
    fn columns(&self) -> usize {
        self.manifest.counts.columns as usize
    }

    fn term(&self, column: u32) -> Option<&[u8]> {
        let (bytes, ends) = self.terms.as_ref()?;
        let start = column.checked_sub(1).map_or(Some(0), |before| ends.get(before as usize).copied());
        let place = start? as usize..*ends.get(column as usize)? as usize;
        bytes.get(place)
    }

    fn cells(&self, row: u64, cells: &mut Vec<(u32, i32)>) {
        self.matrix.counts(row as usize, cells);
    }

    fn line(&self, row: u64) -> io::Result<DocumentLine<'_>> {
        let bytes = self.bytes_of_line(row).ok_or(io::ErrorKind::InvalidData)?;
        let mut line: DocumentLine = serde_json::from_slice(bytes)?;
        let (rows, base) = self.renumbered;
        if row < rows {
            line.record = line.record.and_then(|record| record.checked_add(base));
        }
        Ok(line)
    }
}

/// Why an output with these settings can't be merged; `None` if it can.
pub fn unmergeable(settings: &Settings) -> Option<String> {
    let Settings { columns, values, .. } = settings;
    if values.weight != WeightKind::Count || values.norm != Norm::None {
        let what = match values.weight {
            WeightKind::Count => format!("rows divided by their norm ({})", name(&values.norm)),
            weight => format!("values of {}", name(&weight)),
        };
        return Some(format!("it has {what}, and only counts can be merged"));
    }
    if columns.fixed_vocabulary {
        return Some("its vocabulary was given, so terms are missing that a merge needs".to_owned());
    }
    if !columns.pruning().is_none() {
        return Some("terms were pruned from it that a merge needs".to_owned());
    }
    None
}

/// The first setting by which the texts or columns of two outputs were counted in different ways, and its two values.
pub fn first_difference(first: &Settings, second: &Settings) -> Result<Option<(String, [String; 2])>> {
    let of = |settings: &Settings| {
        let columns = &settings.columns;
        let mut all = vec![
            ("features".to_owned(), serde_json::to_value(columns.features)?),
            ("n_features".to_owned(), serde_json::to_value(columns.n_features)?),
            ("alternate_sign".to_owned(), serde_json::to_value(columns.alternate_sign)?),
        ];
        if let serde_json::Value::Object(text) = serde_json::to_value(&settings.text)? {
            all.extend(text);
        }
        anyhow::Ok(all)
    };
    let differing = of(first)?.into_iter().zip(of(second)?).find(|(ours, theirs)| ours != theirs);
    Ok(differing.map(|((name, ours), (_, theirs))| (name, [ours.to_string(), theirs.to_string()])))
}

/// The terms of the columns, one after the other, and where each ends.
fn terms(output: &OpenOutput, manifest: &ManifestFile) -> Result<(Vec<u8>, Vec<u64>)> {
    let shown = || output.shown(Some(VOCABULARY));
    let lines: Vec<TermLine> = output.lines(VOCABULARY).with_context(shown)?;
    let columns = manifest.counts.columns;
    let found = lines.len();
    ensure!(found as u64 == columns, "{}: {found} lines, but {columns} columns", shown());
    let is_sorted = lines.windows(2).all(|two| two[0].term.as_bytes() < two[1].term.as_bytes());
    ensure!(is_sorted, "{}: its terms are not in order", shown());
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(found));
    for line in lines {
        bytes.extend_from_slice(line.term.as_bytes());
        ends.push(bytes.len() as u64);
    }
    Ok((bytes, ends))
}

/// Where the lines of documents begin, and behind the last one.
fn checked_lines(map: &[u8], manifest: &ManifestFile) -> Result<Vec<u64>> {
    let (mut starts, mut failed) = (vec![0], 0);
    let counts = &manifest.counts;
    let mut at = 0;
    while (starts.len() as u64) <= counts.documents {
        let number = starts.len();
        let rest = &map[at..];
        let length = rest.iter().position(|&byte| byte == b'\n').map(|end| end + 1);
        let length = length.ok_or_else(|| anyhow!("{} lines, but {} rows", number - 1, counts.documents))?;
        let line: Range<usize> = at..at + length;
        let line: DocumentLine =
            serde_json::from_slice(&map[line]).map_err(|error| anyhow!("line {number}: {error}"))?;
        failed += u64::from(line.has_failed());
        at += length;
        starts.push(at as u64);
    }
    ensure!(failed == counts.failed, "{failed} failed documents, but manifest.json says {}", counts.failed);
    Ok(starts)
}
