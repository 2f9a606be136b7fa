//! The members of a zip archive, in the order of their places in the file.
//!
//! Reads the central directory itself: the `zip` crate keeps all entries in memory, and one entry of several with the same
//! name. Here a reader of a part of the archive keeps 16 bytes for each member that begins in its part, and nothing is
//! allocated because a number claims it. Source: PKWARE's APPNOTE.TXT 6.3.10, by section.
//!
//! A name is the directory's bytes. Members may not overlap: the bytes of a member end before the next one begins, so that a
//! small archive cannot expand the same bytes again and again.

use crate::failure::Failure;
use crate::records::archive::{Members, is_hidden};
use crate::records::source::FileBytes;
use crate::records::unpack::{Method, Unpacker};
use nix::errno::Errno;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Bytes of the directory that are read at a time: 64 KiB.
const INPUT: usize = 64 << 10;

/// Bytes of an entry of the directory before its name (4.3.12).
const ENTRY: usize = 46;

/// Bytes of a member's own header before its name (4.3.7).
const LOCAL: usize = 30;

/// Bytes of the end of the directory before its comment (4.3.16).
const END: usize = 22;

/// Bytes of the end of a directory of ZIP64 (4.3.14).
const END64: usize = 56;

/// Bytes of the record that gives the place of the end of a directory of ZIP64 (4.3.15).
const LOCATOR: usize = 20;

/// Largest comment of an archive, in bytes.
const MAX_COMMENT: usize = u16::MAX as usize;

/// The identifier of an entry's extra field of ZIP64 (4.5.3).
const ZIP64: u16 = 1;

/// The systems whose file modes are those of Unix (4.4.2): Unix and Macintosh OS X.
const UNIX: [u8; 2] = [3, 19];

/// Reads the members of a zip archive whose own headers begin in a part of the file.
pub(crate) struct Zip {
    /// The whole file.
    bytes: FileBytes,
    memory: u64,
    with_hidden: bool,
    left_out: u64,
    directory: Directory,
    /// For each member in the part: where it begins, and where its entry is. In the order of their places.
    places: std::vec::IntoIter<(u64, u64)>,
    /// Where the first member behind the part begins, or the directory.
    end: u64,
    /// The failure of the archive as a whole, which is the only document then.
    failure: Option<Failure>,
    path: Vec<u8>,
    member: Option<Member>,
}

/// Where the central directory is.
#[derive(Clone, Default)]
struct Directory {
    place: Range<u64>,
    /// Bytes before the archive, such as a program that unpacks it. All places that the archive claims count from there.
    before: u64,
}

/// An entry of the directory.
struct Entry {
    path: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    /// The mode of the file, if it comes from Unix; else 0.
    mode: u32,
    /// The place of the member's own header.
    place: u64,
    /// Bytes of the entry.
    length: u64,
}

/// The member that is being read.
struct Member {
    source: FileBytes,
    unpacker: Option<Unpacker>,
    place: u64,
    crc: u32,
    size: u64,
    hasher: crc32fast::Hasher,
    read: u64,
    failure: Option<Failure>,
}

impl Zip {
    /// Reads the members of the file `bytes` whose own headers begin in `part`. Parts that cover the file give each member
    /// once. A failure of the archive as a whole belongs to the part that begins at 0. A decoder uses
    /// `memory` bytes at most, and 4 MiB more. Hidden members are left out unless `with_hidden`.
    pub(crate) fn new(bytes: FileBytes, part: Range<u64>, memory: u64, with_hidden: bool) -> Self {
        let mut zip = Zip {
            bytes,
            memory,
            with_hidden,
            left_out: 0,
            directory: Directory::default(),
            places: Vec::new().into_iter(),
            end: 0,
            failure: None,
            path: Vec::new(),
            member: None,
        };
        if let Err(failure) = zip.find_members(&part) {
            zip.places = Vec::new().into_iter();
            zip.failure = (part.start == 0).then_some(failure);
        }
        zip
    }

