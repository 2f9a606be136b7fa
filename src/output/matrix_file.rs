//! The matrix's file while it is written, in one of its formats.

use super::npy::NpyFile;
use super::npz::NpzFile;
use super::reserve;
use crate::error::{ErrorKind, Fault};
use anyhow::Result;
use bowline_workers::pieces::{Piece, PieceFormat, Shape};
use bowline_workers::plan::Container;
use bowline_workers::protocol::Layout;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The matrix's file, in one of its containers.
pub enum MatrixFile {
    /// `matrix.npz`.
    Sparse(NpzFile, File),
    /// `matrix.npy`.
    Dense(NpyFile, File),
    /// Any other.
    Pieces(PieceFormat, File),
}

impl MatrixFile {
    /// Its name in the output directory.
    pub fn name(container: Container) -> &'static str {
        match container {
            Container::Sparse => "matrix.npz",
            Container::Dense => "matrix.npy",
            Container::Pieces(format) => format.file_name(),
        }
    }

    /// The matrix in `file`, of no size yet.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn new(container: Container, file: File) -> Result<Self> {
        let handle = file.try_clone()?;
        Ok(match container {
            Container::Sparse => MatrixFile::Sparse(NpzFile::new(file), handle),
            Container::Dense => MatrixFile::Dense(NpyFile::new(file), handle),
            Container::Pieces(format) => MatrixFile::Pieces(format, file),
        })
    }

    /// The open file, for the workers.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn handle(&self) -> Result<File> {
        let (MatrixFile::Sparse(_, file) | MatrixFile::Dense(_, file) | MatrixFile::Pieces(_, file)) = self;
        Ok(file.try_clone()?)
    }

    /// Sizes the file, writes its header, and says where rows go. `pieces` are those of a file that consists of them.
    ///
    /// # Errors
    /// If the disk is too small, or the matrix too large for its format.
    pub fn lay_out(&mut self, shape: &Shape, pieces: &[Piece]) -> Result<Layout> {
        let &Shape { rows, columns, nonzeros, dtype } = shape;
        match self {
            MatrixFile::Sparse(npz, _) => npz.lay_out(rows, columns, nonzeros, dtype),
            MatrixFile::Dense(npy, _) => npy.lay_out(rows, columns, dtype),
            MatrixFile::Pieces(format, file) => lay_out_pieces(*format, file, shape, pieces),
        }
    }

    /// Completes the file once all rows are written: `indptr` holds where each row begins, `checksums` the CRC-32 of all column
    /// indices and of all values.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(
        self,
        layout: &Layout,
        indptr: impl ExactSizeIterator<Item = u64>,
        checksums: [u32; 2],
    ) -> Result<()> {
        let [indices, data] = checksums;
        match self {
            MatrixFile::Sparse(npz, _) => npz.finish(layout, indptr, indices, data),
            MatrixFile::Dense(..) | MatrixFile::Pieces(..) => Ok(()),
        }
    }
}

/// Refuses a matrix with more columns, or more cells in a row, than its format can have. `indptr` has the first cell of each
/// row, and after the last row the number of all cells.
///
/// # Errors
/// If it has more.
pub fn refuse_too_wide(
    container: Container,
    columns: u64,
    mut indptr: impl Iterator<Item = u64>,
) -> Result<(), Fault> {
    let Container::Pieces(format) = container else { return Ok(()) };
    let name = format.file_name();
    if columns > format.max_columns() {
        let most = format.max_columns();
        let text = format!("the matrix has {columns} columns, and {name} can have at most {most}");
        return Err(Fault::new(ErrorKind::TooWide, text));
    }
    let mut start = indptr.next().unwrap_or(0);
    for (row, end) in indptr.enumerate() {
        let (cells, most) = (end.saturating_sub(start), format.max_row());
        if cells > most {
            let text = format!("row {row} has {cells} cells, and a row of {name} can have at most {most}");
            return Err(Fault::new(ErrorKind::TooWide, text));
        }
        start = end;
    }
    Ok(())
}

/// Writes the bytes before and after the pieces, which the workers write.
fn lay_out_pieces(format: PieceFormat, file: &File, shape: &Shape, pieces: &[Piece]) -> Result<Layout> {
    let head = format.head(shape);
    let start = head.len() as u64;
    let end = start + pieces.iter().map(|piece| piece.size.bytes).sum::<u64>();
    let foot = format.foot(shape, start, pieces)?;
    reserve(file, "the matrix", end + foot.len() as u64)?;
    file.write_all_at(&head, 0)?;
    file.write_all_at(&foot, end)?;
    Ok(Layout { indices: 0, data: start, columns: shape.columns, wide: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_format_cannot_have_is_refused() {
        let refuse_too_wide =
            |container, columns| super::refuse_too_wide(container, columns, [0, 1].into_iter());
        let most = i32::MAX as u64;
        for format in [PieceFormat::Parquet, PieceFormat::Arrow] {
            let container = Container::Pieces(format);
            refuse_too_wide(container, most).unwrap();
            let error = refuse_too_wide(container, most + 1).unwrap_err();
            assert_eq!(error.kind, ErrorKind::TooWide);
            let expected = "the matrix has 2147483648 columns, and matrix.";
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        for container in [Container::Sparse, Container::Pieces(PieceFormat::Mtx)] {
            refuse_too_wide(container, most + 1).unwrap();
        }
        let row = |cells: u64| {
            super::refuse_too_wide(Container::Pieces(PieceFormat::Parquet), 9, [0, 5, 5 + cells].into_iter())
        };
        row(128 << 20).unwrap();
        let expected = "row 1 has 134217729 cells, and a row of matrix.parquet can have at most 134217728";
        assert_eq!(row((128 << 20) + 1).unwrap_err().to_string(), expected);
    }
}
