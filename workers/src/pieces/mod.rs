//! Matrix files whose size is known only once their rows are encoded: text, Parquet and Arrow.
//!
//! Such a file is a head, pieces, and a foot. A piece contains consecutive rows. [`cut`] chooses them by rows and cells
//! alone, so that neither the number of workers nor a memory limit can change a byte. Workers encode each piece twice: first
//! to measure it, then, once the coordinator knows the lengths of all pieces before it, to write it at its offset. So no
//! piece is kept in memory.
//!
//! Owns the formats of these files. The values come from `emit`.

mod arrow;
mod parquet;
mod text;

use crate::cells::{Element, cells};
use crate::documents::DocumentName;
use crate::emit;
use crate::matrix_plan::{Dtype, MatrixPlan};
use crate::plan::{Container, Plan};
use crate::protocol::{PieceSize, Report};
use ::parquet::data_type::{DataType, DoubleType, FloatType, Int32Type, Int64Type};
use serde::Serialize;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Cells after which a piece ends, unless its first row has more.
const MAX_CELLS: u64 = 256 << 10;

/// Rows after which a piece ends.
const MAX_ROWS: u64 = 64 << 10;

/// The format of a matrix file that is written in pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PieceFormat {
    /// Matrix Market coordinate format: a line a cell.
    Mtx,
    /// The format of SVMlight: a line a row.
    Svmlight,
    /// Apache Parquet: a row a document, a row group a piece.
    Parquet,
    /// Apache Arrow's IPC file format: a row a document, a record batch a piece.
    Arrow,
}

/// The shape of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Rows.
    pub rows: u64,
    /// Columns.
    pub columns: u64,
    /// Stored cells.
    pub nonzeros: u64,
    /// The element type of the values.
    pub dtype: Dtype,
}

/// Consecutive rows of a file.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The rows.
    pub rows: Range<u64>,
    /// Bytes that they take.
    pub size: PieceSize,
}

impl PieceFormat {
    /// The name of the file in the output directory.
    pub fn file_name(self) -> &'static str {
        match self {
            PieceFormat::Mtx => "matrix.mtx",
            PieceFormat::Svmlight => "matrix.svm",
            PieceFormat::Parquet => "matrix.parquet",
            PieceFormat::Arrow => "matrix.arrow",
        }
    }

    /// The largest number of columns that a file can have.
    pub fn max_columns(self) -> u64 {
        match self {
            PieceFormat::Mtx | PieceFormat::Svmlight => u64::MAX,
            PieceFormat::Parquet | PieceFormat::Arrow => i32::MAX as u64,
        }
    }

    /// The largest number of cells that a row can have.
    pub fn max_row(self) -> u64 {
        match self {
            // A page contains whole rows, and its size is a number of 32 bits.
            PieceFormat::Parquet => 128 << 20,
            _ => self.max_columns(),
        }
    }

    /// The bytes before the first piece.
    pub fn head(self, shape: &Shape) -> Vec<u8> {
        match self {
            PieceFormat::Mtx => text::mtx_head(shape),
            PieceFormat::Svmlight => Vec::new(),
            PieceFormat::Parquet => parquet::MAGIC.to_vec(),
            PieceFormat::Arrow => arrow::head(shape),
        }
    }

    /// The bytes after the last piece. The first one starts at byte `offset`.
    ///
    /// # Errors
    /// If the format has no room for so many pieces.
    pub fn foot(self, shape: &Shape, offset: u64, pieces: &[Piece]) -> io::Result<Vec<u8>> {
        match self {
            PieceFormat::Mtx | PieceFormat::Svmlight => Ok(Vec::new()),
            PieceFormat::Parquet => parquet::foot(shape, offset, pieces).map_err(io::Error::other),
            PieceFormat::Arrow => arrow::foot(shape, offset, pieces),
        }
    }
}

/// Cuts the plan's rows into pieces.
pub fn cut(plan: &MatrixPlan) -> impl Iterator<Item = Range<u64>> {
    let rows = plan.places.len() as u64;
    let offset = |row: u64| plan.indptr[row as usize].load(Ordering::Relaxed);
    let mut first = 0;
    std::iter::from_fn(move || {
        let mut last = (first < rows).then_some(first + 1)?;
        // Zeroes in the place of a lost table are not in order.
        let fits = |last: u64| offset(last).saturating_sub(offset(first)) <= MAX_CELLS;
        while last < rows && last - first < MAX_ROWS && fits(last + 1) {
            last += 1;
        }
        let piece = first..last;
        first = last;
        Some(piece)
    })
}

