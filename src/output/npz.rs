//! `matrix.npz`: the CSR matrix as `scipy.sparse.load_npz` reads it, five arrays in a zip archive.
//!
//! The members are stored, not deflated, so that workers can write the two large ones in place, in parallel, and
//! their checksums are combined from the workers'. Zip64 where a size or an offset needs it (PKWARE, APPNOTE 6.3.10,
//! section 4.5.3). Times are 1980-01-01. Each member's elements begin at a multiple of 64 bytes.
//!
//! To read an archive back, its frame is built again and compared, so no parser reads untrusted data.

use super::npy::{self, ALIGNMENT, header};
use anyhow::{Context as _, Result};
use bowline_workers::matrix_plan::Dtype;
use bowline_workers::protocol::Layout;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// The largest number that fits a field of 32 bits; itself it means: look in the zip64 field.
const SMALL: u64 = u32::MAX as u64;
const LOCAL_HEADER: u64 = 30;
/// The zip64 field of a local header: always there, so that the layout is the same for all sizes.
const ZIP64_FIELD: u64 = 20;
/// 1980-01-01, midnight, in MS-DOS form.
const DATE: u16 = 0x21;
/// The version that knows zip64.
const VERSION: u16 = 45;
/// The elements of `format`.
const FORMAT: &[u8] = b"csr";

/// The archive, while it is made.
#[derive(Debug)]
pub struct NpzFile {
    file: File,
    members: Members,
}

/// Where the elements of a matrix lie in its archive.
#[derive(Debug)]
pub struct Places {
    /// Those of `indptr`.
    pub indptr: Range<usize>,
    /// Those of `indices`.
    pub indices: Range<usize>,
    /// Those of `data`.
    pub data: Range<usize>,
    /// Whether the first two are of 64 bits.
    pub wide: bool,
}

/// A member of the archive: an array's header and elements.
#[derive(Debug)]
struct Member {
    name: &'static str,
    /// Where its local header begins.
    start: u64,
    /// Padding of its local header, as an extra field.
    padding: u64,
    header: Vec<u8>,
    /// Bytes of the elements.
    bytes: u64,
}

impl Member {
    /// Where the array begins.
    fn array(&self) -> u64 {
        self.start + LOCAL_HEADER + self.name.len() as u64 + ZIP64_FIELD + self.padding
    }

    fn elements(&self) -> u64 {
        self.array() + self.header.len() as u64
    }

    fn size(&self) -> u64 {
        self.header.len() as u64 + self.bytes
    }
}

/// What an archive holds: `indices`, `indptr`, `format`, `shape` and `data`, in this order.
#[derive(Debug, Default)]
struct Members {
    list: Vec<Member>,
    /// Where the directory begins.
    end: u64,
}

impl Members {
    /// The sizes of a matrix; `None` if the number of bytes overflows.
    fn of(rows: u64, columns: u64, nonzeros: u64, dtype: Dtype) -> Option<Self> {
        let (index, index_bytes) = if is_wide(columns, nonzeros) { ("<i8", 8) } else { ("<i4", 4) };
        let offsets = rows.checked_add(1)?;
        let mut members = Members::default();
        members.add("indices.npy", header(index, &[nonzeros]), nonzeros.checked_mul(index_bytes)?)?;
        members.add("indptr.npy", header(index, &[offsets]), offsets.checked_mul(index_bytes)?)?;
        members.add("format.npy", header("|S3", &[]), 3)?;
        members.add("shape.npy", header("<i8", &[2]), 16)?;
        let data = nonzeros.checked_mul(dtype.size())?;
        members.add("data.npy", header(npy::descr(dtype), &[nonzeros]), data)?;
        Some(members)
    }

