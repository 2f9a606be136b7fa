//! Rows to arrays: maps numbers to columns, sorts, weights, normalises, and writes each row at its place in the output.
//!
//! Floats are computed only here, in column order and double precision, so that no timing can change a bit. Receives
//! offsets and element types; does not know the container around the arrays.

use crate::mapped::write_behind;
use crate::plan::{Bm25Tf, Container, Dtype, NO_COLUMN, Norm, Numbering, Plan, RowPassages, Weight};
use crate::protocol::{Layout, Report};
use crate::radix::sort_by_column;
use crate::row;
use bytemuck::Pod;
use ndarray::{Array1, s};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

/// An element type of values.
pub(crate) trait Element: Pod {
    fn from_count(count: i32) -> Self;
    fn from_value(value: f64) -> Self;
    fn is_finite(self) -> bool;
}

macro_rules! element {
    ($($t:ty: $is_finite:expr),*) => {$(
        impl Element for $t {
            fn from_count(count: i32) -> Self {
                count as $t
            }
            fn from_value(value: f64) -> Self {
                value as $t
            }
            fn is_finite(self) -> bool {
                $is_finite(self)
            }
        }
    )*};
}
element!(i32: |_| true, i64: |_| true, f32: f32::is_finite, f64: f64::is_finite);

/// An element type of column indices.
pub(crate) trait Index: Pod {
    fn from_column(column: u32) -> Self;
}

impl Index for i32 {
    fn from_column(column: u32) -> Self {
        column as i32
    }
}

impl Index for u32 {
    fn from_column(column: u32) -> Self {
        column
    }
}

impl Index for i64 {
    fn from_column(column: u32) -> Self {
        column as i64
    }
}

/// Writes the rows `rows` to the plan's matrix file, at the places that `layout` gives.
///
/// # Errors
/// The system's error, if the file cannot be written.
pub(crate) fn emit(plan: &Plan, rows: Range<u64>, layout: &Layout) -> io::Result<Report> {
    let rows = rows.start as usize..rows.end as usize;
    match plan.values.dtype {
        Dtype::I32 => emit_as::<i32>(plan, rows, layout),
        Dtype::I64 => emit_as::<i64>(plan, rows, layout),
        Dtype::F32 => emit_as::<f32>(plan, rows, layout),
        Dtype::F64 => emit_as::<f64>(plan, rows, layout),
    }
}

/// Stores the length of each row of `rows` in the row's element of the plan's `indptr`.
pub(crate) fn measure(plan: &Plan, rows: Range<u64>) {
    let mut scratch = Row::default();
    for row in rows.start as usize..rows.end as usize {
        scratch.load(plan, row);
        plan.indptr[row].store(scratch.cells.len() as u64, Ordering::Relaxed);
    }
}

/// Sets the plan's frequencies of the columns in `range`, that is, in how many rows each is stored, and their idf.
/// Repeating the call gives the same result.
pub(crate) fn count_columns(plan: &Plan, range: Range<u64>) {
    let range = range.start as usize..range.end as usize;
    let mut documents = vec![0u32; range.len()];
    let mut scratch = Row::default();
    for row in 0..plan.places.len() {
        scratch.load(plan, row);
        for &cell in &scratch.cells {
            if let Some(documents) = documents.get_mut((column(cell) as usize).wrapping_sub(range.start)) {
                *documents += 1;
            }
        }
    }
    for (column, documents) in range.zip(documents) {
        plan.frequencies[column].store(documents, Ordering::Relaxed);
        if let (Some(formula), Some(slot)) = (plan.formula, plan.idf.get(column)) {
            slot.store(formula.of(plan.embedded, documents as u64).to_bits(), Ordering::Relaxed);
        }
    }
}

