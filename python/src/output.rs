//! An output directory, read for Python: all its files are opened at once, and each is checked and read when it is asked for.
//!
//! Tables go to Python by Arrow's C stream interface, so no Python object is made for a line. The matrix stays in its file: Python
//! maps the descriptor at the offsets that were checked here.

use anyhow::{Context as _, Result, ensure};
use arrow_array::builder::{Float64Builder, Int64Builder, LargeStringBuilder};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchIterator};
use bowline::WeightKind;
use bowline::output::{
    DOCUMENTS, DocumentLine, MANIFEST, ManifestFile, Matrix, OpenOutput, TermLine, VOCABULARY,
};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList};
use std::io;
use std::os::fd::IntoRawFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The files of an output, open. Each is checked when it is read.
#[pyclass(frozen, module = "bowline._native")]
pub struct OutputFiles {
    /// A file is read by one thread at a time: all share its position.
    files: Mutex<OpenOutput>,
    manifest: ManifestFile,
    /// The bytes of the manifest.
    text: Vec<u8>,
}

/// An array in a file: the offset of its first byte, the number of elements, and their type as NumPy writes it.
type Place = (usize, usize, &'static str);

#[pymethods]
impl OutputFiles {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| {
            let files = OpenOutput::open(&path)?;
            let manifest = ManifestFile::read(&files).with_context(|| files.shown(None))?;
            let text = files.read(MANIFEST).with_context(|| files.shown(Some(MANIFEST)))?;
            Ok(OutputFiles { files: Mutex::new(files), manifest, text })
        })
        .map_err(raised)
    }

    /// The bytes of manifest.json.
    fn manifest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.text)
    }

    /// The terms, in the order of the columns; None for hashed features.
    fn terms<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let terms = py.detach(|| self.read_terms()).map_err(raised)?;
        terms.map(|terms| PyList::new(py, terms.iter().map(|line| &*line.term))).transpose()
    }

    /// vocabulary.jsonl as a table; None for hashed features.
    fn vocabulary(&self, py: Python<'_>) -> PyResult<Option<Table>> {
        let table = || self.read_terms()?.map(|terms| self.vocabulary_table(&terms)).transpose();
        py.detach(table).map_err(raised)
    }

    /// documents.jsonl as a table.
    fn documents(&self, py: Python<'_>) -> PyResult<Table> {
        py.detach(|| documents_table(&self.read_documents()?)).map_err(raised)
    }

    /// The failed documents of documents.jsonl and their rows as a table.
    fn failures(&self, py: Python<'_>) -> PyResult<Table> {
        py.detach(|| failures_table(&self.read_documents()?)).map_err(raised)
    }

    /// The name of the matrix's file; a descriptor of it, which the caller closes; and the arrays in it: data, indices and indptr
    /// of compressed sparse rows, or the elements of a dense matrix. All rows and columns are in bounds, and the columns of a row
    /// ascend. None for a format that is not read here.
    fn matrix(&self, py: Python<'_>) -> PyResult<Option<(i32, Vec<Place>)>> {
        py.detach(|| self.matrix_places()).map_err(raised)
    }

    /// The path of one of its files, for messages and readers of other formats.
    fn shown(&self, name: &str) -> String {
        self.with_files(|files| files.shown(Some(name)))
    }
}

impl OutputFiles {
    fn with_files<T>(&self, use_files: impl FnOnce(&OpenOutput) -> T) -> T {
        // A panic elsewhere leaves nothing half done in it: each read begins at the start of a file.
        use_files(&self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read_terms(&self) -> Result<Option<Vec<TermLine<'static>>>> {
        self.with_files(|files| {
            if !files.has(VOCABULARY) {
                return Ok(None);
            }
            let terms: Vec<TermLine> =
                files.lines(VOCABULARY).with_context(|| files.shown(Some(VOCABULARY)))?;
            self.check_lines(files, VOCABULARY, terms.len(), self.manifest.counts.columns)?;
            Ok(Some(terms))
        })
    }

    fn read_documents(&self) -> Result<Vec<DocumentLine<'static>>> {
        self.with_files(|files| {
            let lines: Vec<DocumentLine> =
                files.lines(DOCUMENTS).with_context(|| files.shown(Some(DOCUMENTS)))?;
            self.check_lines(files, DOCUMENTS, lines.len(), self.manifest.counts.documents)?;
            Ok(lines)
        })
    }

