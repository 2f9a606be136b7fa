//! Rows to arrays: remapped to columns, sorted, weighted, normalised, and written at their own place of the output.
//!
//! Floats are computed here only, in column order and double precision, so that no timing can change a bit. The
//! worker is given offsets and element types; it does not know the container around them.

use crate::mapped::output_rows;
use crate::plan::{Container, Dtype, NO_COLUMN, Norm, Plan, Weight};
use crate::protocol::{Layout, Report};
use crate::row;
use bytemuck::Pod;
use ndarray::ArrayViewMut2;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

/// A type of values.
trait Element: Pod {
    fn from_count(count: i32) -> Self;
    fn from_value(value: f64) -> Self;
}

macro_rules! element {
    ($($t:ty),*) => {$(
        impl Element for $t {
            fn from_count(count: i32) -> Self {
                count as $t
            }
            fn from_value(value: f64) -> Self {
                value as $t
            }
        }
    )*};
}
element!(i32, i64, f32, f64);

/// A type of column numbers.
trait Index: Pod {
    fn from_column(column: u32) -> Self;
}

impl Index for i32 {
    fn from_column(column: u32) -> Self {
        column as i32
    }
}

impl Index for i64 {
    fn from_column(column: u32) -> Self {
        column as i64
    }
}

/// Writes the rows of `rows` to the plan's file, where `layout` says.
///
/// # Errors
/// The system's, if the file can't be written.
pub fn emit(plan: &Plan, rows: Range<u64>, layout: &Layout) -> io::Result<Report> {
    let rows = rows.start as usize..rows.end as usize;
    match plan.values.dtype {
        Dtype::I32 => emit_as::<i32>(plan, rows, layout),
        Dtype::I64 => emit_as::<i64>(plan, rows, layout),
        Dtype::F32 => emit_as::<f32>(plan, rows, layout),
        Dtype::F64 => emit_as::<f64>(plan, rows, layout),
    }
}

fn emit_as<T: Element>(plan: &Plan, rows: Range<usize>, layout: &Layout) -> io::Result<Report> {
    match plan.container {
        Container::Sparse if layout.wide => sparse::<i64, T>(plan, rows, layout),
        Container::Sparse => sparse::<i32, T>(plan, rows, layout),
        Container::Dense => dense::<T>(plan, rows, layout),
    }
}

fn sparse<I: Index, T: Element>(plan: &Plan, rows: Range<usize>, layout: &Layout) -> io::Result<Report> {
    let start = plan.indptr[rows.start].load(Ordering::Relaxed);
    let end = plan.indptr[rows.end].load(Ordering::Relaxed);
    let mut indices: Vec<I> = Vec::with_capacity((end - start) as usize);
    let mut data: Vec<T> = Vec::with_capacity((end - start) as usize);
    let mut scratch = Row::default();
    for row in rows {
        scratch.load(plan, row);
        indices.extend(scratch.cells.iter().map(|&cell| I::from_column(column(cell))));
        scratch.values(plan, &mut data);
    }
    // A row that disagrees with the offsets computed from it would overwrite its neighbour.
    if indices.len() as u64 != end - start {
        return Ok(Report::Broken { errno: 0 });
    }
    let (indices, data): (&[u8], &[u8]) = (bytemuck::cast_slice(&indices), bytemuck::cast_slice(&data));
    plan.matrix.write_all_at(indices, layout.indices + start * size_of::<I>() as u64)?;
    plan.matrix.write_all_at(data, layout.data + start * size_of::<T>() as u64)?;
    Ok(Report::Emitted { indices: crc32fast::hash(indices), data: crc32fast::hash(data) })
}

fn dense<T: Element>(plan: &Plan, rows: Range<usize>, layout: &Layout) -> io::Result<Report> {
    let columns = layout.columns as usize;
    let offset = layout.data + (rows.start * columns * size_of::<T>()) as u64;
    let mut map = output_rows(&plan.matrix, offset, rows.len() * columns * size_of::<T>())?;
    let shape = (rows.len(), columns);
    let mut view = ArrayViewMut2::<T>::from_shape(shape, bytemuck::cast_slice_mut(&mut map))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut scratch = Row::default();
    let mut data: Vec<T> = Vec::new();
    for (mut out, row) in view.outer_iter_mut().zip(rows) {
        scratch.load(plan, row);
        data.clear();
        scratch.values(plan, &mut data);
        for (&cell, &value) in scratch.cells.iter().zip(&data) {
            out[column(cell) as usize] = value;
        }
    }
    Ok(Report::Emitted { indices: 0, data: 0 })
}

/// One row on its way: cells of a column and a value, in column order.
#[derive(Default)]
struct Row {
    cells: Vec<u64>,
    values: Vec<f64>,
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
    /// Takes row `row` of the plan: empty if it has no record.
    fn load(&mut self, plan: &Plan, row: usize) {
        self.cells.clear();
        let Some((segment, _)) = plan.places.get(row) else { return };
        let Some(record) = plan.record(row) else { return };
        let columns = &plan.segments[segment].columns;
        let pairs = row::pairs(record.row());
        if columns.is_empty() {
            // Hashed features: numbers are columns, and the row is sorted.
            self.cells.extend(pairs.map(|(column, value)| (column as u64) << 32 | value as u32 as u64));
            return;
        }
        self.cells.extend(pairs.filter_map(|(id, value)| {
            let column = columns.get(id as usize)?.load(Ordering::Relaxed);
            (column != NO_COLUMN).then_some((column as u64) << 32 | value as u32 as u64)
        }));
        self.cells.sort_unstable();
    }

    /// Appends the values of the row's cells to `data`.
    fn values<T: Element>(&mut self, plan: &Plan, data: &mut Vec<T>) {
        let binary = plan.values.weight == Weight::Binary;
        let count = |&cell: &u64| if binary { 1 } else { count(cell) };
        if plan.values.norm == Norm::None {
            data.extend(self.cells.iter().map(|cell| T::from_count(count(cell))));
            return;
        }
        self.values.clear();
        self.values.extend(self.cells.iter().map(|cell| count(cell) as f64));
        normalise(&mut self.values, plan.values.norm);
        data.extend(self.values.iter().map(|&value| T::from_value(value)));
    }
}

/// Divides the values by their norm. A row of zeroes stays.
fn normalise(values: &mut [f64], norm: Norm) {
    let length = match norm {
        Norm::None => return,
        Norm::L1 => values.iter().map(|value| value.abs()).sum::<f64>(),
        Norm::L2 => values.iter().map(|value| value * value).sum::<f64>().sqrt(),
    };
    if length > 0.0 {
        values.iter_mut().for_each(|value| *value /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms() {
        let normalised = |norm| {
            let mut values = [3.0, -4.0];
            normalise(&mut values, norm);
            values
        };
        assert_eq!(normalised(Norm::None), [3.0, -4.0]);
        assert_eq!(normalised(Norm::L1), [3.0 / 7.0, -4.0 / 7.0]);
        assert_eq!(normalised(Norm::L2), [0.6, -0.8]);
        let mut zeroes = [0.0; 3];
        normalise(&mut zeroes, Norm::L2);
        assert_eq!(zeroes, [0.0; 3]);
    }
}