fn emit_as<T: Element>(plan: &Plan, rows: Range<usize>, layout: &Layout) -> io::Result<Report> {
    match plan.container {
        Container::Sparse if layout.wide => sparse::<i64, T>(plan, rows, layout),
        Container::Sparse => sparse::<i32, T>(plan, rows, layout),
        Container::Dense => dense::<T>(plan, rows, layout),
        // `pieces` writes them.
        Container::Pieces(_) => Ok(Report::Broken { errno: 0 }),
    }
}

/// The columns and values of the stored cells of the rows `rows`.
///
/// # Errors
/// The report of the task, if a value is not finite, or if the cells are not as many as the plan's `indptr` says.
pub(crate) fn cells<I: Index, T: Element>(
    plan: &Plan,
    rows: Range<usize>,
) -> Result<(Vec<I>, Vec<T>), Box<Report>> {
    let broken = || Box::new(Report::Broken { errno: 0 });
    let start = plan.indptr[rows.start].load(Ordering::Relaxed);
    let end = plan.indptr[rows.end].load(Ordering::Relaxed);
    let cells = end.checked_sub(start).ok_or_else(broken)? as usize;
    let (mut indices, mut data) = (Vec::with_capacity(cells), Vec::with_capacity(cells));
    let mut scratch = Row::default();
    for row in rows {
        scratch.load(plan, row);
        indices.extend(scratch.cells.iter().map(|&cell| I::from_column(column(cell))));
        if let Err(NotFinite(at)) = scratch.values(plan, &mut data) {
            return Err(Box::new(scratch.not_finite(row, at)));
        }
    }
    match indices.len() == cells {
        true => Ok((indices, data)),
        false => Err(broken()),
    }
}

/// Writes bytes of the plan's matrix file at their place.
pub(crate) fn write(plan: &Plan, bytes: &[u8], place: u64) -> io::Result<()> {
    plan.files.matrix.write_all_at(bytes, place)?;
    write_behind(&plan.files.matrix, place..place + bytes.len() as u64);
    Ok(())
}

fn sparse<I: Index, T: Element>(plan: &Plan, rows: Range<usize>, layout: &Layout) -> io::Result<Report> {
    let start = plan.indptr[rows.start].load(Ordering::Relaxed);
    // Rows whose lengths differ from the computed offsets would overwrite their neighbours.
    let (indices, data): (Vec<I>, Vec<T>) = match cells(plan, rows) {
        Ok(cells) => cells,
        Err(report) => return Ok(*report),
    };
    let (indices, data): (&[u8], &[u8]) = (bytemuck::cast_slice(&indices), bytemuck::cast_slice(&data));
    write(plan, indices, layout.indices + start * size_of::<I>() as u64)?;
    write(plan, data, layout.data + start * size_of::<T>() as u64)?;
    Ok(Report::Emitted { indices: crc32fast::hash(indices), data: crc32fast::hash(data) })
}

/// Bytes of a dense row that one write takes: 64 KiB.
const DENSE_CHUNK: usize = 64 << 10;

/// Writes the stored cells and the zeroes near them. The file contains only zeroes before, so ranges without a cell are
/// not written.
fn dense<T: Element>(plan: &Plan, rows: Range<usize>, layout: &Layout) -> io::Result<Report> {
    let columns = layout.columns as usize;
    let chunk = DENSE_CHUNK / size_of::<T>();
    let mut scratch = Row::default();
    let mut data: Vec<T> = Vec::new();
    let mut buffer = Array1::from_elem(chunk, T::zeroed());
    for row in rows {
        scratch.load(plan, row);
        data.clear();
        if let Err(NotFinite(at)) = scratch.values(plan, &mut data) {
            return Ok(scratch.not_finite(row, at));
        }
        let mut values = data.as_slice();
        let chunk_of = |cell: u64| column(cell) as usize / chunk;
        for cells in scratch.cells.chunk_by(|&a, &b| chunk_of(a) == chunk_of(b)) {
            let start = chunk_of(cells[0]) * chunk;
            let (of_cells, rest) = values.split_at(cells.len());
            values = rest;
            let (first, last) = (column(cells[0]) as usize, column(cells[cells.len() - 1]) as usize);
            let mut out = buffer.slice_mut(s![first - start..=last - start]);
            out.fill(T::zeroed());
            for (&cell, &value) in cells.iter().zip(of_cells) {
                out[column(cell) as usize - first] = value;
            }
            let place = layout.data + ((row * columns + first) * size_of::<T>()) as u64;
            let bytes = out.as_slice().map(bytemuck::cast_slice).unwrap_or_default();
            write(plan, bytes, place)?;
        }
    }
    Ok(Report::Emitted { indices: 0, data: 0 })
}