/// Encodes the rows `rows`, and writes them to the plan's matrix file from byte `offset` on. Without an offset it only
/// measures them.
///
/// # Errors
/// The system's error, if the file cannot be written.
pub(crate) fn encode(plan: &Plan, rows: Range<u64>, offset: Option<u64>) -> io::Result<Report> {
    let Container::Pieces(format) = plan.container else { return Ok(Report::Broken { errno: 0 }) };
    let rows = rows.start as usize..rows.end as usize;
    match plan.matrix.values.dtype {
        Dtype::I32 => encode_as::<i32>(plan, format, rows, offset),
        Dtype::I64 => encode_as::<i64>(plan, format, rows, offset),
        Dtype::F32 => encode_as::<f32>(plan, format, rows, offset),
        Dtype::F64 => encode_as::<f64>(plan, format, rows, offset),
    }
}

fn encode_as<T: Value>(
    plan: &Plan,
    format: PieceFormat,
    rows: Range<usize>,
    offset: Option<u64>,
) -> io::Result<Report> {
    let first = plan.matrix.indptr[rows.start].load(Ordering::Relaxed);
    let starts = plan.matrix.indptr.iter().skip(rows.start).take(rows.len() + 1);
    let starts = starts.map(|start| start.load(Ordering::Relaxed).wrapping_sub(first) as usize).collect();
    let (columns, values) = match cells::<u32, T>(&plan.matrix, rows.clone()) {
        Ok(cells) => cells,
        Err(error) => return Ok(error.into()),
    };
    let rows = Rows { plan, rows, starts, columns, values };
    if !rows.is_sound() {
        return Ok(Report::Broken { errno: 0 });
    }
    let (bytes, size) = match format {
        PieceFormat::Mtx => PieceSize::whole(text::mtx(&rows)?),
        PieceFormat::Svmlight => PieceSize::whole(text::svmlight(&rows)?),
        PieceFormat::Parquet => parquet::row_group(&rows).map_err(io::Error::other)?,
        PieceFormat::Arrow => PieceSize::whole(arrow::batch(&rows)?),
    };
    if let Some(offset) = offset {
        emit::write(plan, &bytes, offset)?;
    }
    Ok(Report::Piece(size))
}

impl PieceSize {
    /// The size of a piece that has no parts.
    fn whole(bytes: Vec<u8>) -> (Vec<u8>, Self) {
        let size = PieceSize { bytes: bytes.len() as u64, ..PieceSize::default() };
        (bytes, size)
    }
}

/// An element type of values, as the formats store it.
trait Value: Element + Serialize {
    /// Its type in a Parquet file.
    type Parquet: DataType<T = Self>;
}

impl Value for i32 {
    type Parquet = Int32Type;
}

impl Value for i64 {
    type Parquet = Int64Type;
}

impl Value for f32 {
    type Parquet = FloatType;
}

impl Value for f64 {
    type Parquet = DoubleType;
}

/// The rows of a piece.
struct Rows<'a, T> {
    plan: &'a Plan,
    /// Their numbers in the matrix.
    rows: Range<usize>,
    /// The first cell of each row, and after the last row the number of all cells.
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<T>,
}

/// The document of a row, as the columns of a table identify it.
struct Label {
    /// Its path, as in `documents.jsonl`.
    path: String,
    /// The number of its record in the file, if it is one.
    record: Option<i64>,
    /// Its id, if it has one.
    id: Option<String>,
}

/// Identifies the document of a row. A member of an archive has its path there as its identifier.
fn label(plan: &Plan, row: usize) -> Label {
    let DocumentName { path, record, member, id } = plan.name(row);
    Label { path, record: record.map(|record| record as i64), id: id.or(member) }
}

impl<T> Rows<'_, T> {
    /// Whether each row is a part of the cells, after the row before it.
    fn is_sound(&self) -> bool {
        self.starts.first() == Some(&0)
            && self.starts.is_sorted()
            && self.starts.last() == Some(&self.columns.len())
    }

    /// The columns and values of each row, with the row's number.
    fn cells(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = (u32, &T)>)> {
        self.rows.clone().zip(self.starts.windows(2)).map(|(row, ends)| {
            let cells = ends[0]..ends[1];
            (row, self.columns[cells.clone()].iter().copied().zip(&self.values[cells]))
        })
    }

    /// The document of each row.
    fn labels(&self) -> impl Iterator<Item = Label> {
        self.rows.clone().map(|row| label(self.plan, row))
    }
}
