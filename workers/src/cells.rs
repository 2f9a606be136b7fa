//! Rows to cells: maps numbers to columns, sorts, weights and normalises.
//!
//! Floats are computed only here, in column order and double precision, so that no timing can change a bit.

use crate::counted_rows::{CountedRows, SegmentRows};
use crate::matrix_plan::{
    Bm25Tf, MatrixPlan, NO_COLUMN, Norm, Numbering, RowPassages, ValueSettings, Weight,
};
use crate::radix::sort_by_column;
use crate::row;
use bytemuck::Pod;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// An element type of values.
pub trait Element: Pod {
    /// The element of a count.
    fn from_count(count: i32) -> Self;
    /// The element of a value.
    fn from_value(value: f64) -> Self;
    /// Whether it is a number.
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

/// An element type of column indices, and of places of cells.
pub trait Index: Pod {
    /// The index of a column.
    fn from_column(column: u32) -> Self;
    /// The index of a place, which is not too large for it.
    fn from_place(place: usize) -> Self;
}

macro_rules! index {
    ($($t:ty),*) => {$(
        impl Index for $t {
            #[inline]
            fn from_column(column: u32) -> Self {
                column as $t
            }
            #[inline]
            fn from_place(place: usize) -> Self {
                place as $t
            }
        }
    )*};
}
index!(i32, u32, i64);

/// Stores the length of each row of `rows` in the row's element of the plan's `indptr`.
pub(crate) fn measure(plan: &MatrixPlan, rows: Range<u64>) {
    let mut scratch = Row::default();
    for row in rows.start as usize..rows.end as usize {
        scratch.load(plan, row);
        plan.indptr[row].store(scratch.cells.len() as u64, Ordering::Relaxed);
    }
}

/// Sets the plan's frequencies of the columns in `range`, that is, in how many rows each is stored, and their idf.
/// Repeating the call gives the same result.
pub(crate) fn count_columns(plan: &MatrixPlan, range: Range<u64>) {
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

/// Why there are no cells.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum CellsError {
    /// The value of a cell is not finite.
    NotFinite { row: usize, column: u32 },
    /// The cells are not as many as the plan's `indptr` says.
    Miscounted,
}

/// The columns and values of the stored cells of the rows `rows`.
///
/// # Errors
/// See [`CellsError`].
pub(crate) fn cells<I: Index, T: Element>(
    plan: &MatrixPlan,
    rows: Range<usize>,
) -> Result<(Vec<I>, Vec<T>), CellsError> {
    let start = plan.indptr[rows.start].load(Ordering::Relaxed);
    let end = plan.indptr[rows.end].load(Ordering::Relaxed);
    let cells = end.checked_sub(start).ok_or(CellsError::Miscounted)? as usize;
    let (mut indices, mut data) = (Vec::with_capacity(cells), Vec::with_capacity(cells));
    let mut scratch = Row::default();
    for row in rows {
        scratch.load(plan, row);
        indices.extend(scratch.columns().map(I::from_column));
        scratch.values(plan, row, &mut data)?;
    }
    match indices.len() == cells {
        true => Ok((indices, data)),
        false => Err(CellsError::Miscounted),
    }
}

/// One row in preparation: its cells, each a column and a count, in column order.
#[derive(Default)]
pub(crate) struct Row {
    cells: Vec<u64>,
    spare: Vec<u64>,
    values: Vec<f64>,
    /// The cells of a row that an earlier run has counted.
    counted: Vec<(u32, i32)>,
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
    /// The columns of its cells.
    pub(crate) fn columns(&self) -> impl ExactSizeIterator<Item = u32> {
        self.cells.iter().map(|&cell| column(cell))
    }

    /// Loads a packed row whose numbers are columns, in order. `length` is the number of the document's terms.
    pub(crate) fn set(&mut self, packed: &[u32], length: u64) {
        self.cells.clear();
        self.cells.extend(row::pairs(packed).map(|(column, value)| cell(column, value)));
        self.length = length;
    }