/// One row in preparation: its cells, each a column and a value, in column order.
#[derive(Default)]
struct Row {
    cells: Vec<u64>,
    spare: Vec<u64>,
    values: Vec<f64>,
    passages: RowPassages,
    /// Terms counted in the document, before any pruning.
    length: u64,
}

#[inline]
fn cell(column: u32, value: i32) -> u64 {
    (column as u64) << 32 | value as u32 as u64
}

#[inline]
fn column(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[inline]
fn count(cell: u64) -> i32 {
    cell as u32 as i32
}

impl Row {
    /// Loads row `row` of the plan. The row is empty if it has no record.
    fn load(&mut self, plan: &Plan, row: usize) {
        self.cells.clear();
        self.length = 0;
        let Some((segment, _)) = plan.places.get(row) else { return };
        let Some(record) = plan.record_in_order(row, &mut self.passages) else { return };
        self.length = record.tokens();
        let pairs = row::pairs(record.row());
        let columns = &plan.segments[segment].columns;
        let number =
            |id: u32| columns.get(id as usize).map_or(NO_COLUMN, |column| column.load(Ordering::Relaxed));
        match plan.numbering {
            Numbering::Columns => self.cells.extend(pairs.map(|(column, value)| cell(column, value))),
            Numbering::LocalIds => {
                self.cells.extend(pairs.filter_map(|(id, value)| {
                    let column = number(id);
                    (column != NO_COLUMN).then_some(cell(column, value))
                }));
                // Each local id has its own column.
                sort_by_column(&mut self.cells, &mut self.spare);
            }
            Numbering::LocalIdsOfBuckets(_) => {
                self.cells.extend(pairs.filter_map(|(id, value)| {
                    let bucket = number(id);
                    let value = if bucket & 1 == 1 { value.wrapping_neg() } else { value };
                    (bucket != NO_COLUMN).then_some(cell(bucket >> 1, value))
                }));
                self.cells.sort_unstable();
                self.cells.dedup_by(|next, kept| {
                    let same = column(*next) == column(*kept);
                    if same {
                        *kept = cell(column(*kept), count(*kept).saturating_add(count(*next)));
                    }
                    same
                });
            }
        }
    }

    /// The report of a value that is not finite: the cell at index `at`.
    fn not_finite(&self, row: usize, at: usize) -> Report {
        Report::NotFinite { row: row as u64, column: self.cells.get(at).map_or(0, |&cell| column(cell)) }
    }

    /// Appends the values of the row's cells to `data`.
    ///
    /// # Errors
    /// If a value is not finite.
    fn values<T: Element>(&mut self, plan: &Plan, data: &mut Vec<T>) -> Result<(), NotFinite> {
        let cells = &self.cells;
        match plan.values.weight {
            Weight::Count if plan.values.norm == Norm::None => {
                data.extend(cells.iter().map(|&cell| T::from_count(count(cell))));
                return Ok(());
            }
            Weight::Binary if plan.values.norm == Norm::None => {
                data.extend(cells.iter().map(|_| T::from_count(1)));
                return Ok(());
            }
            _ => {}
        }
        let idf = |cell: u64| f64::from_bits(plan.idf[column(cell) as usize].load(Ordering::Relaxed));
        self.values.clear();
        match plan.values.weight {
            Weight::Count => self.values.extend(cells.iter().map(|&cell| count(cell) as f64)),
            Weight::Binary => self.values.extend(cells.iter().map(|_| 1.0)),
            Weight::TfIdf { sublinear: false } => {
                self.values.extend(cells.iter().map(|&cell| count(cell) as f64 * idf(cell)));
            }
            Weight::TfIdf { sublinear: true } => {
                self.values.extend(cells.iter().map(|&cell| ((count(cell) as f64).ln() + 1.0) * idf(cell)));
            }
            Weight::Bm25 { k1, b, tf } => {
                let length = match tf {
                    _ if plan.mean_length <= 0.0 => 1.0 - b,
                    Bm25Tf::Plain { .. } => 1.0 - b + b * (self.length as f64 / plan.mean_length),
                    // In the order of the reference: the subtraction below makes the last bits significant.
                    _ => 1.0 - b + b * self.length as f64 / plan.mean_length,
                };
                self.values.extend(cells.iter().map(|&cell| {
                    let ((tf, absent), idf) = (tf.of(count(cell) as f64, k1, length), idf(cell));
                    idf * tf - idf * absent
                }));
            }
        }
        normalise(&mut self.values, plan.values.norm)?;
        data.extend(self.values.iter().map(|&value| T::from_value(value)));
        let written = &data[data.len() - self.values.len()..];
        match written.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(NotFinite(written.iter().position(|value| !value.is_finite()).unwrap_or(0))),
        }
    }
}