    /// Finds where the members are.
    fn find_members(&mut self, part: &Range<u64>) -> Result<(), Failure> {
        let (directory, count) = Directory::find(self.bytes.file(), self.bytes.end())?;
        let directory_bytes = self.bytes.part(directory.place.start, directory.place.end);
        let mut reader = BufReader::with_capacity(INPUT, directory_bytes);
        let mut places = Vec::new();
        let (mut at, mut entries, mut end) = (directory.place.start, 0u64, directory.place.start);
        while at < directory.place.end {
            let entry = Entry::read(&mut reader, &directory)
                .map_err(|failure| failure.unwrap_or(Failure::Corrupt(at)))?;
            if entry.place >= directory.place.start {
                return Err(Failure::Corrupt(at));
            }
            if part.contains(&entry.place) {
                places.push((entry.place, at));
            } else if entry.place >= part.end {
                end = end.min(entry.place);
            }
            at += entry.length;
            entries += 1;
        }
        if !count.agrees(entries) {
            return Err(Failure::Corrupt(directory.place.end));
        }
        // By the entry's place for two members that claim the same place.
        places.sort_unstable();
        self.places = places.into_iter();
        self.end = end;
        self.directory = directory;
        Ok(())
    }

    /// Begins the member whose entry is at `at`. Returns false if it is no document.
    fn begin(&mut self, at: u64) -> Result<bool, Failure> {
        self.path.clear();
        let mut source = BufReader::with_capacity(ENTRY + 256, self.bytes.part(at, self.directory.place.end));
        let entry = Entry::read(&mut source, &self.directory)
            .map_err(|failure| failure.unwrap_or(Failure::Corrupt(at)))?;
        self.path = entry.path;
        let kind = entry.mode & 0o170_000;
        if self.path.ends_with(b"/") || kind == 0o040_000 {
            return Ok(false);
        }
        let is_file = kind == 0 || kind == 0o100_000;
        if !is_file || (!self.with_hidden && is_hidden(&self.path)) {
            self.left_out += 1;
            return Ok(false);
        }
        // 4.4.4: bit 0 for the data, bit 13 for the directory.
        if entry.flags & (1 | 1 << 13) != 0 {
            return Err(Failure::Encrypted);
        }
        let compression = match entry.method {
            0 => None,
            8 => Some(Method::Deflate),
            12 => Some(Method::Bzip2),
            93 => Some(Method::Zstd),
            95 => Some(Method::Xz),
            method => return Err(Failure::UnknownMethod(method.into())),
        };
        let corrupt = Failure::Corrupt(entry.place);
        let mut header = [0; LOCAL];
        read_at(self.bytes.file(), &mut header, entry.place).map_err(|failure| failure.unwrap_or(corrupt))?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(corrupt);
        }
        let lengths = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let start = entry.place + LOCAL as u64 + lengths;
        let next = self.places.as_slice().first().map_or(self.end, |&(place, _)| place);
        let end = start.checked_add(entry.packed).filter(|&end| end <= next).ok_or(corrupt)?;
        self.member = Some(Member {
            source: self.bytes.part(start, end),
            unpacker: compression.map(|compression| Unpacker::new(compression, start, self.memory)),
            place: entry.place,
            crc: entry.crc,
            size: entry.size,
            hasher: crc32fast::Hasher::new(),
            read: 0,
            failure: None,
        });
        Ok(true)
    }
}

