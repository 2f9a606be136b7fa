//! The matrix of an output, read back: sparse or dense, of any element type, as doubles. It maps the file and reads
//! only the requested rows, so a damaged header can't make it take memory.

use super::manifest::ManifestFile;
use super::names::FILES;
use super::npy::{descr, elements};
use super::npz::{Places, find};
use super::reader::OpenOutput;
use anyhow::{Context as _, Result, bail, ensure};
use bowline_workers::mapped::{give_back_input, input};
use bowline_workers::matrix_plan::Dtype;
use memmap2::Mmap;
use std::ops::Range;

/// A matrix of documents (rows) and terms or buckets (columns).
#[derive(Debug)]
pub struct Matrix {
    /// The file.
    map: Mmap,
    dtype: Dtype,
    form: Form,
}

/// An array in the file of a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayPlace {
    /// Where its elements lie.
    pub bytes: Range<usize>,
    /// The number of elements.
    pub elements: usize,
    /// Their type, as NumPy writes it.
    pub dtype: &'static str,
}

#[derive(Debug)]
enum Form {
    /// Compressed sparse rows.
    Sparse(Places),
    /// Where the first row begins, and columns of each.
    Dense(usize, usize),
}

impl Matrix {
    /// The matrix of an output; `None` if its format is written and never read.
    ///
    /// # Errors
    /// If it can't be read, or is not the matrix that the manifest describes.
    pub fn read(output: &OpenOutput, manifest: &ManifestFile) -> Result<Option<Self>> {
        let is_sparse = match manifest.matrix.as_str() {
            "matrix.npz" => true,
            "matrix.npy" => false,
            name if name.starts_with("matrix.") && FILES.contains(&name) => {
                output.file(name).with_context(|| output.shown(Some(name)))?;
                return Ok(None);
            }
            other => bail!("{}: manifest.json names no matrix of bowline: {other}", output.shown(None)),
        };
        let read = Self::read_file(output, manifest, is_sparse);
        read.map(Some).with_context(|| output.shown(Some(&manifest.matrix)))
    }

    fn read_file(output: &OpenOutput, manifest: &ManifestFile, is_sparse: bool) -> Result<Self> {
        let map = input(output.file(&manifest.matrix)?)?;
        let (counts, dtype) = (&manifest.counts, manifest.settings.values.cells().dtype);
        let (rows, columns) = (counts.documents, counts.columns);
        let form = match is_sparse {
            true => find(&map, rows, columns, counts.nonzeros, dtype).map(Form::Sparse),
            false => {
                elements(&map, dtype, &[rows, columns]).map(|start| Form::Dense(start, columns as usize))
            }
        };
        let form = form.context("not the matrix that manifest.json describes")?;
        let matrix = Matrix { map, dtype, form };
        ensure!(matrix.is_sound(columns), "its rows make no sense");
        Ok(matrix)
    }

    /// Whether each row is a part of the cells, behind the row before it, and each cell in a column behind the cell before it.
    fn is_sound(&self, columns: u64) -> bool {
        let Form::Sparse(Places { indptr, indices, wide, .. }) = &self.form else { return true };
        let starts = self.map[indptr.clone()].chunks_exact(width(*wide)).map(integer);
        let indices = &self.map[indices.clone()];
        match wide {
            true => are_rows::<8>(starts, indices, columns),
            false => are_rows::<4>(starts, indices, columns),
        }
    }

    /// The arrays in the file: the values, the columns of the cells, and the first cell of each row; of a dense matrix, all cells.
    pub fn arrays(&self) -> Vec<ArrayPlace> {
        let place = |bytes: Range<usize>, width: usize, dtype| ArrayPlace {
            elements: bytes.len() / width,
            bytes,
            dtype,
        };
        let value = |bytes| place(bytes, self.dtype.size() as usize, descr(self.dtype));
        match &self.form {
            Form::Sparse(Places { indptr, indices, data, wide }) => {
                let number = |bytes: &Range<usize>| {
                    place(bytes.clone(), width(*wide), descr(if *wide { Dtype::I64 } else { Dtype::I32 }))
                };
                vec![value(data.clone()), number(indices), number(indptr)]
            }
            Form::Dense(start, _) => vec![value(*start..self.map.len())],
        }
    }

    /// Whether it is sparse, and each value is a whole number that the engine can have counted, without loss in its type.
    pub(super) fn has_counts(&self) -> bool {
        let Form::Sparse(Places { data, .. }) = &self.form else { return false };
        // The largest number up to which all whole numbers have this type.
        let most = match self.dtype {
            // What most outputs have.
            Dtype::I32 => {
                let values = self.map[data.clone()].as_chunks().0;
                return values.iter().all(|value| i32::from_le_bytes(*value) != i32::MIN);
            }
            Dtype::F32 => f64::from(1 << 24),
            Dtype::I64 | Dtype::F64 => f64::from(i32::MAX),
        };
        let values = self.map[data.clone()].chunks_exact(self.dtype.size() as usize);
        values.map(|bytes| number(bytes, self.dtype)).all(|value| value.abs() <= most && value.fract() == 0.0)
    }