    fn check_lines(&self, files: &OpenOutput, name: &str, lines: usize, expected: u64) -> Result<()> {
        let shown = || files.shown(Some(name));
        ensure!(lines as u64 == expected, "{}: {lines} lines, {MANIFEST} says {expected}", shown());
        Ok(())
    }

    fn vocabulary_table(&self, terms: &[TermLine]) -> Result<Table> {
        let has_idf = matches!(self.manifest.settings.values.weight, WeightKind::Tfidf | WeightKind::Bm25);
        let idf = || {
            let mut idf = Float64Builder::with_capacity(terms.len());
            idf.extend(terms.iter().map(|line| line.idf));
            Arc::new(idf.finish()) as ArrayRef
        };
        let columns = [
            ("term", strings(terms.iter().map(|line| Some(&*line.term)))),
            ("df", numbers(terms.iter().map(|line| Some(line.df)))?),
        ];
        table(columns.into_iter().chain(has_idf.then(|| ("idf", idf()))))
    }

    fn matrix_places(&self) -> Result<Option<(i32, Vec<Place>)>> {
        self.with_files(|files| {
            let Some(matrix) = Matrix::read(files, &self.manifest)? else { return Ok(None) };
            let places = matrix.arrays().into_iter();
            let places = places.map(|array| (array.bytes.start, array.elements, array.dtype)).collect();
            let file = files.file(&self.manifest.matrix).and_then(|file| Ok(file.try_clone()?));
            let file = file.with_context(|| files.shown(Some(&self.manifest.matrix)))?;
            Ok(Some((file.into_raw_fd(), places)))
        })
    }
}

/// A table in memory that any reader of Arrow's C stream interface takes without a copy.
#[pyclass(frozen, module = "bowline._native")]
pub struct Table(RecordBatch);

#[pymethods]
impl Table {
    /// The table as a stream of one batch. It has the schema that it has, whichever is asked for.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches = RecordBatchIterator::new([Ok(self.0.clone())], self.0.schema());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(batches)), c"arrow_array_stream")
    }
}

/// A table of columns that may all have nulls, so that each output has the same schema.
fn table(columns: impl IntoIterator<Item = (&'static str, ArrayRef)>) -> Result<Table> {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(Table(RecordBatch::try_from_iter_with_nullable(columns)?))
}

fn strings<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = LargeStringBuilder::new();
    builder.extend(values);
    Arc::new(builder.finish())
}

fn numbers(values: impl Iterator<Item = Option<u64>>) -> Result<ArrayRef> {
    let mut builder = Int64Builder::new();
    for value in values {
        builder.append_option(value.map(i64::try_from).transpose().context("a number is too large")?);
    }
    Ok(Arc::new(builder.finish()))
}

fn documents_table(lines: &[DocumentLine]) -> Result<Table> {
    table([
        ("path", strings(lines.iter().map(|line| Some(&*line.path)))),
        ("record", numbers(lines.iter().map(|line| line.record))?),
        ("member", strings(lines.iter().map(|line| line.member.as_deref()))),
        ("id", strings(lines.iter().map(|line| line.id.as_deref()))),
        ("encoding", strings(lines.iter().map(|line| line.encoding.as_deref()))),
        ("bytes", numbers(lines.iter().map(|line| Some(line.bytes)))?),
        ("tokens", numbers(lines.iter().map(|line| Some(line.tokens)))?),
        ("status", strings(lines.iter().map(|line| Some(&*line.status)))),
        ("cause", strings(lines.iter().map(|line| line.cause.as_deref()))),
    ])
}

fn failures_table(lines: &[DocumentLine]) -> Result<Table> {
    let failed: Vec<_> = lines.iter().zip(0..).filter(|(line, _)| line.cause.is_some()).collect();
    let of = |field: for<'a> fn(&'a DocumentLine) -> Option<&'a str>| {
        strings(failed.iter().map(|(line, _)| field(line)))
    };
    table([
        ("row", numbers(failed.iter().map(|(_, row)| Some(*row)))?),
        ("path", of(|line| Some(&*line.path))),
        ("record", numbers(failed.iter().map(|(line, _)| line.record))?),
        ("member", of(|line| line.member.as_deref())),
        ("id", of(|line| line.id.as_deref())),
        ("cause", of(|line| line.cause.as_deref())),
    ])
}

/// The exception of an error: that of the system's error, or `ValueError` for an output that is damaged.
fn raised(error: anyhow::Error) -> PyErr {
    let text = format!("{error:#}");
    let number = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    match number {
        Some(number) => PyOSError::new_err((number, text)),
        None => PyValueError::new_err(text),
    }
}
