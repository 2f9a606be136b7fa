//! NumPy's array format, version 1.0 (NEP 1): a magic, a header that is a Python literal, the elements in C order.
//! Headers are padded so that the elements begin at a multiple of 64 bytes.

use super::reader::OpenOutput;
use crate::error::{ErrorKind, Fault};
use anyhow::{Context as _, Result, ensure};
use bowline_workers::crash::handling_failed_allocations;
use bowline_workers::mapped::room;
use bowline_workers::matrix_plan::Dtype;
use bowline_workers::protocol::Layout;
use nix::fcntl::posix_fallocate;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

/// The alignment of the elements, in bytes.
pub const ALIGNMENT: usize = 64;

/// The header of an array of `shape`, elements of type `descr` as NumPy writes it.
pub fn header(descr: &str, shape: &[u64]) -> Vec<u8> {
    let dimensions: Vec<String> = shape.iter().map(u64::to_string).collect();
    let shape = match dimensions.as_slice() {
        [one] => format!("({one},)"),
        several => format!("({})", several.join(", ")),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
    let unpadded = 10 + text.len() + 1;
    text.resize(text.len() + unpadded.next_multiple_of(ALIGNMENT) - unpadded, b' ');
    text.push(b'\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(text.len() as u16).to_le_bytes());
    header.extend_from_slice(&text);
    header
}

/// NumPy's name of an element type.
pub fn descr(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
    }
}

/// Reserves `bytes` bytes of disk for a file, so that a full disk is an error now and not a signal later.
///
/// # Errors
/// The system's, with the bytes that were needed and those that were free.
pub fn reserve(file: &File, what: &str, bytes: u64) -> Result<()> {
    // Nothing can't be reserved.
    posix_fallocate(file, 0, (bytes as i64).max(1)).map_err(io::Error::from).with_context(|| {
        let room = room(file);
        let text = format!("{what} needs {bytes} bytes of disk, and {room} are free");
        Fault::new(ErrorKind::OutputPlace, text)
    })?;
    Ok(file.set_len(bytes)?)
}

/// `matrix.npy`: the dense matrix, one row per document, for workers to map and fill.
#[derive(Debug)]
pub struct NpyFile(File);

impl NpyFile {
    /// An array in `file`, of no size yet.
    pub fn new(file: File) -> Self {
        NpyFile(file)
    }

    /// Sizes the file, writes its header, and says where the elements go.
    ///
    /// # Errors
    /// If the disk is too small.
    pub fn lay_out(&self, rows: u64, columns: u64, dtype: Dtype) -> Result<Layout> {
        let header = header(descr(dtype), &[rows, columns]);
        let cells = rows.checked_mul(columns).and_then(|cells| cells.checked_mul(dtype.size()));
        let bytes =
            cells.ok_or_else(|| Fault::new(ErrorKind::TooDense, "the dense matrix is beyond all bounds"))?;
        reserve(&self.0, "the matrix", header.len() as u64 + bytes)?;
        self.0.write_all_at(&header, 0)?;
        Ok(Layout { indices: 0, data: header.len() as u64, columns, wide: false })
    }
}

/// How `idf.npy` marks a column that has no idf, since no document has it: negative zero, which no formula gives. It is
/// finite, and 0 in all arithmetic.
const NO_IDF: f64 = -0.0;

/// Writes the idf of `length` columns. One that is infinite becomes negative zero.
///
/// # Errors
/// The writer's.
pub fn write_idf(out: &mut dyn Write, length: u64, idf: impl Iterator<Item = f64>) -> io::Result<()> {
    out.write_all(&header("<f8", &[length]))?;
    let written = |idf: f64| if idf.is_finite() { idf } else { NO_IDF };
    idf.take(length as usize).try_for_each(|idf| out.write_all(&written(idf).to_le_bytes()))
}

/// Where the elements begin in `file`; nothing if it is not an array of `shape`, of elements of `dtype`, as it is written
/// here and as long as it says.
pub fn elements(file: &[u8], dtype: Dtype, shape: &[u64]) -> Option<usize> {
    let header = header(descr(dtype), shape);
    let bytes = shape.iter().try_fold(dtype.size(), |bytes, &length| bytes.checked_mul(length))?;
    let rest = file.strip_prefix(header.as_slice())?;
    (rest.len() as u64 == bytes).then_some(header.len())
}

/// Reads the idf of `length` columns, as [`write_idf`] writes them. A column without one has an infinite idf again, so that
/// a document that has the column is found out.
///
/// # Errors
/// If the file can't be read or holds anything else, or there is no memory for so many.
pub fn read_idf(output: &OpenOutput, name: &str, length: usize) -> Result<Vec<f64>> {
    let bytes = output.read(name)?;
    let start = elements(&bytes, Dtype::F64, &[length as u64]).context("not the array that belongs here")?;
    let mut values = Vec::new();
    handling_failed_allocations(|| values.try_reserve_exact(length))?;
    let is_negative =
        |bytes: &[u8; 8]| f64::from_le_bytes(*bytes) < 0.0 || f64::from_le_bytes(*bytes).is_nan();
    ensure!(
        !bytes[start..].as_chunks::<8>().0.iter().any(is_negative),
        "contains an idf that is not a number of 0 or more"
    );
    values.extend(bytes[start..].as_chunks::<8>().0.iter().map(|bytes| {
        let idf = f64::from_le_bytes(*bytes);
        if idf.is_finite() && idf.to_bits() != NO_IDF.to_bits() { idf } else { f64::INFINITY }
    }));
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_read_as_it_was_written_or_not_at_all() {
        let mut written = Vec::new();
        write_idf(&mut written, 2, [1.5, -2.0].into_iter()).unwrap();
        assert_eq!(elements(&written, Dtype::F64, &[2]), Some(ALIGNMENT * 2));
        for (dtype, shape) in [
            (Dtype::I64, &[2][..]),
            (Dtype::F64, &[3]),
            (Dtype::F64, &[1, 2]),
            (Dtype::F64, &[1 << 60, 1 << 60]),
        ] {
            assert_eq!(elements(&written, dtype, shape), None, "{dtype:?} {shape:?}");
        }
        for length in 0..written.len() {
            assert_eq!(elements(&written[..length], Dtype::F64, &[2]), None, "{length}");
        }
    }

    #[test]
    fn headers_are_aligned_and_closed() {
        for shape in [&[][..], &[0], &[12345], &[24_362, 153_479]] {
            let header = header("<i4", shape);
            assert_eq!(header.len() % ALIGNMENT, 0);
            assert_eq!(header.last(), Some(&b'\n'));
            assert_eq!(u16::from_le_bytes([header[8], header[9]]) as usize, header.len() - 10);
        }
        assert!(String::from_utf8_lossy(&header("<f8", &[7])).contains("'shape': (7,), }"));
    }
}