    fn add(&mut self, name: &'static str, header: Vec<u8>, bytes: u64) -> Option<()> {
        let mut member = Member { name, start: self.end, padding: 0, header, bytes };
        let beyond = member.array() % ALIGNMENT as u64;
        // The padding is an extra field with a head of 4 bytes.
        member.padding = ALIGNMENT as u64 - beyond;
        if member.padding < 4 {
            member.padding += ALIGNMENT as u64;
        }
        // Far from where any sum would overflow.
        self.end = member.elements().checked_add(bytes).filter(|&end| end < 1 << 62)?;
        self.list.push(member);
        Some(())
    }

    /// What stands around the elements, and where: it depends on the elements' checksums.
    fn frame(&self, checksums: impl IntoIterator<Item = u32>) -> Vec<(u64, Vec<u8>)> {
        let (mut frame, mut directory) = (Vec::new(), Vec::new());
        for (member, checksum) in self.list.iter().zip(checksums) {
            let mut crc = crc32fast::Hasher::new();
            crc.update(&member.header);
            crc.combine(&crc32fast::Hasher::new_with_initial_len(checksum, member.bytes));
            let crc = crc.finalize();
            frame.push((member.start, [local_header(member, crc), member.header.clone()].concat()));
            directory.extend_from_slice(&directory_entry(member, crc));
        }
        let end = end_records(self.list.len() as u64, self.end, directory.len() as u64);
        directory.extend_from_slice(&end);
        frame.push((self.end, directory));
        frame
    }
}

/// As scipy: 32 bits for indices and offsets alike, unless one of them needs more.
fn is_wide(columns: u64, nonzeros: u64) -> bool {
    nonzeros > i32::MAX as u64 || columns > i32::MAX as u64
}

/// The elements of `shape`.
fn shape(rows: u64, columns: u64) -> Vec<u8> {
    [rows, columns].into_iter().flat_map(u64::to_le_bytes).collect()
}

impl NpzFile {
    /// An archive in `file`, of no size yet.
    pub fn new(file: File) -> Self {
        NpzFile { file, members: Members::default() }
    }

    /// Sizes the file and says where the workers write.
    ///
    /// # Errors
    /// If the disk is too small.
    pub fn lay_out(&mut self, rows: u64, columns: u64, nonzeros: u64, dtype: Dtype) -> Result<Layout> {
        let members =
            Members::of(rows, columns, nonzeros, dtype).context("the matrix is beyond all bounds")?;
        npy::reserve(&self.file, "the matrix", members.end)?;
        let (indices, data) = (members.list[0].elements(), members.list[4].elements());
        self.members = members;
        Ok(Layout { indices, data, columns, wide: is_wide(columns, nonzeros) })
    }

    /// Writes all but the elements that the workers have written, of which the checksums are given.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(
        self,
        layout: &Layout,
        indptr: impl ExactSizeIterator<Item = u64>,
        indices_crc: u32,
        data_crc: u32,
    ) -> Result<()> {
        let shape = shape(indptr.len() as u64 - 1, layout.columns);
        let indptr: Vec<u8> = match layout.wide {
            true => indptr.flat_map(|offset| (offset as i64).to_le_bytes()).collect(),
            false => indptr.flat_map(|offset| (offset as i32).to_le_bytes()).collect(),
        };
        let small: [&[u8]; 3] = [&indptr, FORMAT, &shape];
        for (member, bytes) in self.members.list[1..].iter().zip(small) {
            self.file.write_all_at(bytes, member.elements())?;
        }
        let checksums = [indices_crc].into_iter().chain(small.map(crc32fast::hash)).chain([data_crc]);
        for (place, bytes) in self.members.frame(checksums) {
            self.file.write_all_at(&bytes, place)?;
        }
        Ok(())
    }
}

