//! An output that is merged with others: what it must be, and what the engine reads of it.

use super::manifest::{ManifestFile, Mergeable};
use super::matrix::Matrix;
use super::names::{DOCUMENTS, HASH_TERMS, VOCABULARY};
use super::reader::OpenOutput;
use crate::coordinator::{CountedSegment, RunError, Totals};
use crate::settings::{FeatureKind, Norm, Settings, WeightKind, name};
use anyhow::{Context as _, Result, bail, ensure};
use bowline_workers::counted_rows::CountedRows;
use bowline_workers::dictionary::{Run, RunWriter, TermError};
use bowline_workers::failure::Failure;
use bowline_workers::lines::{DocumentLine, TermLine};
use bowline_workers::mapped::{Store, Table, give_back_input, input};
use bowline_workers::plan::MergedLines;
use memmap2::{Mmap, MmapMut};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// An output with counts of all its terms, of which only the manifest was read.
#[derive(Debug)]
pub struct CountedOutput {
    /// Its manifest.
    pub manifest: ManifestFile,
    /// Its path, for messages.
    pub shown: String,
    files: OpenOutput,
}

impl CountedOutput {
    /// Opens the output at `path`.
    ///
    /// # Errors
    /// If it is none, can't be merged, or can't be read.
    pub fn open(path: &Path) -> Result<Self> {
        let files = OpenOutput::open(path)?;
        let shown = files.shown(None);
        let manifest = ManifestFile::read(&files).with_context(|| shown.clone())?;
        if let Some(why) = unmergeable(&manifest.settings) {
            bail!("{shown}: {why}");
        }
        ensure!(
            manifest.matrix == MERGED_MATRIX,
            "{shown}: its matrix is {}, and only {MERGED_MATRIX} can be merged",
            manifest.matrix
        );
        ensure!(!files.has(HASH_TERMS), "{shown}: a merge can't make {HASH_TERMS}, which it has");
        Ok(CountedOutput { manifest, shown, files })
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.manifest.counts.documents
    }

    /// The lines of one of its files.
    fn map(&self, file: &str) -> Result<Mmap> {
        let of_file = || self.files.shown(Some(file));
        let opened = self.files.file(file).with_context(of_file)?;
        let map = match opened.metadata().with_context(of_file)?.len() {
            // No file of no bytes can be mapped.
            0 => MmapMut::map_anon(1).and_then(|map| map.make_read_only()),
            _ => input(opened),
        };
        map.with_context(of_file)
    }

    /// Reads one of its parts, checks all of it, and makes tables of it.
    fn load(&self, part: Part, loading: &Loading) -> Result<Loaded> {
        Ok(match part {
            Part::Documents => {
                let lines = self.map(DOCUMENTS)?;
                let documents = Documents::read(lines, &self.manifest, loading);
                Loaded::Documents(documents.with_context(|| self.files.shown(Some(DOCUMENTS)))?)
            }
            Part::Matrix => {
                let matrix = Matrix::read(&self.files, &self.manifest)?.context("no matrix");
                let matrix = matrix.with_context(|| self.shown.clone())?;
                let shown = || self.files.shown(Some(&self.manifest.matrix));
                ensure!(matrix.has_counts(), "{}: a value is no count", shown());
                let columns = if self.is_hashed() { 0 } else { self.manifest.counts.columns };
                let frequencies = matrix.frequencies(columns as usize);
                matrix.give_back();
                Loaded::Matrix(matrix, frequencies)
            }
            Part::Terms if self.is_hashed() => Loaded::Terms(None),
            Part::Terms => {
                let lines = self.map(VOCABULARY)?;
                let terms = terms(&lines, self.manifest.counts.columns, loading);
                Loaded::Terms(Some(terms.with_context(|| self.files.shown(Some(VOCABULARY)))?))
            }
        })
    }

    fn is_hashed(&self) -> bool {
        self.manifest.settings.columns.features == FeatureKind::Hashed
    }

    /// Puts its parts together.
    fn whole(&self, parts: [Loaded; PARTS.len()]) -> Result<LoadedOutput> {
        let [Loaded::Documents(documents), Loaded::Matrix(matrix, frequencies), Loaded::Terms(terms)] = parts
        else {
            bail!("{}: its parts are out of order", self.shown);
        };
        if let Some(terms) = &terms {
            let wrong = (0..).zip(&frequencies).find(|&(rank, &found)| terms.sorted.documents(rank) != found);
            if let Some((rank, found)) = wrong {
                let (shown, said) = (self.files.shown(Some(VOCABULARY)), terms.sorted.documents(rank));
                bail!("{shown}: line {}: its df is {said}, but the term is in {found} rows", rank + 1);
            }
        }
        Ok(LoadedOutput { documents, matrix, terms })
    }
}

/// A part of an output, which is loaded without the others.
#[derive(Clone, Copy)]
enum Part {
    Documents,
    Matrix,
    Terms,
}

const PARTS: [Part; 3] = [Part::Documents, Part::Matrix, Part::Terms];

