//! The tables of a pickle of counts, each as a stream of Arrow's IPC format: the terms, and a row for each document.
//!
//! A checksum finds damage that leaves a table well formed. It is no protection against a pickle that was made to do harm: Python's
//! own pickles can run any code.

use anyhow::Context as _;
use arrow_array::builder::{Int32Builder, LargeListBuilder, UInt32Builder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, UInt32Type, UInt64Type};
use arrow_array::{Array as _, ArrayRef, LargeStringArray, RecordBatch, UInt64Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use bowline_workers::texts::{AnyCsr, Csr, Rows};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;

/// The streams of the terms (None for hashed features) and of the documents, and the checksum of both.
pub type Buffers<'py> = (Option<Bound<'py, PyAny>>, Bound<'py, PyAny>, u32);

/// The error of a pickle that was damaged.
pub fn damaged(why: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("a damaged pickle of Counts: {why}"))
}

/// The tables of a pickle.
pub struct Pickled {
    /// One column: `term`.
    terms: Option<RecordBatch>,
    /// Columns `length`, `columns` and `counts`: the number of terms of a document, and its cells.
    documents: RecordBatch,
}

impl Pickled {
    /// The tables of these counts.
    ///
    /// # Errors
    /// If Arrow refuses them, which it has no reason to.
    pub fn new(terms: Option<LargeStringArray>, lengths: &[u64], rows: AnyCsr<i32>) -> PyResult<Self> {
        let (columns, counts) = match rows {
            AnyCsr::Narrow(rows) => lists(rows),
            AnyCsr::Wide(rows) => lists(rows),
        };
        let lengths: ArrayRef = Arc::new(UInt64Array::from(lengths.to_vec()));
        let terms = terms.map(|terms| table([("term", Arc::new(terms) as ArrayRef)])).transpose()?;
        let documents = table([("length", lengths), ("columns", columns), ("counts", counts)])?;
        Ok(Pickled { terms, documents })
    }

    /// The tables in Python's memory. From protocol 5 on, the pickler may take them as buffers out of the pickle.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn into_buffers(self, py: Python<'_>, protocol: u32) -> PyResult<Buffers<'_>> {
        let mut checksum = crc32fast::Hasher::new();
        let mut buffer = |table: RecordBatch| -> PyResult<Bound<'_, PyAny>> {
            let stream = py.detach(|| stream(&table)).map_err(refused)?;
            checksum.update(&stream);
            let bytes = PyBytes::new(py, &stream).into_any();
            match protocol >= 5 {
                true => py.import("pickle")?.call_method1("PickleBuffer", (bytes,)),
                false => Ok(bytes),
            }
        };
        let (terms, documents) = (self.terms.map(&mut buffer).transpose()?, buffer(self.documents)?);
        Ok((terms, documents, checksum.finalize()))
    }

    /// The tables of these buffers.
    ///
    /// # Errors
    /// `ValueError` if they are not what [`Pickled::into_buffers`] gave.
    pub fn from_buffers(py: Python<'_>, buffers: &Buffers<'_>) -> PyResult<Self> {
        let (terms, documents, expected) = buffers;
        let copied = |buffer: &Bound<'_, PyAny>| PyBuffer::<u8>::get(buffer)?.to_vec(py);
        let (terms, documents) = (terms.as_ref().map(copied).transpose()?, copied(documents)?);
        py.detach(|| {
            let mut checksum = crc32fast::Hasher::new();
            terms.iter().chain([&documents]).for_each(|stream| checksum.update(stream));
            if checksum.finalize() != *expected {
                return Err(damaged("its checksum differs"));
            }
            let terms = terms.map(|stream| read(&stream)).transpose().map_err(damaged)?;
            let documents = read(&documents).map_err(damaged)?;
            Ok(Pickled { terms, documents })
        })
    }

    /// The terms in the order of columns, and the rows.
    ///
    /// # Errors
    /// `ValueError` if the tables have other columns.
    pub fn parts(&self) -> PyResult<(Vec<&str>, Rows<'_>)> {
        self.checked_parts().ok_or_else(|| damaged("its tables have other columns"))
    }

    fn checked_parts(&self) -> Option<(Vec<&str>, Rows<'_>)> {
        let column =
            |name: &str| self.documents.column_by_name(name).filter(|column| column.null_count() == 0);
        let (columns, counts) =
            (column("columns")?.as_list_opt::<i64>()?, column("counts")?.as_list_opt::<i64>()?);
        let is_one_shape = columns.value_offsets() == counts.value_offsets();
        let has_nulls = columns.values().null_count() + counts.values().null_count() > 0;
        let rows = Rows {
            lengths: column("length")?.as_primitive_opt::<UInt64Type>()?.values(),
            offsets: columns.value_offsets(),
            columns: columns.values().as_primitive_opt::<UInt32Type>()?.values(),
            counts: counts.values().as_primitive_opt::<Int32Type>()?.values(),
        };
        let terms = match &self.terms {
            None => Vec::new(),
            Some(terms) => {
                terms.column_by_name("term")?.as_string_opt::<i64>()?.iter().collect::<Option<_>>()?
            }
        };
        (is_one_shape && !has_nulls).then_some((terms, rows))
    }
}

/// The columns and the counts of rows, as a list for each row.
fn lists<I: Copy + Into<i64>>(rows: Csr<I, i32>) -> (ArrayRef, ArrayRef) {
    let Csr { data, indices, indptr } = rows;
    let columns = UInt32Builder::with_capacity(indices.len());
    let mut columns = LargeListBuilder::with_capacity(columns, indptr.len());
    let mut counts = LargeListBuilder::with_capacity(Int32Builder::with_capacity(data.len()), indptr.len());
    for row in indptr.windows(2) {
        let cells = row[0].into() as usize..row[1].into() as usize;
        // A column is a u32 in the engine.
        indices[cells.clone()].iter().for_each(|&column| columns.values().append_value(column.into() as u32));
        counts.values().append_slice(&data[cells]);
        columns.append(true);
        counts.append(true);
    }
    (Arc::new(columns.finish()), Arc::new(counts.finish()))
}

fn table<const N: usize>(columns: [(&str, ArrayRef); N]) -> PyResult<RecordBatch> {
    RecordBatch::try_from_iter(columns).map_err(refused)
}

fn refused(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The stream of a table.
fn stream(table: &RecordBatch) -> anyhow::Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &table.schema())?;
    writer.write(table)?;
    Ok(writer.into_inner()?)
}

/// The table of a stream.
fn read(stream: &[u8]) -> anyhow::Result<RecordBatch> {
    StreamReader::try_new(stream, None)?.next().context("a stream without a table")?.map_err(Into::into)
}