/// Where the arrays of a matrix lie in `archive`; nothing if the archive is not, byte for byte, what is written here
/// for a matrix of this size and these elements. Their checksums are compared, too, but not what they mean.
pub fn find(archive: &[u8], rows: u64, columns: u64, nonzeros: u64, dtype: Dtype) -> Option<Places> {
    let members = Members::of(rows, columns, nonzeros, dtype)?;
    if members.end > archive.len() as u64 {
        return None;
    }
    let range = |member: &Member| {
        let start = member.elements() as usize;
        start..start + member.bytes as usize
    };
    let checksums = members.list.iter().map(|member| crc32fast::hash(&archive[range(member)]));
    let frame = members.frame(checksums);
    let stands = |(place, bytes): &(u64, Vec<u8>)| archive[*place as usize..].starts_with(bytes);
    let length = frame.last().map_or(0, |(place, bytes)| *place as usize + bytes.len());
    let [indices, indptr, format, size, data] =
        members.list.iter().map(range).collect::<Vec<_>>().try_into().ok()?;
    let is_ours = frame.iter().all(stands)
        && archive.len() == length
        && archive[format] == *FORMAT
        && archive[size] == shape(rows, columns);
    is_ours.then_some(Places { indptr, indices, data, wide: is_wide(columns, nonzeros) })
}

/// Little-endian fields, one after the other.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A field of 32 bits whose value may stand in a zip64 field instead.
    fn capped(self, value: u64) -> Self {
        self.u32(value.min(SMALL) as u32)
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
}

fn local_header(member: &Member, crc: u32) -> Vec<u8> {
    let mut fields = Fields::default()
        .u32(0x0403_4B50)
        .u16(VERSION)
        .u16(0)
        .u16(0)
        .u16(0)
        .u16(DATE)
        .u32(crc)
        .u32(SMALL as u32)
        .u32(SMALL as u32)
        .u16(member.name.len() as u16)
        .u16((ZIP64_FIELD + member.padding) as u16);
    fields.0.extend_from_slice(member.name.as_bytes());
    let mut fields = fields
        .u16(1)
        .u16(ZIP64_FIELD as u16 - 4)
        .u64(member.size())
        .u64(member.size())
        // An unknown field, as zipalign uses for padding: readers skip it.
        .u16(0xD935)
        .u16(member.padding as u16 - 4);
    fields.0.resize(fields.0.len() + member.padding as usize - 4, 0);
    fields.0
}

fn directory_entry(member: &Member, crc: u32) -> Vec<u8> {
    let mut zip64 = Fields::default();
    if member.size() >= SMALL {
        zip64 = zip64.u64(member.size()).u64(member.size());
    }
    if member.start >= SMALL {
        zip64 = zip64.u64(member.start);
    }
    let extra = if zip64.0.is_empty() { 0 } else { zip64.0.len() + 4 };
    let mut fields = Fields::default()
        .u32(0x0201_4B50)
        .u16(VERSION)
        .u16(VERSION)
        .u16(0)
        .u16(0)
        .u16(0)
        .u16(DATE)
        .u32(crc)
        .capped(member.size())
        .capped(member.size())
        .u16(member.name.len() as u16)
        .u16(extra as u16)
        .u16(0)
        .u16(0)
        .u16(0)
        .u32(0)
        .capped(member.start);
    fields.0.extend_from_slice(member.name.as_bytes());
    if extra > 0 {
        fields = fields.u16(1).u16(extra as u16 - 4);
        fields.0.extend_from_slice(&zip64.0);
    }
    fields.0
}

/// The records behind the directory: those of zip64 if the directory lies too far for the old one.
fn end_records(members: u64, directory: u64, bytes: u64) -> Vec<u8> {
    let mut fields = Fields::default();
    if directory >= SMALL {
        fields = fields
            .u32(0x0606_4B50)
            .u64(44)
            .u16(VERSION)
            .u16(VERSION)
            .u32(0)
            .u32(0)
            .u64(members)
            .u64(members)
            .u64(bytes)
            .u64(directory)
            .u32(0x0706_4B50)
            .u32(0)
            .u64(directory + bytes)
            .u32(1);
    }
    let members = members as u16;
    fields
        .u32(0x0605_4B50)
        .u16(0)
        .u16(0)
        .u16(members)
        .u16(members)
        .u32(bytes as u32)
        .capped(directory)
        .u16(0)
        .0
}
