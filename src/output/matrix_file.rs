//! The matrix's file while it is written, in one of its formats.

use super::npy::NpyFile;
use super::npz::NpzFile;
use anyhow::Result;
use bowline_workers::plan::{Container, Dtype};
use bowline_workers::protocol::Layout;
use std::fs::File;

/// The matrix's file, in one of its containers.
pub enum MatrixFile {
    /// `matrix.npz`.
    Sparse(NpzFile, File),
    /// `matrix.npy`.
    Dense(NpyFile, File),
}

impl MatrixFile {
    /// Its name in the output directory.
    pub fn name(container: Container) -> &'static str {
        match container {
            Container::Sparse => "matrix.npz",
            Container::Dense => "matrix.npy",
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
        })
    }

    /// The open file, for the workers.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn handle(&self) -> Result<File> {
        let (MatrixFile::Sparse(_, file) | MatrixFile::Dense(_, file)) = self;
        Ok(file.try_clone()?)
    }

    /// Sizes the file, writes its header, and says where rows go.
    ///
    /// # Errors
    /// If the disk is too small, or the matrix too large for its format.
    pub fn lay_out(&mut self, rows: u64, columns: u64, nonzeros: u64, dtype: Dtype) -> Result<Layout> {
        match self {
            MatrixFile::Sparse(npz, _) => npz.lay_out(rows, columns, nonzeros, dtype),
            MatrixFile::Dense(npy, _) => npy.lay_out(rows, columns, dtype),
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
            MatrixFile::Dense(..) => Ok(()),
        }
    }
}