/// What was loaded of it: of the matrix, in how many rows each column is stored, too.
enum Loaded {
    Documents(Documents),
    Matrix(Matrix, Vec<u32>),
    Terms(Option<Run>),
}

/// How outputs are loaded.
pub struct Loading<'a> {
    /// Where tables lie.
    pub store: &'a Store,
    /// Whether terms are to have their occurrences.
    pub counts_occurrences: bool,
    /// Number of threads.
    pub threads: usize,
    /// The signal that asks the program to end, or 0.
    pub interrupted: &'a AtomicUsize,
    /// Documents read so far.
    pub documents: &'a AtomicU64,
}

/// Lines from one look at the signal, and one step of progress, to the next.
const STEP: u64 = 1024;

/// From one event of progress to the next.
const BETWEEN_EVENTS: Duration = Duration::from_millis(100);

/// An output, loaded: its rows, and the run of its terms.
#[derive(Debug)]
pub struct LoadedOutput {
    documents: Documents,
    matrix: Matrix,
    terms: Option<Run>,
}

/// Loads and checks all outputs by several threads. `advanced` is called meanwhile, for progress.
///
/// # Errors
/// What is wrong with the first one that is damaged or can't be read.
pub fn load(
    outputs: &[CountedOutput],
    loading: &Loading,
    advanced: &mut dyn FnMut(u64),
) -> Result<Vec<LoadedOutput>> {
    let next = AtomicUsize::new(0);
    let parts: Vec<_> = outputs.iter().map(|_| PARTS.map(|_| None)).collect();
    let parts: Mutex<Vec<[Option<Result<Loaded>>; PARTS.len()]>> = Mutex::new(parts);
    let work = |_done: mpsc::Sender<()>| {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let (number, place) = (job / PARTS.len(), job % PARTS.len());
            let Some(output) = outputs.get(number) else { break };
            let loaded = output.load(PARTS[place], loading);
            parts.lock().unwrap_or_else(PoisonError::into_inner)[number][place] = Some(loaded);
        }
    };
    std::thread::scope(|scope| {
        let (done, wait) = mpsc::channel();
        for _ in 0..loading.threads.clamp(1, PARTS.len() * outputs.len().max(1)) {
            let done = done.clone();
            scope.spawn(|| work(done));
        }
        drop(done);
        while wait.recv_timeout(BETWEEN_EVENTS) == Err(mpsc::RecvTimeoutError::Timeout) {
            advanced(loading.documents.load(Ordering::Relaxed));
        }
    });
    RunError::if_interrupted(loading.interrupted)?;
    let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let whole = outputs.iter().zip(parts).map(|(output, parts)| {
        let [documents, matrix, terms] = parts.map(|part| part.context("a part was not loaded").flatten());
        output.whole([documents?, matrix?, terms?])
    });
    whole.collect()
}

impl LoadedOutput {
    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.documents.tokens.len() as u64
    }

    /// The path of the last document and the number of the record behind it, if it is a record.
    pub fn end(&self) -> Option<(String, u64)> {
        let DocumentLine { path, record, .. } = self.documents.line(self.rows().checked_sub(1)?).ok()?;
        Some((path.into_owned(), record? + 1))
    }

    /// Renumbers the records of the first file, which is `path`, if the part before has read the ones before `next`.
    pub fn continue_from(&mut self, path: &str, next: u64) {
        let is_same = |&row: &u64| {
            self.documents.line(row).is_ok_and(|line| line.record.is_some() && line.path == path)
        };
        let rows = (0..self.rows()).take_while(is_same).count() as u64;
        self.documents.renumbered = (rows, next);
    }

    /// What the engine reads of it. `totals` gets what its documents come to.
    pub fn into_segment(self, totals: &mut Totals, first_row: usize) -> CountedSegment {
        let LoadedOutput { documents, matrix, terms } = self;
        totals.bytes += documents.bytes;
        totals.tokens += documents.tokens.iter().map(|tokens| tokens.load(Ordering::Relaxed)).sum::<u64>();
        totals.failed.extend(documents.failed.iter().map(|row| (first_row + row, Failure::Earlier)));
        let rows = Arc::new(Rows { documents, matrix });
        CountedSegment { rows: rows.clone(), lines: rows, terms }
    }
}

/// The lines of documents, and what they say.
#[derive(Debug)]
struct Documents {
    lines: Mmap,
    /// The first byte of each line, and behind the last one.
    starts: Table<AtomicU64>,
    /// Terms counted in each document.
    tokens: Table<AtomicU64>,
    /// Bytes of all texts.
    bytes: u64,
    /// The rows that failed.
    failed: Vec<usize>,
    /// So many of the first rows are of a file that the part before has begun, and their records have this number more.
    renumbered: (u64, u64),
}