impl Members for Zip {
    fn next_member(&mut self) -> Option<Result<(), Failure>> {
        self.member = None;
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        loop {
            let (_, at) = self.places.next()?;
            match self.begin(at) {
                Ok(true) => return Some(Ok(())),
                Ok(false) => {}
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    fn path(&self) -> &[u8] {
        &self.path
    }

    fn size(&self) -> Option<u64> {
        self.member.as_ref().map(|member| member.size)
    }

    fn read_member(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        self.member.as_mut().map_or(Ok(0), |member| member.read(into))
    }

    fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl Member {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.advance(into).inspect_err(|&failure| self.failure = Some(failure))
    }

    fn advance(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        let read = match &mut self.unpacker {
            // The file does not end here, only the member.
            Some(unpacker) => unpacker.read(&mut self.source, into).map_err(|failure| match failure {
                Failure::Truncated(_) | Failure::OtherFormat => Failure::Corrupt(self.place),
                failure => failure,
            })?,
            None => self.source.read(into)?,
        };
        self.hasher.update(&into[..read]);
        self.read += read as u64;
        let is_complete = read == 0 && !into.is_empty();
        let is_wrong = is_complete && (self.read != self.size || self.hasher.clone().finalize() != self.crc);
        if is_wrong || self.read > self.size { Err(Failure::Corrupt(self.place)) } else { Ok(read) }
    }
}

/// The number of entries as the archive claims it, which has 16 bits in an archive that is not ZIP64.
#[derive(Clone, Copy)]
enum Count {
    Of16Bits(u16),
    Of64Bits(u64),
}

impl Count {
    fn agrees(self, entries: u64) -> bool {
        match self {
            // Some programs write more than 65,535 entries without ZIP64.
            Count::Of16Bits(count) => entries as u16 == count,
            Count::Of64Bits(count) => entries == count,
        }
    }
}

impl Directory {
    /// Finds the directory from the end of the file, and the number of its entries.
    fn find(file: &File, size: u64) -> Result<(Self, Count), Failure> {
        let mut tail = vec![0; size.min((END + MAX_COMMENT) as u64) as usize];
        let tail_place = size - tail.len() as u64;
        read_at(file, &mut tail, tail_place).map_err(|failure| failure.unwrap_or(Failure::Changed))?;
        let mut start = [0; 4];
        let is_zip = read_at(file, &mut start, 0).is_ok() && start.starts_with(b"PK\x03\x04");
        let Some(at) = find_end(&tail) else {
            return Err(if is_zip { Failure::Truncated(size) } else { Failure::OtherFormat });
        };
        let end = &tail[at..];
        let end_place = tail_place + at as u64;
        // Parts of an archive on several disks are no archives.
        if u16_at(end, 4) != u16_at(end, 6) {
            return Err(Failure::OtherFormat);
        }
        let claimed = (u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
        let (end_place, count, (length, offset)) = match find_end64(file, end_place)? {
            Some((place, record)) => {
                let claimed = (u64_at(&record, 40), u64_at(&record, 48));
                (place, Count::Of64Bits(u64_at(&record, 32)), claimed)
            }
            None => (end_place, Count::Of16Bits(u16_at(end, 10)), claimed),
        };
        // The directory ends where its end record begins, whatever lies before the archive.
        let corrupt = Failure::Corrupt(end_place);
        let start = end_place.checked_sub(length).ok_or(corrupt)?;
        let before = start.checked_sub(offset).ok_or(corrupt)?;
        // Another archive, whose members this directory does not have: two of them in one file, or a truncated one whose
        // last member is an archive.
        if before > 0 && is_zip {
            return Err(Failure::Corrupt(before));
        }
        Ok((Directory { place: start..end_place, before }, count))
    }
}

/// Finds the end record in the last bytes of a file: the last one whose comment reaches the end of the file, or else the
/// last one.
fn find_end(tail: &[u8]) -> Option<usize> {
    let last = tail.len().checked_sub(END)?;
    let ends = || (0..=last).rev().filter(|&at| tail[at..].starts_with(b"PK\x05\x06"));
    ends().find(|&at| at + END + usize::from(u16_at(tail, at + 20)) == tail.len()).or_else(|| ends().next())
}

/// The end record of a ZIP64 archive and its place; `None` if the archive is not ZIP64.
fn find_end64(file: &File, end_place: u64) -> Result<Option<(u64, [u8; END64])>, Failure> {
    let corrupt = Failure::Corrupt(end_place);
    let Some(locator_place) = end_place.checked_sub(LOCATOR as u64) else { return Ok(None) };
    let mut locator = [0; LOCATOR];
    read_at(file, &mut locator, locator_place).map_err(|failure| failure.unwrap_or(corrupt))?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // Directly before the locator, unless it is of version 2 or bytes were put before the archive.
    let places = [locator_place.checked_sub(END64 as u64), Some(u64_at(&locator, 8))];
    for place in places.into_iter().flatten().filter(|&place| place < locator_place) {
        let mut record = [0; END64];
        read_at(file, &mut record, place).map_err(|failure| failure.unwrap_or(corrupt))?;
        if record.starts_with(b"PK\x06\x06") {
            return Ok(Some((place, record)));
        }
    }
    Err(corrupt)
}

impl Entry {
    /// Reads an entry of the directory. Fails with `None` if it is malformed.
    fn read(reader: &mut BufReader<FileBytes>, directory: &Directory) -> Result<Self, Option<Failure>> {
        let mut fixed = [0; ENTRY];
        fill(reader, &mut fixed)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err(None);
        }
        // Each of the three has 64 KiB at most.
        let mut path = vec![0; u16_at(&fixed, 28).into()];
        let mut extra = vec![0; u16_at(&fixed, 30).into()];
        let comment = u16_at(&fixed, 32);
        fill(reader, &mut path)?;
        fill(reader, &mut extra)?;
        skip(reader, comment.into())?;
        let mut wide = Wide { fields: zip64(&extra) };
        // In this order (4.5.3).
        let size = wide.or(u32_at(&fixed, 24))?;
        let packed = wide.or(u32_at(&fixed, 20))?;
        let offset = wide.or(u32_at(&fixed, 42))?;
        let is_unix = UNIX.contains(&fixed[5]);
        Ok(Entry {
            flags: u16_at(&fixed, 8),
            method: u16_at(&fixed, 10),
            crc: u32_at(&fixed, 16),
            packed,
            size,
            mode: if is_unix { u32_at(&fixed, 38) >> 16 } else { 0 },
            place: offset.checked_add(directory.before).ok_or(None)?,
            length: (ENTRY + path.len() + extra.len() + usize::from(comment)) as u64,
            path,
        })
    }
}

/// The numbers of 64 bits of an entry, which stand for those numbers of 32 bits that have all bits set.
struct Wide<'a> {
    fields: &'a [u8],
}

impl Wide<'_> {
    fn or(&mut self, narrow: u32) -> Result<u64, Option<Failure>> {
        if narrow != u32::MAX {
            return Ok(narrow.into());
        }
        let (field, rest) = self.fields.split_first_chunk().ok_or(None)?;
        self.fields = rest;
        Ok(u64::from_le_bytes(*field))
    }
}

/// The contents of the extra field of ZIP64; empty if there is none.
fn zip64(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let (head, rest) = extra.split_at(4);
        let (field, rest) = rest.split_at(usize::from(u16_at(head, 2)).min(rest.len()));
        if u16_at(head, 0) == ZIP64 {
            return field;
        }
        extra = rest;
    }
    &[]
}