/// A value that is not finite; the index of its cell in the row.
#[derive(PartialEq, Debug)]
struct NotFinite(usize);

/// Divides the values by their norm. A row of zeroes is unchanged.
///
/// # Errors
/// If a value is not finite.
fn normalise(values: &mut [f64], norm: Norm) -> Result<(), NotFinite> {
    let length = |values: &[f64]| match norm {
        Norm::None => 1.0,
        Norm::L1 => values.iter().map(|value| value.abs()).sum::<f64>(),
        Norm::L2 => values.iter().map(|value| value * value).sum::<f64>().sqrt(),
    };
    let mut divisor = length(values);
    if !divisor.is_normal() {
        // All values are 0, or the sum of squares overflowed or underflowed: values divided by the largest have the same
        // quotients.
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(NotFinite(at));
        }
        if largest == 0.0 {
            return Ok(());
        }
        values.iter_mut().for_each(|value| *value /= largest);
        divisor = length(values);
    }
    if norm != Norm::None {
        values.iter_mut().for_each(|value| *value /= divisor);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms() {
        let normalised = |norm| {
            let mut values = [3.0, -4.0];
            normalise(&mut values, norm).unwrap();
            values
        };
        assert_eq!(normalised(Norm::None), [3.0, -4.0]);
        assert_eq!(normalised(Norm::L1), [3.0 / 7.0, -4.0 / 7.0]);
        assert_eq!(normalised(Norm::L2), [0.6, -0.8]);
        let mut zeroes = [0.0; 3];
        normalise(&mut zeroes, Norm::L2).unwrap();
        assert_eq!(zeroes, [0.0; 3]);
        for scale in [1e-300, 1e-200, 1e200, 1e308] {
            for (norm, expected) in [(Norm::L2, 0.6), (Norm::L1, 3.0 / 7.0)] {
                let mut values = [0.75 * scale, -scale];
                normalise(&mut values, norm).unwrap();
                assert!((values[0] - expected).abs() < 1e-15, "{scale}: {values:?}");
            }
        }
        assert_eq!(normalise(&mut [1.0, f64::INFINITY, 1e199], Norm::L2), Err(NotFinite(1)));
        assert_eq!(normalise(&mut [1.0, f64::NAN], Norm::L1), Err(NotFinite(1)));
    }
}