    /// In how many rows each of `columns` columns of a sparse matrix is stored.
    pub(super) fn frequencies(&self, columns: usize) -> Vec<u32> {
        let mut frequencies = vec![0u32; columns];
        let Form::Sparse(Places { indices, wide, .. }) = &self.form else { return frequencies };
        let indices = &self.map[indices.clone()];
        let mut count = |column: u64| {
            if let Some(frequency) = frequencies.get_mut(column as usize) {
                *frequency += 1;
            }
        };
        match wide {
            true => indices.chunks_exact(8).map(integer).for_each(count),
            false => {
                indices.as_chunks().0.iter().for_each(|column| count(u32::from_le_bytes(*column).into()))
            }
        }
        frequencies
    }

    /// The cells of a row of a sparse matrix.
    fn places(&self, row: usize) -> Range<usize> {
        let Form::Sparse(Places { indptr, wide, .. }) = &self.form else { return 0..0 };
        let start = |row: usize| {
            let size = width(*wide);
            integer(&self.map[indptr.start + row * size..][..size]) as usize
        };
        start(row)..start(row + 1)
    }

    /// The number of cells of a row of a sparse matrix.
    pub(super) fn nonzeros(&self, row: usize) -> u64 {
        self.places(row).len() as u64
    }

    /// Replaces `cells` with the columns and counts of a row of a sparse matrix of counts.
    pub(super) fn counts(&self, row: usize, cells: &mut Vec<(u32, i32)>) {
        cells.clear();
        let Form::Sparse(Places { indices, data, wide, .. }) = &self.form else { return };
        let places = self.places(row);
        let bytes = |array: &Range<usize>, size: usize| {
            &self.map[array.start + places.start * size..array.start + places.end * size]
        };
        let (columns, values) = (bytes(indices, width(*wide)), bytes(data, self.dtype.size() as usize));
        match (wide, self.dtype) {
            // What most outputs have.
            (false, Dtype::I32) => {
                let (columns, values) = (columns.as_chunks().0.iter(), values.as_chunks().0.iter());
                let cell = |(column, value): (&[u8; 4], &[u8; 4])| {
                    (u32::from_le_bytes(*column), i32::from_le_bytes(*value))
                };
                cells.extend(columns.zip(values).map(cell));
            }
            _ => {
                let columns = columns.chunks_exact(width(*wide)).map(|bytes| integer(bytes) as u32);
                let values = values.chunks_exact(self.dtype.size() as usize);
                cells.extend(columns.zip(values.map(|bytes| number(bytes, self.dtype) as i32)));
            }
        }
    }

    /// Takes its pages out of this process's memory until they are accessed again.
    pub(super) fn give_back(&self) {
        give_back_input(&self.map);
    }

    /// The cells of a row that are stored, or of a dense one those that are not 0: column and value.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> Vec<(u64, f64)> {
        let element = |start: usize, size: usize, place: usize| &self.map[start + place * size..][..size];
        let value = |start, place| number(element(start, self.dtype.size() as usize, place), self.dtype);
        match &self.form {
            Form::Sparse(Places { indptr, indices, data, wide }) => {
                let integer =
                    |array: &Range<usize>, place| integer(element(array.start, width(*wide), place));
                let cells = integer(indptr, row) as usize..integer(indptr, row + 1) as usize;
                cells.map(|cell| (integer(indices, cell), value(data.start, cell))).collect()
            }
            Form::Dense(start, columns) => {
                let cells =
                    (0..*columns).map(|column| (column as u64, value(*start, row * columns + column)));
                cells.filter(|cell| cell.1 != 0.0).collect()
            }
        }
    }
}

/// Whether `starts` are the bounds of rows of cells in ascending columns, each column of `N` bytes.
fn are_rows<const N: usize>(
    starts: impl DoubleEndedIterator<Item = u64> + Clone,
    cells: &[u8],
    columns: u64,
) -> bool {
    let cells = cells.as_chunks::<N>().0;
    let column = |bytes: &[u8; N]| integer(bytes);
    let is_row = |row: &[[u8; N]]| {
        // Looks at all cells, which takes less time than to stop at the first.
        let ascend = row
            .iter()
            .zip(&row[1.min(row.len())..])
            .fold(true, |ascend, (one, next)| ascend & (column(one) < column(next)));
        ascend && row.last().is_none_or(|last| column(last) < columns)
    };
    starts.clone().next() == Some(0)
        && starts.clone().is_sorted()
        && starts.clone().next_back() == Some(cells.len() as u64)
        && starts.clone().zip(starts.skip(1)).all(|(start, end)| is_row(&cells[start as usize..end as usize]))
}

/// Bytes of a column number or an offset.
fn width(wide: bool) -> usize {
    if wide { 8 } else { 4 }
}

/// A whole number of 32 or 64 bits. A negative one is beyond all bounds.
fn integer(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(narrow) => i32::from_le_bytes(narrow) as u64,
        Err(_) => bytes.try_into().map_or(u64::MAX, u64::from_le_bytes),
    }
}

fn number(bytes: &[u8], dtype: Dtype) -> f64 {
    match dtype {
        Dtype::I32 | Dtype::I64 => integer(bytes) as i64 as f64,
        Dtype::F32 => bytes.try_into().map_or(f64::NAN, |bytes| f32::from_le_bytes(bytes) as f64),
        Dtype::F64 => bytes.try_into().map_or(f64::NAN, f64::from_le_bytes),
    }
}