/// Fills `into`. Fails with `None` if the bytes end before.
fn fill(reader: &mut impl Read, into: &mut [u8]) -> Result<(), Option<Failure>> {
    reader.read_exact(into).map_err(cause)
}

/// Passes over as many bytes. Fails with `None` if the bytes end before.
fn skip(reader: &mut BufReader<FileBytes>, mut bytes: usize) -> Result<(), Option<Failure>> {
    while bytes > 0 {
        let here = reader.fill_buf().map_err(cause)?.len().min(bytes);
        if here == 0 {
            return Err(None);
        }
        reader.consume(here);
        bytes -= here;
    }
    Ok(())
}

/// Reads bytes at a place. Fails with `None` if the file ends before.
fn read_at(file: &File, into: &mut [u8], place: u64) -> Result<(), Option<Failure>> {
    // The system takes no place of 64 bits.
    if i64::try_from(place).is_err() {
        return Err(None);
    }
    file.read_exact_at(into, place).map_err(cause)
}

/// The system's failure; `None` if bytes are missing.
fn cause(error: std::io::Error) -> Option<Failure> {
    let is_missing = error.kind() == std::io::ErrorKind::UnexpectedEof;
    let is_invalid = error.raw_os_error() == Some(Errno::EINVAL as i32);
    if is_missing || is_invalid { None } else { Some(error.into()) }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::archive::UnpackedMembers;
    use crate::records::archive::tests::{Found, read_all};
    use proptest::prelude::*;
    use std::io::{Cursor, Write as _};
    use std::sync::Arc;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    /// Memory of a decoder in tests: 64 MiB.
    const MEMORY: u64 = 64 << 20;

    fn file(bytes: &[u8]) -> FileBytes {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        FileBytes::new(Arc::new(file), 0, bytes.len() as u64)
    }

    fn open(bytes: &[u8]) -> Zip {
        Zip::new(file(bytes), 0..u64::MAX, MEMORY, false)
    }

    fn read(bytes: &[u8]) -> (Vec<Found>, u64) {
        read_all(&mut open(bytes))
    }

    fn text(number: usize) -> Vec<u8> {
        format!("text of member {number} ").repeat(number * 50 + 1).into_bytes()
    }

    fn write(fill: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        fill(&mut writer);
        writer.finish().unwrap().into_inner()
    }

    fn sample(members: usize) -> Vec<u8> {
        write(|writer| {
            for number in 0..members {
                let method = [CompressionMethod::Stored, CompressionMethod::Deflated][number % 2];
                let options = SimpleFileOptions::default().compression_method(method);
                writer.start_file(format!("d/{number}.txt"), options).unwrap();
                writer.write_all(&text(number)).unwrap();
            }
        })
    }

    fn expected(members: usize) -> Vec<Found> {
        (0..members).map(|number| (format!("d/{number}.txt"), text(number), None)).collect()
    }

    /// The bytes of the first place where `needle` is.
    fn place(bytes: &[u8], needle: &[u8]) -> usize {
        bytes.windows(needle.len()).position(|window| window == needle).unwrap()
    }

    #[test]
    fn members_in_order() {
        assert_eq!(read(&sample(20)), (expected(20), 0));
        assert_eq!(read(&sample(0)), (vec![], 0));
    }

    #[test]
    fn folders_links_and_hidden_members() {
        let options = SimpleFileOptions::default();
        let archive = write(|writer| {
            writer.add_directory("d", options).unwrap();
            writer.add_symlink("link", "d/a.txt", options).unwrap();
            for name in ["d/.a", "../up.txt", "/abs.txt", "./b.txt"] {
                writer.start_file(name, options).unwrap();
                writer.write_all(name.as_bytes()).unwrap();
            }
        });
        let (found, left_out) = read(&archive);
        let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!((names, left_out), (vec!["../up.txt", "/abs.txt", "./b.txt"], 2));
        let mut with_hidden = Zip::new(file(&archive), 0..u64::MAX, MEMORY, true);
        assert_eq!(read_all(&mut with_hidden).1, 1);
    }

    #[test]
    fn parts_cover_the_archive() {
        let bytes = sample(30);
        let size = bytes.len() as u64;
        for parts in [2, 3, 7, 50] {
            let mut found = Vec::new();
            for part in 0..parts {
                let range = size * part / parts..size * (part + 1) / parts;
                found.extend(read_all(&mut Zip::new(file(&bytes), range, MEMORY, false)).0);
            }
            assert_eq!(found, expected(30));
        }
    }

    #[test]
    fn a_failure_of_the_archive_is_one_document() {
        for (bytes, failure) in [
            (&b""[..], Failure::OtherFormat),
            (b"plain text", Failure::OtherFormat),
            (&sample(5)[..200], Failure::Truncated(200)),
        ] {
            assert_eq!(read(bytes), (vec![(String::new(), vec![], Some(failure))], 0));
            assert!(Zip::new(file(bytes), 1..u64::MAX, MEMORY, false).next_member().is_none());
        }
        let two = [sample(3), sample(2)].concat();
        let failure = Some(Failure::Corrupt(sample(3).len() as u64));
        assert_eq!(read(&two).0, vec![(String::new(), vec![], failure)]);
    }

    #[test]
    fn bytes_before_and_behind_the_archive() {
        let program = [b"#!/bin/sh\n", &sample(4)[..], b"trailing"].concat();
        assert_eq!(read(&program), (expected(4), 0));
    }

    #[test]
    fn encrypted_and_unknown_members_fail_alone() {
        let mut bytes = sample(3);
        let entry = place(&bytes, b"PK\x01\x02");
        bytes[entry + 8] |= 1;
        let (found, _) = read(&bytes);
        assert_eq!(found[0], ("d/0.txt".into(), vec![], Some(Failure::Encrypted)));
        assert_eq!(found[1..], expected(3)[1..]);
        let mut bytes = sample(3);
        bytes[entry + 10] = 14;
        assert_eq!(read(&bytes).0[0].2, Some(Failure::UnknownMethod(14)));
    }

    #[test]
    fn a_wrong_checksum_or_size_fails_behind_the_text() {
        for field in [16, 24] {
            let mut bytes = sample(2);
            let entry = place(&bytes, b"PK\x01\x02");
            bytes[entry + field] += 1;
            let (found, _) = read(&bytes);
            assert_eq!(found[0], ("d/0.txt".into(), text(0), Some(Failure::Corrupt(0))));
            assert_eq!(found[1], expected(2)[1]);
        }
    }

    #[test]
    fn overlapping_members_are_refused() {
        let mut bytes = sample(3);
        // The second entry claims the place of the first member.
        let entry = place(&bytes, b"PK\x01\x02");
        let second = entry + 4 + place(&bytes[entry + 4..], b"PK\x01\x02");
        bytes[second + 42..second + 46].fill(0);
        let (found, _) = read(&bytes);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].2, Some(Failure::Corrupt(0)));
        assert_eq!(found[2], expected(3)[2]);
    }

    #[test]
    fn compressed_members_are_decompressed() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(b"inner text").unwrap();
        let packed = packer.finish().unwrap();
        let bytes = write(|writer| {
            for (name, bytes) in [("a.txt.gz", &packed[..]), ("b.gz", b"no gzip"), ("c.txt", b"c")] {
                writer.start_file(name, SimpleFileOptions::default()).unwrap();
                writer.write_all(bytes).unwrap();
            }
        });
        let (found, _) = read_all(&mut UnpackedMembers::new(open(&bytes), MEMORY));
        let expected: [Found; 3] = [
            ("a.txt.gz".into(), b"inner text".to_vec(), None),
            ("b.gz".into(), vec![], Some(Failure::OtherFormat)),
            ("c.txt".into(), b"c".to_vec(), None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn zip64() {
        let bytes = write(|writer| {
            let options = SimpleFileOptions::default().large_file(true);
            for number in 0..66_000 {
                writer.start_file(format!("{number}"), options).unwrap();
            }
        });
        let mut zip = open(&bytes);
        let count = std::iter::from_fn(|| zip.next_member()).map(Result::unwrap).count();
        assert_eq!(count, 66_000);
    }

    proptest! {
        #[test]
        fn flipped_bytes_never_panic(at in 0.0..1.0, mask in 1u8..) {
            let mut bytes = sample(4);
            let at = (bytes.len() as f64 * at) as usize;
            bytes[at] ^= mask;
            let (found, _) = read(&bytes);
            prop_assert!(found.len() <= 4);
            // The checksum finds each change of a text.
            for (name, text, failure) in found {
                let is_same = expected(4).iter().any(|(_, expected, _)| *expected == text);
                prop_assert!(is_same || failure.is_some(), "{name}");
            }
        }

        #[test]
        fn truncation_never_panics(part in 0.0..1.0) {
            let bytes = sample(4);
            let (found, _) = read(&bytes[..(bytes.len() as f64 * part) as usize]);
            prop_assert_eq!(found.len(), 1);
            prop_assert!(found[0].2.is_some());
        }
    }
}
