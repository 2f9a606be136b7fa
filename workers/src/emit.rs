//! Cells to arrays: writes each row at its place in the output.
//!
//! Receives offsets and element types; does not know the container around the arrays.

use crate::cells::{CellsError, Element, Index, Row, cells};
use crate::mapped::write_behind;
use crate::matrix_plan::Dtype;
use crate::plan::{Container, Plan};
use crate::protocol::{Layout, Report};
use ndarray::{Array1, s};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

/// Writes the rows `rows` to the plan's matrix file, at the places that `layout` gives.
///
/// # Errors
/// The system's error, if the file cannot be written.
pub(crate) fn emit(plan: &Plan, rows: Range<u64>, layout: &Layout) -> io::Result<Report> {
    let rows = rows.start as usize..rows.end as usize;
    match plan.matrix.values.dtype {
        Dtype::I32 => emit_as::<i32>(plan, rows, layout),
        Dtype::I64 => emit_as::<i64>(plan, rows, layout),
        Dtype::F32 => emit_as::<f32>(plan, rows, layout),
        Dtype::F64 => emit_as::<f64>(plan, rows, layout),
    }
}

impl From<CellsError> for Report {
    fn from(error: CellsError) -> Self {
        match error {
            CellsError::NotFinite { row, column } => Report::NotFinite { row: row as u64, column },
            CellsError::Miscounted => Report::Broken { errno: 0 },
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

/// Writes bytes of the plan's matrix file at their place.
pub(crate) fn write(plan: &Plan, bytes: &[u8], place: u64) -> io::Result<()> {
    plan.files.matrix.write_all_at(bytes, place)?;
    write_behind(&plan.files.matrix, place..place + bytes.len() as u64);
    Ok(())
}

fn sparse<I: Index, T: Element>(plan: &Plan, rows: Range<usize>, layout: &Layout) -> io::Result<Report> {
    let start = plan.matrix.indptr[rows.start].load(Ordering::Relaxed);
    // Rows whose lengths differ from the computed offsets would overwrite their neighbours.
    let (indices, data): (Vec<I>, Vec<T>) = match cells(&plan.matrix, rows) {
        Ok(cells) => cells,
        Err(error) => return Ok(error.into()),
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
    let width = layout.columns as usize;
    let chunk = DENSE_CHUNK / size_of::<T>();
    let mut scratch = Row::default();
    let (mut data, mut columns): (Vec<T>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut buffer = Array1::from_elem(chunk, T::zeroed());
    for row in rows {
        scratch.load(&plan.matrix, row);
        data.clear();
        if let Err(error) = scratch.values(&plan.matrix, row, &mut data) {
            return Ok(error.into());
        }
        let mut values = data.as_slice();
        columns.clear();
        columns.extend(scratch.columns().map(|column| column as usize));
        for cells in columns.chunk_by(|a, b| a / chunk == b / chunk) {
            let start = cells[0] / chunk * chunk;
            let (of_cells, rest) = values.split_at(cells.len());
            values = rest;
            let (first, last) = (cells[0], cells[cells.len() - 1]);
            let mut out = buffer.slice_mut(s![first - start..=last - start]);
            out.fill(T::zeroed());
            for (&cell, &value) in cells.iter().zip(of_cells) {
                out[cell - first] = value;
            }
            let place = layout.data + ((row * width + first) * size_of::<T>()) as u64;
            let bytes = out.as_slice().map(bytemuck::cast_slice).unwrap_or_default();
            write(plan, bytes, place)?;
        }
    }
    Ok(Report::Emitted { indices: 0, data: 0 })
}