impl Documents {
    fn read(map: Mmap, manifest: &ManifestFile, loading: &Loading) -> Result<Self> {
        let counts = &manifest.counts;
        let found = memchr::memchr_iter(b'\n', &map).count();
        ensure!(found as u64 == counts.documents, "{found} lines, but {} rows", counts.documents);
        let starts: Table<AtomicU64> = Table::new(found + 1, loading.store)?;
        let tokens: Table<AtomicU64> = Table::new(found, loading.store)?;
        let (mut bytes, mut failed, mut end) = (0u64, Vec::new(), 0);
        for (row, line) in map.split_inclusive(|&byte| byte == b'\n').take(found).enumerate() {
            loading.step(row as u64)?;
            let number = row + 1;
            let document: DocumentLine =
                serde_json::from_slice(line).with_context(|| format!("line {number}"))?;
            tokens[row].store(document.tokens, Ordering::Relaxed);
            bytes = bytes.saturating_add(document.bytes);
            failed.extend(document.has_failed().then_some(row));
            end += line.len() as u64;
            starts[number].store(end, Ordering::Relaxed);
        }
        loading.documents.fetch_add(found as u64 % STEP, Ordering::Relaxed);
        let (failed_now, failed_then) = (failed.len(), counts.failed);
        ensure!(
            failed_now as u64 == failed_then,
            "{failed_now} failed documents, but manifest.json says {failed_then}"
        );
        give_back_input(&map);
        Ok(Documents { lines: map, starts, tokens, bytes, failed, renumbered: (0, 0) })
    }

    fn bytes_of(&self, row: u64) -> Option<&[u8]> {
        let start = |row: u64| Some(self.starts.get(row as usize)?.load(Ordering::Relaxed) as usize);
        self.lines.get(start(row)?..start(row + 1)?)
    }

    fn line(&self, row: u64) -> io::Result<DocumentLine<'_>> {
        let bytes = self.bytes_of(row).ok_or(io::ErrorKind::InvalidData)?;
        let mut line: DocumentLine = serde_json::from_slice(bytes)?;
        let (rows, base) = self.renumbered;
        if row < rows {
            line.record = line.record.and_then(|record| record.checked_add(base));
        }
        Ok(line)
    }
}

impl Loading<'_> {
    /// Counts a line that is read, and looks at the signal.
    fn step(&self, line: u64) -> Result<(), RunError> {
        if line % STEP == STEP - 1 {
            self.documents.fetch_add(STEP, Ordering::Relaxed);
            RunError::if_interrupted(self.interrupted)?;
        }
        Ok(())
    }
}

/// The rows of an output, for the workers.
#[derive(Debug)]
struct Rows {
    documents: Documents,
    matrix: Matrix,
}

impl CountedRows for Rows {
    fn cells(&self, row: u64, cells: &mut Vec<(u32, i32)>) {
        self.matrix.counts(row as usize, cells);
    }

    fn rows(&self) -> u64 {
        self.documents.tokens.len() as u64
    }

    fn nonzeros(&self, row: u64) -> u64 {
        self.matrix.nonzeros(row as usize)
    }

    fn tokens(&self, row: u64) -> u64 {
        self.documents.tokens.get(row as usize).map_or(0, |tokens| tokens.load(Ordering::Relaxed))
    }

    fn give_back(&self) {
        self.matrix.give_back();
        give_back_input(&self.documents.lines);
    }
}

impl MergedLines for Rows {
    fn line(&self, row: u64) -> io::Result<DocumentLine<'_>> {
        self.documents.line(row)
    }

    fn unchanged(&self, row: u64) -> Option<&[u8]> {
        let (renumbered, _) = self.documents.renumbered;
        self.documents.bytes_of(row).filter(|_| row >= renumbered)
    }
}

/// The terms of the columns, in their order.
fn terms(map: &[u8], columns: u64, loading: &Loading) -> Result<Run> {
    let found = memchr::memchr_iter(b'\n', map).count();
    ensure!(found as u64 == columns, "{found} lines, but {columns} columns");
    // A line has more bytes than its term has in the run.
    let mut terms = RunWriter::new(found, map.len(), loading.counts_occurrences, loading.store)?;
    for (number, line) in (1..).zip(map.split_inclusive(|&byte| byte == b'\n').take(found)) {
        if number % STEP as usize == 0 {
            RunError::if_interrupted(loading.interrupted)?;
        }
        let line = TermLine::read(line).with_context(|| format!("line {number}"))?;
        let (term, df) = (line.term, line.df);
        let documents = u32::try_from(df).unwrap_or(u32::MAX);
        match terms.push(term.as_bytes(), documents) {
            Ok(()) => {}
            Err(TermError::Order) => bail!("its terms are not in order"),
            Err(TermError::TooMany) => bail!("its terms are more than its lines"),
            Err(TermError::System(error)) => return Err(error.into()),
        }
    }
    Ok(terms.finish()?)
}

/// What an output can be merged for, by its settings and its files; `None` if it can't be merged.
pub fn mergeable(settings: &Settings, matrix: &str, has_hash_terms: bool) -> Option<Mergeable> {
    let is_mergeable = unmergeable(settings).is_none() && matrix == MERGED_MATRIX && !has_hash_terms;
    is_mergeable.then_some(match settings.columns.features {
        FeatureKind::Hashed => Mergeable::Buckets,
        FeatureKind::Vocabulary => Mergeable::Terms,
    })
}

/// The file of a matrix that can be merged.
const MERGED_MATRIX: &str = "matrix.npz";

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
