//! The matrix of an output, read back: sparse or dense, of any element type, as doubles.

use crate::output::ManifestFile;
use anyhow::{Context as _, Result, bail, ensure};
use bowline_workers::mapped::input;
use memmap2::Mmap;
use ndarray::{Array1, ArrayView2};
use ndarray_npy::{NpzReader, ReadNpzError, ReadableElement, ViewElement, ViewNpyExt as _};
use std::fs::File;
use std::path::Path;

use crate::cli::DtypeChoice;

/// A matrix of documents (rows) and terms or buckets (columns).
pub enum Matrix {
    /// Compressed sparse rows.
    Sparse {
        /// First cell of each row, and behind the last row the number of all.
        indptr: Vec<u64>,
        /// Column of each cell.
        indices: Vec<u64>,
        /// Value of each cell.
        data: Vec<f64>,
    },
    /// A map of `matrix.npy`.
    Dense {
        /// The file.
        map: Mmap,
        /// Its element type.
        dtype: DtypeChoice,
    },
}

impl Matrix {
    /// Reads the matrix of the output at `directory`.
    ///
    /// # Errors
    /// If it can't be read, or contradicts the manifest.
    pub fn read(directory: &Path, manifest: &ManifestFile) -> Result<Self> {
        let path = directory.join(&manifest.matrix);
        let matrix = match manifest.matrix.as_str() {
            "matrix.npz" => Self::read_sparse(&path, manifest),
            "matrix.npy" => Self::read_dense(&path, manifest),
            other => bail!("manifest.json names no matrix of bowline: {other}"),
        };
        matrix.with_context(|| path.display().to_string())
    }

    fn read_sparse(path: &Path, manifest: &ManifestFile) -> Result<Self> {
        let mut npz = NpzReader::new(File::open(path)?)?;
        let indptr = integers(&mut npz, "indptr")?;
        let indices = integers(&mut npz, "indices")?;
        let data: Vec<f64> = match manifest.settings.values.dtype {
            DtypeChoice::I32 => array::<i32>(&mut npz, "data")?.iter().map(|&value| value as f64).collect(),
            DtypeChoice::I64 => array::<i64>(&mut npz, "data")?.iter().map(|&value| value as f64).collect(),
            DtypeChoice::F32 => array::<f32>(&mut npz, "data")?.iter().map(|&value| value as f64).collect(),
            DtypeChoice::F64 => array::<f64>(&mut npz, "data")?.to_vec(),
        };
        let is_sound = indptr.len() as u64 == manifest.counts.documents + 1
            && indptr.first() == Some(&0)
            && indptr.is_sorted()
            && indptr.last() == Some(&(indices.len() as u64))
            && indices.len() == data.len()
            && indices.iter().all(|&column| column < manifest.counts.columns);
        ensure!(is_sound, "not the matrix that manifest.json tells of");
        Ok(Matrix::Sparse { indptr, indices, data })
    }

    fn read_dense(path: &Path, manifest: &ManifestFile) -> Result<Self> {
        let map = input(&File::open(path)?)?;
        let dtype = manifest.settings.values.dtype;
        let shape = match dtype {
            DtypeChoice::I32 => view::<i32>(&map)?.dim(),
            DtypeChoice::I64 => view::<i64>(&map)?.dim(),
            DtypeChoice::F32 => view::<f32>(&map)?.dim(),
            DtypeChoice::F64 => view::<f64>(&map)?.dim(),
        };
        let told = (manifest.counts.documents as usize, manifest.counts.columns as usize);
        ensure!(shape == told, "not the matrix that manifest.json tells of");
        Ok(Matrix::Dense { map, dtype })
    }

    /// The cells of a row that are stored, or of a dense one those that are not 0: column and value.
    ///
    /// # Errors
    /// If a dense matrix is not what it was.
    pub fn row(&self, row: usize) -> Result<Vec<(u64, f64)>> {
        fn dense<T: ViewElement + Copy>(
            map: &Mmap,
            row: usize,
            to: impl Fn(T) -> f64,
        ) -> Result<Vec<(u64, f64)>> {
            let view = view::<T>(map)?;
            let cells = view.row(row).iter().map(|&value| to(value)).enumerate().collect::<Vec<_>>();
            Ok(cells
                .into_iter()
                .filter(|cell| cell.1 != 0.0)
                .map(|(column, value)| (column as u64, value))
                .collect())
        }
        match self {
            Matrix::Sparse { indptr, indices, data } => {
                let cells = indptr[row] as usize..indptr[row + 1] as usize;
                Ok(indices[cells.clone()].iter().copied().zip(data[cells].iter().copied()).collect())
            }
            Matrix::Dense { map, dtype: DtypeChoice::I32 } => dense::<i32>(map, row, |value| value as f64),
            Matrix::Dense { map, dtype: DtypeChoice::I64 } => dense::<i64>(map, row, |value| value as f64),
            Matrix::Dense { map, dtype: DtypeChoice::F32 } => dense::<f32>(map, row, |value| value as f64),
            Matrix::Dense { map, dtype: DtypeChoice::F64 } => dense::<f64>(map, row, |value| value),
        }
    }
}

fn view<T: ViewElement>(map: &Mmap) -> Result<ArrayView2<'_, T>> {
    Ok(ArrayView2::<T>::view_npy(map)?)
}

fn array<T: ReadableElement>(npz: &mut NpzReader<File>, name: &str) -> Result<Array1<T>, ReadNpzError> {
    npz.by_name(&format!("{name}.npy"))
}

/// Column numbers or offsets: 32 bits each, or 64 in a large matrix.
fn integers(npz: &mut NpzReader<File>, name: &str) -> Result<Vec<u64>> {
    if let Ok(narrow) = array::<i32>(npz, name) {
        return Ok(narrow.iter().map(|&value| value as u64).collect());
    }
    Ok(array::<i64>(npz, name)?.iter().map(|&value| value as u64).collect())
}
