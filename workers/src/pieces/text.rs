//! `matrix.mtx` and `matrix.svm`: a matrix as text.
//!
//! Values are written as in JSON: an integer as an integer, a float with the fewest digits that read back as the same float
//! of its type.

use super::{Rows, Shape, Value};
use crate::lines::push_digits;
use crate::matrix_plan::Dtype;
use std::io;

/// The lines before the cells of a Matrix Market file (Boisvert, Pozo and Remington, The Matrix Market Exchange Formats,
/// 1996).
pub(super) fn mtx_head(shape: &Shape) -> Vec<u8> {
    let Shape { rows, columns, nonzeros, dtype } = shape;
    let field = match dtype {
        Dtype::I32 | Dtype::I64 => "integer",
        Dtype::F32 | Dtype::F64 => "real",
    };
    format!("%%MatrixMarket matrix coordinate {field} general\n{rows} {columns} {nonzeros}\n").into_bytes()
}

/// A line a cell: row and column from 1 on, value.
pub(super) fn mtx<T: Value>(rows: &Rows<T>) -> io::Result<Vec<u8>> {
    let (mut out, mut number) = (Vec::new(), Vec::new());
    for (row, cells) in rows.cells() {
        number.clear();
        push_digits(&mut number, row as u64 + 1);
        for (column, value) in cells {
            out.extend_from_slice(&number);
            out.push(b' ');
            push_digits(&mut out, column as u64 + 1);
            out.push(b' ');
            serde_json::to_writer(&mut out, value)?;
            out.push(b'\n');
        }
    }
    Ok(out)
}

/// A line a row: the label 0, then each column, from 0 on, with its value.
pub(super) fn svmlight<T: Value>(rows: &Rows<T>) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for (_, cells) in rows.cells() {
        out.push(b'0');
        for (column, value) in cells {
            out.push(b' ');
            push_digits(&mut out, column as u64);
            out.push(b':');
            serde_json::to_writer(&mut out, value)?;
        }
        out.push(b'\n');
    }
    Ok(out)
}
