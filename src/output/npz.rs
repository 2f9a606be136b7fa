//! `matrix.npz`: the CSR matrix as `scipy.sparse.load_npz` reads it, five arrays in a zip archive.
//!
//! The members are stored, not deflated, so that workers can write the two large ones in place, in parallel, and
//! their checksums are combined from the workers'. Zip64 where a size or an offset needs it (PKWARE, APPNOTE 6.3.10,
//! section 4.5.3). Times are 1980-01-01. Each member's elements begin at a multiple of 64 bytes.

use super::npy::{self, ALIGNMENT, header};
use anyhow::Result;
use bowline_workers::plan::Dtype;
use bowline_workers::protocol::Layout;
use std::fs::File;
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

/// The archive, while it is made.
#[derive(Debug)]
pub struct NpzFile {
    file: File,
    members: Vec<Member>,
    end: u64,
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

impl NpzFile {
    /// An archive in `file`, of no size yet.
    pub fn new(file: File) -> Self {
        NpzFile { file, members: Vec::new(), end: 0 }
    }

    /// Sizes the file and says where the workers write.
    ///
    /// # Errors
    /// If the disk is too small.
    pub fn lay_out(&mut self, rows: u64, columns: u64, nonzeros: u64, dtype: Dtype) -> Result<Layout> {
        // As scipy: 32 bits for indices and offsets alike, unless one of them needs more.
        let wide = nonzeros > i32::MAX as u64 || columns > i32::MAX as u64;
        let (index, index_bytes) = if wide { ("<i8", 8) } else { ("<i4", 4) };
        let indices = self.add("indices.npy", header(index, &[nonzeros]), nonzeros * index_bytes);
        self.add("indptr.npy", header(index, &[rows + 1]), (rows + 1) * index_bytes);
        self.add("format.npy", header("|S3", &[]), 3);
        self.add("shape.npy", header("<i8", &[2]), 16);
        let data = self.add("data.npy", header(npy::descr(dtype), &[nonzeros]), nonzeros * dtype.size());
        npy::reserve(&self.file, "the matrix", self.end)?;
        Ok(Layout { indices, data, columns, wide })
    }

    /// Appends a member and returns where its elements go.
    fn add(&mut self, name: &'static str, header: Vec<u8>, bytes: u64) -> u64 {
        let mut member = Member { name, start: self.end, padding: 0, header, bytes };
        let beyond = member.array() % ALIGNMENT as u64;
        // The padding is an extra field with a head of 4 bytes.
        member.padding = ALIGNMENT as u64 - beyond;
        if member.padding < 4 {
            member.padding += ALIGNMENT as u64;
        }
        self.end = member.array() + member.size();
        let elements = member.elements();
        self.members.push(member);
        elements
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
        let rows = indptr.len() as u64 - 1;
        let indptr: Vec<u8> = match layout.wide {
            true => indptr.flat_map(|offset| (offset as i64).to_le_bytes()).collect(),
            false => indptr.flat_map(|offset| (offset as i32).to_le_bytes()).collect(),
        };
        let shape: Vec<u8> = [rows, layout.columns].into_iter().flat_map(u64::to_le_bytes).collect();
        let mut directory = Vec::new();
        for member in &self.members {
            let elements = match member.name {
                "indices.npy" => Elements::Written(indices_crc),
                "data.npy" => Elements::Written(data_crc),
                "indptr.npy" => Elements::Here(&indptr),
                "format.npy" => Elements::Here(b"csr"),
                _ => Elements::Here(&shape),
            };
            let mut crc = crc32fast::Hasher::new();
            crc.update(&member.header);
            match elements {
                Elements::Written(sum) => {
                    crc.combine(&crc32fast::Hasher::new_with_initial_len(sum, member.bytes))
                }
                Elements::Here(bytes) => {
                    crc.update(bytes);
                    self.file.write_all_at(bytes, member.elements())?;
                }
            }
            let crc = crc.finalize();
            let mut head = local_header(member, crc);
            head.extend_from_slice(&member.header);
            self.file.write_all_at(&head, member.start)?;
            directory.extend_from_slice(&directory_entry(member, crc));
        }
        self.file.write_all_at(&directory, self.end)?;
        let end = end_records(self.members.len() as u64, self.end, directory.len() as u64);
        self.file.write_all_at(&end, self.end + directory.len() as u64)?;
        Ok(())
    }
}

enum Elements<'a> {
    /// By workers; this is their checksum.
    Written(u32),
    Here(&'a [u8]),
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
        // A field that nobody knows, as zipalign pads: readers pass over it.
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