    /// Loads row `row` of the plan. The row is empty if it has no record.
    pub(crate) fn load(&mut self, plan: &MatrixPlan, row: usize) {
        self.cells.clear();
        self.length = 0;
        let Some((segment, place)) = plan.places.counted(row) else { return };
        if let Some(SegmentRows::Counted(output)) = plan.segments.get(segment).map(|segment| &segment.rows) {
            return self.load_counted(plan, segment, &**output, place);
        }
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

    /// Loads a row of the merged output that is segment number `segment`.
    fn load_counted(&mut self, plan: &MatrixPlan, segment: usize, output: &dyn CountedRows, row: u64) {
        self.length = output.tokens(row);
        output.cells(row, &mut self.counted);
        let columns = &plan.segments[segment].columns;
        match plan.numbering {
            // Columns that are sorted by term have the order of those that they become.
            Numbering::LocalIds => self.cells.extend(self.counted.iter().filter_map(|&(id, count)| {
                let column =
                    columns.get(id as usize).map_or(NO_COLUMN, |column| column.load(Ordering::Relaxed));
                (column != NO_COLUMN).then_some(cell(column, count))
            })),
            Numbering::Columns | Numbering::LocalIdsOfBuckets(_) => {
                self.cells.extend(self.counted.iter().map(|&(column, count)| cell(column, count)));
            }
        }
    }

    /// Appends the values of the cells of row `row` of the plan, which is loaded, to `data`.
    ///
    /// # Errors
    /// If a value is not finite.
    pub(crate) fn values<T: Element>(
        &mut self,
        plan: &MatrixPlan,
        row: usize,
        data: &mut Vec<T>,
    ) -> Result<(), CellsError> {
        let idf = |column: u32| f64::from_bits(plan.idf[column as usize].load(Ordering::Relaxed));
        self.weighed(&plan.values, idf, plan.mean_length, data)
            .map_err(|NotFinite(column)| CellsError::NotFinite { row, column })
    }

    /// Appends the values of the cells to `data`: by the idf of each column, and the mean length of a document.
    ///
    /// # Errors
    /// If a value is not finite.
    pub(crate) fn weighed<T: Element>(
        &mut self,
        settings: &ValueSettings,
        idf: impl Fn(u32) -> f64,
        mean_length: f64,
        data: &mut Vec<T>,
    ) -> Result<(), NotFinite> {
        let cells = &self.cells;
        match settings.weight {
            Weight::Count if settings.norm == Norm::None => {
                data.extend(cells.iter().map(|&cell| T::from_count(count(cell))));
                return Ok(());
            }
            Weight::Binary if settings.norm == Norm::None => {
                data.extend(cells.iter().map(|_| T::from_count(1)));
                return Ok(());
            }
            _ => {}
        }
        let idf = |cell: u64| idf(column(cell));
        self.values.clear();
        match settings.weight {
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
                    _ if mean_length <= 0.0 => 1.0 - b,
                    Bm25Tf::Plain { .. } => 1.0 - b + b * (self.length as f64 / mean_length),
                    // In the order of the reference: the subtraction below makes the last bits significant.
                    _ => 1.0 - b + b * self.length as f64 / mean_length,
                };
                self.values.extend(cells.iter().map(|&cell| {
                    let ((tf, absent), idf) = (tf.of(count(cell) as f64, k1, length), idf(cell));
                    idf * tf - idf * absent
                }));
            }
        }
        let not_finite = |at: usize| NotFinite(self.cells.get(at).map_or(0, |&cell| column(cell)));
        normalise(&mut self.values, settings.norm).map_err(not_finite)?;
        data.extend(self.values.iter().map(|&value| T::from_value(value)));
        let written = &data[data.len() - self.values.len()..];
        match written.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(not_finite(written.iter().position(|value| !value.is_finite()).unwrap_or(0))),
        }
    }
}

/// The column of a value that is not finite.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct NotFinite(pub(crate) u32);

/// Divides the values by their norm. A row of zeroes is unchanged.
///
/// # Errors
/// The index of a value that is not finite.
fn normalise(values: &mut [f64], norm: Norm) -> Result<(), usize> {
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
            return Err(at);
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
        assert_eq!(normalise(&mut [1.0, f64::INFINITY, 1e199], Norm::L2), Err(1));
        assert_eq!(normalise(&mut [1.0, f64::NAN], Norm::L1), Err(1));
    }
}
