//! Reads `matrix.npz` with general readers of zip archives and NumPy arrays.
//!
//! Checks all that `scipy.sparse.load_npz` relies on: the members and their checksums, the shapes, ascending offsets,
//! and ascending columns within a row.

use super::Array;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// A member of the archive.
pub struct Member {
    /// Offset of its bytes in the file.
    pub offset: u64,
    /// Its array.
    pub array: Array,
}

/// The archive's members by their names.
pub struct Npz(pub BTreeMap<String, Member>);

impl Npz {
    /// Reads all members; a wrong checksum is an error of the reader.
    pub fn read(path: &Path) -> Self {
        let mut archive = ZipArchive::new(File::open(path).expect("matrix.npz")).expect("a zip archive");
        let mut members = BTreeMap::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).expect("a member");
            let name = file.name().expect("a name of ASCII").into_owned();
            assert_eq!(file.compression(), CompressionMethod::Stored, "{name}");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("a member's bytes, with their checksum");
            let offset = file.data_start().expect("a member has a place");
            let first = members.insert(name.clone(), Member { offset, array: parsed(&name, &bytes) });
            assert!(first.is_none(), "{name} is there twice");
        }
        Npz(members)
    }

    fn take(&mut self, name: &str) -> Array {
        self.0.remove(name).unwrap_or_else(|| panic!("{name} is missing")).array
    }
}

fn parsed(name: &str, bytes: &[u8]) -> Array {
    let array = Array::parse(bytes);
    let dimensions = usize::from(name != "format.npy");
    assert_eq!(array.shape.len(), dimensions, "{name}");
    array
}

/// A matrix of compressed sparse rows.
pub struct Csr {
    /// Rows and columns.
    pub shape: [usize; 2],
    /// The index of each row's first cell, and at the end the number of all cells.
    pub indptr: Vec<usize>,
    /// The column of each cell.
    pub indices: Vec<usize>,
    /// The value of each cell.
    pub data: Array,
}

/// One row's cells: columns and values.
pub type Row = Vec<(usize, f64)>;

impl Csr {
    /// Reads and checks a matrix.
    pub fn read(path: &Path) -> Self {
        let mut npz = Npz::read(path);
        assert_eq!(npz.take("format.npy").elements, b"csr");
        let shape = npz.take("shape.npy").integers();
        let csr = Csr {
            shape: [shape[0] as usize, shape[1] as usize],
            indptr: sizes(&npz.take("indptr.npy")),
            indices: sizes(&npz.take("indices.npy")),
            data: npz.take("data.npy"),
        };
        assert_eq!(npz.0.into_keys().collect::<Vec<_>>(), [""; 0], "unexpected members");
        csr.check();
        csr
    }

    /// The columns of a row, and the bytes of its values.
    pub fn row_bytes(&self, row: usize) -> (&[usize], &[u8]) {
        let (cells, size) = (self.cells(row), self.data.element_size());
        (&self.indices[cells.clone()], &self.data.elements[cells.start * size..cells.end * size])
    }

    fn check(&self) {
        let [rows, columns] = self.shape;
        assert_eq!(self.indptr.len(), rows + 1);
        assert!(self.indptr[0] == 0 && self.indptr.is_sorted());
        assert_eq!(
            (self.indptr[rows], self.data.shape.as_slice()),
            (self.indices.len(), &[self.indices.len()][..])
        );
        for row in 0..rows {
            let cells = &self.indices[self.cells(row)];
            assert!(cells.is_sorted_by(|a, b| a < b), "row {row}: {cells:?}");
            assert!(
                cells.last().is_none_or(|&last| last < columns),
                "row {row} of {columns} columns: {cells:?}"
            );
        }
    }

    /// The cells of a row.
    pub fn cells(&self, row: usize) -> std::ops::Range<usize> {
        self.indptr[row]..self.indptr[row + 1]
    }

    /// All rows.
    pub fn rows(&self) -> Vec<Row> {
        let values = self.data.numbers();
        let row = |row| self.cells(row).map(|cell| (self.indices[cell], values[cell])).collect();
        (0..self.shape[0]).map(row).collect()
    }

    /// The matrix with its zeroes, row by row.
    pub fn dense(&self) -> Vec<f64> {
        let mut dense = vec![0.0; self.shape[0] * self.shape[1]];
        for (row, cells) in self.rows().into_iter().enumerate() {
            cells.into_iter().for_each(|(column, value)| dense[row * self.shape[1] + column] = value);
        }
        dense
    }
}

fn sizes(array: &Array) -> Vec<usize> {
    array.integers().into_iter().map(|number| usize::try_from(number).expect("no negative offset")).collect()
}
