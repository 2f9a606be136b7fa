//! The members of a tar archive, plain or decompressed on the way.
//!
//! Reads the headers of v7, ustar, GNU and pax archives by the `tar` crate's `Header`, and follows long names, pax records
//! and sparse maps itself: the crate's own reader takes them into memory whatever their size, and does not know the place
//! of a fault. Sources: POSIX.1-2017 (pax), the manual of GNU tar, sections "Basic Tar Format" and "Sparse Formats".
//!
//! The archive may end at any member's end, with or without its blocks of zeros. What follows the zeros is read if it is
//! a member (`cat a.tar b.tar`), as by `tar --ignore-zeros`, and else ignored, as by tar. A sparse member is expanded as it
//! is read, in constant memory; a hole of terabytes is as many zero bytes, which the limit of a document's size ends.

use crate::failure::Failure;
use crate::records::archive::{Members, is_hidden};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

/// Bytes of a block: all headers and members begin at a multiple of it.
const BLOCK: u64 = 512;

/// Bytes that are read at a time: 64 KiB.
const INPUT: usize = 64 << 10;

/// Largest long name or list of pax records, in bytes: 1 MiB. Linux has paths of 4 KiB.
const MAX_RECORDS: u64 = 1 << 20;

/// Maximum number of data segments in a sparse member.
const MAX_SEGMENTS: usize = 1 << 16;

/// Reads the members of a tar archive.
pub(crate) struct Tar {
    source: BufReader<Box<dyn Read + Send>>,
    /// The place of the next byte in the archive.
    place: u64,
    /// The place in the compressed file, if the archive is compressed.
    place_in_file: Option<Arc<AtomicU64>>,
    with_hidden: bool,
    left_out: u64,
    path: Vec<u8>,
    size: u64,
    /// Bytes of the current member's data that were not read.
    left: u64,
    /// Zero bytes behind the data of the current member.
    padding: u64,
    sparse: Option<Sparse>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No member was found so far.
    Start,
    Inside,
    /// Behind a block of zeros.
    Zeros,
    End,
}

/// The part of a sparse member that was not read.
struct Sparse {
    /// Place and length in the expanded member.
    segments: VecDeque<(u64, u64)>,
    at: u64,
    size: u64,
}

/// What the headers before a member's own say about it.
#[derive(Default)]
struct Extensions {
    long_name: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    size: Option<u64>,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
    /// Version 1 keeps the map of segments in the member's data.
    sparse_major: Option<u64>,
    /// The numbers of the map in versions 0.0 and 0.1.
    sparse_map: Vec<u64>,
    fault: Option<Failure>,
    is_empty: bool,
}

impl Tar {
    /// Reads the archive `source`. If it is decompressed on the way, `place_in_file` is the place in the compressed file,
    /// for failures. Hidden members are left out unless `with_hidden`.
    pub(crate) fn new(
        source: Box<dyn Read + Send>,
        place_in_file: Option<Arc<AtomicU64>>,
        with_hidden: bool,
    ) -> Self {
        Tar {
            source: BufReader::with_capacity(INPUT, source),
            place: 0,
            place_in_file,
            with_hidden,
            left_out: 0,
            path: Vec::new(),
            size: 0,
            left: 0,
            padding: 0,
            sparse: None,
            state: State::Start,
        }
    }

    /// The place in the file of a place in the archive, which is the current one or a little before it.
    fn in_file(&self, place: u64) -> u64 {
        self.place_in_file.as_ref().map_or(place, |place| place.load(Ordering::Relaxed))
    }

    fn corrupt(&self, place: u64) -> Failure {
        Failure::Corrupt(self.in_file(place))
    }

    /// The archive has no more bytes, so this is its last failure.
    fn truncated(&mut self) -> Failure {
        self.state = State::End;
        Failure::Truncated(self.in_file(self.place))
    }

    /// Reads some bytes; 0 at the end of the source.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match self.source.read(into) {
                Ok(bytes) => {
                    self.place += bytes as u64;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.state = State::End;
                    return Err(error.into());
                }
            }
        }
    }

    /// Fills `into` as far as the source has bytes, and returns their number.
    fn read_all(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        while filled < into.len() {
            match self.read(&mut into[filled..])? {
                0 => break,
                bytes => filled += bytes,
            }
        }
        Ok(filled)
    }

    /// Passes over as many bytes, or to the end of the source. Returns the number of bytes that it lacks.
    fn skip(&mut self, mut bytes: u64) -> Result<u64, Failure> {
        while bytes > 0 {
            let here = match self.source.fill_buf() {
                Ok([]) => break,
                Ok(here) => bytes.min(here.len() as u64),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            // Not more than the buffer has.
            self.source.consume(here as usize);
            self.place += here;
            bytes -= here;
        }
        Ok(bytes)
    }

    /// Passes over the rest of the current member. Its last padding may be missing.
    fn finish_member(&mut self) -> Result<(), Failure> {
        self.sparse = None;
        let (left, padding) = (std::mem::take(&mut self.left), std::mem::take(&mut self.padding));
        if self.skip(left)? > 0 {
            return Err(self.truncated());
        }
        self.skip(padding)?;
        Ok(())
    }

    /// Begins data of `size` bytes, and of the padding behind them.
    fn begin_data(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    /// Reads the data of a header that is not a member's own, if they are not too large.
    fn read_records(&mut self, header_place: u64) -> Result<Vec<u8>, Failure> {
        if self.left > MAX_RECORDS {
            return Err(self.corrupt(header_place));
        }
        // At most `MAX_RECORDS`.
        let mut records = vec![0; self.left as usize];
        let read = self.read_all(&mut records)?;
        self.left -= read as u64;
        if self.left > 0 { Err(self.truncated()) } else { Ok(records) }
    }

    /// Goes to the next document. `None` at the end of the archive.
    fn advance(&mut self) -> Option<Result<(), Failure>> {
        let mut extensions = Extensions::new();
        loop {
            if let Err(failure) = self.finish_member() {
                return self.end(failure);
            }
            let place = self.place;
            let header = match self.read_header(&extensions) {
                Ok(Some(header)) => header,
                Ok(None) => {
                    self.state = State::End;
                    return None;
                }
                Err(failure) => return self.end(failure),
            };
            let kind = header.entry_type();
            let size = match (kind.as_byte(), header.entry_size()) {
                // Links, devices, folders and pipes have no data, even if they have a size (POSIX, "ustar").
                (b'1'..=b'6', _) => 0,
                (_, Ok(size)) => extensions.size.filter(|_| !is_extension(kind)).unwrap_or(size),
                (_, Err(_)) => return self.end(self.corrupt(place)),
            };
            self.begin_data(size);
            if is_extension(kind) {
                if let Err(failure) = self.extend(&mut extensions, kind, place) {
                    return self.end(failure);
                }
                continue;
            }
            let found =
                self.begin_member(&header, std::mem::replace(&mut extensions, Extensions::new()), place);
            match found {
                Ok(true) => return Some(Ok(())),
                Ok(false) => {}
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    /// The last document, which failed.
    fn end(&mut self, failure: Failure) -> Option<Result<(), Failure>> {
        self.state = State::End;
        self.path.clear();
        Some(Err(failure))
    }

    /// The next header. `None` at the end of the archive.
    fn read_header(&mut self, extensions: &Extensions) -> Result<Option<Header>, Failure> {
        let mut header = Header::new_old();
        loop {
            let place = self.place;
            let bytes = self.read_all(header.as_mut_bytes())?;
            let is_complete = bytes as u64 == BLOCK;
            if bytes == 0 || (!is_complete && self.state == State::Zeros) {
                return if extensions.is_empty { Ok(None) } else { Err(self.truncated()) };
            }
            if is_complete && header.as_bytes().iter().all(|&byte| byte == 0) {
                if !extensions.is_empty {
                    return Err(self.corrupt(place));
                }
                self.state = State::Zeros;
                continue;
            }
            if is_complete && is_valid(&header) {
                self.state = State::Inside;
                return Ok(Some(header));
            }
            return match self.state {
                State::Zeros => {
                    // To the end, so that a fault of the decompression is found.
                    self.skip(u64::MAX)?;
                    Ok(None)
                }
                State::Start => Err(Failure::OtherFormat),
                _ if !is_complete => Err(self.truncated()),
                _ => Err(self.corrupt(place)),
            };
        }
    }

    /// Reads a header that describes the next member.
    fn extend(&mut self, extensions: &mut Extensions, kind: EntryType, place: u64) -> Result<(), Failure> {
        match kind {
            EntryType::GNULongName => {
                let mut name = self.read_records(place)?;
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                name.truncate(end);
                extensions.long_name = Some(name);
                extensions.is_empty = false;
            }
            EntryType::XHeader => {
                let records = self.read_records(place)?;
                if extensions.add(&records).is_none() {
                    extensions.fault = Some(self.corrupt(place));
                }
                extensions.is_empty = false;
            }
            // Names of links are not needed, and what is global is no member's path or size.
            _ => {}
        }
        Ok(())
    }

    /// Begins the member of this header. Returns false if it is no document.
    fn begin_member(&mut self, header: &Header, extensions: Extensions, place: u64) -> Result<bool, Failure> {
        let kind = header.entry_type();
        self.path.clear();
        match extensions.sparse_name.as_ref().or(extensions.path.as_ref()).or(extensions.long_name.as_ref()) {
            Some(path) => self.path.extend_from_slice(path),
            None => self.path.extend_from_slice(&header.path_bytes()),
        }
        self.size = self.left;
        // A volume's label or a list of a folder's names, in GNU archives. Old archives mark folders by their names.
        let is_folder = matches!(kind.as_byte(), b'5' | b'D' | b'V') || self.path.ends_with(b"/");
        if is_folder {
            return Ok(false);
        }
        // Links, devices, pipes, and the rest of a file of another volume.
        if matches!(kind.as_byte(), b'1'..=b'6' | b'M') || (!self.with_hidden && is_hidden(&self.path)) {
            self.left_out += 1;
            return Ok(false);
        }
        if let Some(fault) = extensions.fault {
            return Err(fault);
        }
        if kind.is_gnu_sparse() {
            let (segments, size) = self.read_gnu_map(header, place)?;
            self.begin_sparse(segments, size, place)?;
        } else if extensions.sparse_major == Some(1) {
            let segments = self.read_map(place)?;
            let size = extensions.sparse_size.ok_or_else(|| self.corrupt(place))?;
            self.begin_sparse(segments, size, place)?;
        } else if let (false, Some(size)) = (extensions.sparse_map.is_empty(), extensions.sparse_size) {
            let segments = extensions.sparse_map.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            self.begin_sparse(segments, size, place)?;
        }
        Ok(true)
    }

    /// Begins a member that expands to `size` bytes, if its map agrees with its data.
    fn begin_sparse(&mut self, segments: VecDeque<(u64, u64)>, size: u64, place: u64) -> Result<(), Failure> {
        let mut end = 0;
        let mut data = 0;
        for &(at, length) in &segments {
            let next = at.checked_add(length).filter(|&next| at >= end && next <= size);
            end = next.ok_or_else(|| self.corrupt(place))?;
            // Not more than `end`.
            data += length;
        }
        if data != self.left {
            return Err(self.corrupt(place));
        }
        self.size = size;
        self.sparse = Some(Sparse { segments, at: 0, size });
        Ok(())
    }

    /// Reads the map of GNU's old format, whose blocks lie between the header and the data.
    fn read_gnu_map(&mut self, header: &Header, place: u64) -> Result<(VecDeque<(u64, u64)>, u64), Failure> {
        let gnu = header.as_gnu().ok_or_else(|| self.corrupt(place))?;
        let size = gnu.real_size().map_err(|_| self.corrupt(place))?;
        let mut segments = VecDeque::new();
        add_segments(&mut segments, &gnu.sparse).map_err(|failure| failure.unwrap_or(self.corrupt(place)))?;
        let mut has_more = gnu.is_extended();
        while has_more {
            let mut block = GnuExtSparseHeader::new();
            if self.read_all(block.as_mut_bytes())? as u64 != BLOCK {
                return Err(self.truncated());
            }
            add_segments(&mut segments, block.sparse())
                .map_err(|failure| failure.unwrap_or(self.corrupt(place)))?;
            has_more = block.is_extended();
        }
        Ok((segments, size))
    }

    /// Reads the map of version 1.0: decimal numbers, one a line, at the start of the member's data.
    fn read_map(&mut self, place: u64) -> Result<VecDeque<(u64, u64)>, Failure> {
        let mut segments = VecDeque::new();
        let before = self.left;
        let count = self.read_number(place)?;
        if count > MAX_SEGMENTS as u64 {
            return Err(Failure::OutOfMemory);
        }
        for _ in 0..count {
            segments.push_back((self.read_number(place)?, self.read_number(place)?));
        }
        let rest = (before - self.left).wrapping_neg() % BLOCK;
        let rest = rest.min(self.left);
        self.left -= rest;
        if self.skip(rest)? > 0 { Err(self.truncated()) } else { Ok(segments) }
    }

    /// Reads a line of the member's data that contains a number.
    fn read_number(&mut self, place: u64) -> Result<u64, Failure> {
        let mut digits = Vec::new();
        loop {
            let mut byte = [0];
            // A number of 64 bits has 20 digits at most.
            if self.left == 0 || digits.len() > 20 {
                return Err(self.corrupt(place));
            }
            if self.read(&mut byte)? == 0 {
                return Err(self.truncated());
            }
            self.left -= 1;
            if byte[0] == b'\n' {
                return number(&digits).ok_or_else(|| self.corrupt(place));
            }
            digits.push(byte[0]);
        }
    }

    /// Reads bytes of the current member's data.
    fn read_data(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        let most = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        let read = self.read(&mut into[..most])?;
        self.left -= read as u64;
        if read == 0 && most > 0 { Err(self.truncated()) } else { Ok(read) }
    }

    /// Reads bytes of the current member as it expands.
    fn read_sparse(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        let Some(sparse) = &mut self.sparse else { return self.read_data(into) };
        while sparse.segments.front().is_some_and(|&(at, length)| sparse.at >= at + length) {
            sparse.segments.pop_front();
        }
        let (at, end) =
            sparse.segments.front().map_or((sparse.size, sparse.size), |&(at, length)| (at, at + length));
        let is_hole = sparse.at < at;
        let left = if is_hole { at - sparse.at } else { end - sparse.at };
        let most = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let read = if is_hole {
            into[..most].fill(0);
            most
        } else {
            self.read_data(&mut into[..most])?
        };
        if let Some(sparse) = &mut self.sparse {
            sparse.at += read as u64;
        }
        Ok(read)
    }
}

impl Members for Tar {
    fn next_member(&mut self) -> Option<Result<(), Failure>> {
        if self.state == State::End { None } else { self.advance() }
    }

    fn path(&self) -> &[u8] {
        &self.path
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn read_member(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        if self.state == State::End {
            return Err(self.truncated());
        }
        self.read_sparse(into).inspect_err(|_| self.state = State::End)
    }

    fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl Extensions {
    fn new() -> Self {
        Extensions { is_empty: true, ..Extensions::default() }
    }

    /// Adds pax records: `LENGTH KEY=VALUE` and a line end, where the length counts all of it. `None` if they are malformed.
    fn add(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            let space = records.iter().take(20).position(|&byte| byte == b' ')?;
            let length = usize::try_from(number(&records[..space])?).ok()?;
            let (record, rest) = records.split_at_checked(length)?;
            let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            self.set(&record[..equals], &record[equals + 1..])?;
            records = rest;
        }
        Some(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
            b"GNU.sparse.major" => self.sparse_major = Some(number(value)?),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse_size = Some(number(value)?),
            // At most as many as the records have bytes.
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse_map.push(number(value)?),
            b"GNU.sparse.map" => {
                self.sparse_map = value.split(|&byte| byte == b',').map(number).collect::<Option<_>>()?;
            }
            _ => {}
        }
        Some(())
    }
}

/// Whether the header describes the next member, not one of its own.
fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
    )
}

/// Whether the header has the checksum that it claims. Old programs have added up signed bytes.
fn is_valid(header: &Header) -> bool {
    let Ok(claimed) = header.cksum() else { return false };
    let bytes = header.as_bytes();
    // The checksum counts as spaces.
    let others = || bytes[..148].iter().chain(&bytes[156..]);
    let unsigned = others().map(|&byte| i64::from(byte)).sum::<i64>() + 8 * 32;
    let signed = others().map(|&byte| i64::from(byte as i8)).sum::<i64>() + 8 * 32;
    [unsigned, signed].contains(&claimed.into())
}

/// A decimal number.
fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Adds segments of GNU's old format. Fails with `None` if one is malformed.
fn add_segments(
    segments: &mut VecDeque<(u64, u64)>,
    headers: &[GnuSparseHeader],
) -> Result<(), Option<Failure>> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        if segments.len() == MAX_SEGMENTS {
            return Err(Some(Failure::OutOfMemory));
        }
        segments.push_back((header.offset().map_err(|_| None)?, header.length().map_err(|_| None)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::archive::tests::{Found, read_all};
    use crate::records::unpack::{Method, Unpacked};
    use proptest::prelude::*;
    use std::io::{Cursor, Write as _};
    use tar::Builder;

    fn open(bytes: &[u8]) -> Tar {
        Tar::new(Box::new(Cursor::new(bytes.to_vec())), None, false)
    }

    fn read(bytes: &[u8]) -> (Vec<Found>, u64) {
        read_all(&mut open(bytes))
    }

    fn text(number: usize) -> Vec<u8> {
        format!("text of member {number} ").repeat(number * 20).into_bytes()
    }

    fn add(builder: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, data: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, data).unwrap();
    }

    fn sample(members: usize) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for number in 0..members {
            add(&mut builder, EntryType::Regular, &format!("d/{number}.txt"), &text(number));
        }
        builder.into_inner().unwrap()
    }

    fn expected(members: usize) -> Vec<Found> {
        (0..members).map(|number| (format!("d/{number}.txt"), text(number), None)).collect()
    }

    #[test]
    fn members_in_order() {
        assert_eq!(read(&sample(20)), (expected(20), 0));
        assert_eq!(read(&sample(0)), (vec![], 0));
        assert_eq!(read(b""), (vec![], 0));
    }

    #[test]
    fn the_end_may_be_missing_or_in_the_middle() {
        let bytes = sample(3);
        let without_end = &bytes[..bytes.len() - 1024];
        assert_eq!(read(without_end), (expected(3), 0));
        assert_eq!(read(&bytes[..bytes.len() - 512]), (expected(3), 0));
        // Two archives, and bytes that are no header behind the end.
        let two = [&bytes[..], &sample(2)].concat();
        assert_eq!(read(&two), ([expected(3), expected(2)].concat(), 0));
        let followed = [&bytes[..], &[b'x'; 700]].concat();
        assert_eq!(read(&followed), (expected(3), 0));
    }

    #[test]
    fn folders_links_and_hidden_members() {
        let mut builder = Builder::new(Vec::new());
        add(&mut builder, EntryType::Directory, "d/", b"");
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo]
        {
            add(&mut builder, kind, "x", b"");
        }
        add(&mut builder, EntryType::Regular, "d/.git/a", b"hidden");
        add(&mut builder, EntryType::Regular, "d/a", b"text");
        add(&mut builder, EntryType::Continuous, "d/b", b"more");
        let bytes = builder.into_inner().unwrap();
        let (found, left_out) = read(&bytes);
        assert_eq!(found, [("d/a".into(), b"text".to_vec(), None), ("d/b".into(), b"more".to_vec(), None)]);
        assert_eq!(left_out, 6);
        assert_eq!(read_all(&mut Tar::new(Box::new(Cursor::new(bytes)), None, true)).1, 5);
    }

    #[test]
    fn long_names_and_pax_records() {
        let mut builder = Builder::new(Vec::new());
        let long = "directory/".repeat(40) + "a.txt";
        add(&mut builder, EntryType::Regular, &long, b"long");
        let path = "pax/\u{e4}\n.txt";
        builder.append_pax_extensions([("path", path.as_bytes()), ("size", b"3")]).unwrap();
        let mut header = Header::new_ustar();
        // The records' size holds, not the header's.
        header.set_path("short").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
        builder.get_mut().extend(b"abc");
        builder.get_mut().extend([0; 509]);
        add(&mut builder, EntryType::Regular, "last", b"last");
        let (found, _) = read(&builder.into_inner().unwrap());
        let expected: [Found; 3] = [
            (long, b"long".to_vec(), None),
            (path.into(), b"abc".to_vec(), None),
            ("last".into(), b"last".to_vec(), None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn malformed_records_fail_their_member_alone() {
        let mut builder = Builder::new(Vec::new());
        add(&mut builder, EntryType::XHeader, "x", b"99 path=a\n");
        add(&mut builder, EntryType::Regular, "a", b"text");
        add(&mut builder, EntryType::Regular, "b", b"more");
        let (found, _) = read(&builder.into_inner().unwrap());
        assert_eq!(found[0].2, Some(Failure::Corrupt(0)));
        assert_eq!(found[1], ("b".into(), b"more".to_vec(), None));
    }

    #[test]
    fn a_long_name_of_gigabytes_is_not_read() {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(1 << 40);
        header.set_cksum();
        assert_eq!(read(header.as_bytes()).0, [(String::new(), vec![], Some(Failure::Corrupt(0)))]);
        header.set_size(1000);
        header.set_cksum();
        assert_eq!(read(header.as_bytes()).0, [(String::new(), vec![], Some(Failure::Truncated(512)))]);
    }

    fn sparse(segments: &[(u64, u64)], real: u64, data: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_path("s").unwrap();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(data.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(real);
        for (field, &(at, length)) in gnu.sparse.iter_mut().zip(segments) {
            field.set_offset(at);
            field.set_length(length);
        }
        header.set_cksum();
        let mut builder = Builder::new(Vec::new());
        builder.append(&header, data).unwrap();
        add(&mut builder, EntryType::Regular, "next", b"next");
        builder.into_inner().unwrap()
    }

    #[test]
    fn sparse_members_are_expanded() {
        let (found, _) = read(&sparse(&[(3, 2), (8, 1), (12, 0)], 12, b"abc"));
        assert_eq!(found[0], ("s".into(), b"\0\0\0ab\0\0\0c\0\0\0".to_vec(), None));
        assert_eq!(found[1].0, "next");
        // Maps that do not agree with the data.
        for (segments, real) in
            [(&[(3, 4)][..], 12), (&[(3, 3)], 5), (&[(3, 2), (4, 1)], 12), (&[(u64::MAX, 3)], 9)]
        {
            let (found, _) = read(&sparse(segments, real, b"abc"));
            assert_eq!(found[0].2, Some(Failure::Corrupt(0)));
            assert_eq!(found[1].0, "next");
        }
        // A hole of 2^60 bytes is passed over at once.
        let bytes = sparse(&[(1 << 60, 3)], (1 << 60) + 3, b"abc");
        let mut tar = open(&bytes);
        assert_eq!(tar.next_member(), Some(Ok(())));
        assert_eq!(tar.read_member(&mut [1; 100]), Ok(100));
        assert_eq!(tar.next_member(), Some(Ok(())));
        assert_eq!(tar.path(), b"next");
    }

    #[test]
    fn pax_sparse_members_are_expanded() {
        let mut builder = Builder::new(Vec::new());
        let name = ("GNU.sparse.name", &b"real/name"[..]);
        let size = ("GNU.sparse.realsize", &b"6"[..]);
        builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..]), name, size]).unwrap();
        let mut data = b"2\n1\n2\n5\n1\n".to_vec();
        data.resize(512, 0);
        data.extend(b"abc");
        add(&mut builder, EntryType::Regular, "GNUSparseFile.0/name", &data);
        builder
            .append_pax_extensions([name, ("GNU.sparse.size", &b"6"[..]), ("GNU.sparse.map", b"1,2,5,1")])
            .unwrap();
        add(&mut builder, EntryType::Regular, "other", b"abc");
        let (found, _) = read(&builder.into_inner().unwrap());
        let member: Found = ("real/name".into(), b"\0ab\0\0c".to_vec(), None);
        assert_eq!(found, [member.clone(), member]);
    }

    #[test]
    fn truncation_at_every_byte() {
        let bytes = sample(4);
        let whole = expected(4);
        for end in 1..bytes.len() - 1024 {
            let (found, _) = read(&bytes[..end]);
            let failed = found.iter().filter(|(.., failure)| failure.is_some()).count();
            let failure = if end < 512 { Failure::OtherFormat } else { Failure::Truncated(end as u64) };
            assert!(failed <= 1, "{end}");
            if failed == 1 {
                assert_eq!(found.last().unwrap().2, Some(failure), "{end}");
            }
            for ((name, text, failure), expected) in found.iter().zip(&whole) {
                assert!(
                    *text == expected.1 || (failure.is_some() && expected.1.starts_with(text)),
                    "{end} {name}"
                );
            }
            // At a block's end the archive may be complete.
            assert!(failed == 1 || found == whole[..found.len()], "{end}");
        }
    }

    #[test]
    fn a_changed_header_ends_the_archive() {
        let mut bytes = sample(3);
        bytes[512] ^= 1;
        let (found, _) = read(&bytes);
        assert_eq!(found[0], expected(1)[0]);
        assert_eq!(found[1..], [(String::new(), vec![], Some(Failure::Corrupt(512)))]);
        bytes[0] ^= 1;
        assert_eq!(read(&bytes).0, [(String::new(), vec![], Some(Failure::OtherFormat))]);
    }

    #[test]
    fn a_fault_of_the_compression_is_one_document() {
        let bytes = sample(100);
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(&bytes).unwrap();
        let packed = packer.finish().unwrap();
        let open = |packed: &[u8]| {
            let source = Unpacked::new(Box::new(Cursor::new(packed.to_vec())), Method::Gzip, 0, 1 << 20);
            let reached = source.reached();
            read_all(&mut Tar::new(Box::new(source), Some(reached), false)).0
        };
        assert_eq!(open(&packed), expected(100));
        for end in [packed.len() / 2, packed.len() - 1] {
            let found = open(&packed[..end]);
            let (last, others) = found.split_last().unwrap();
            assert_eq!(last.2, Some(Failure::Truncated(end as u64)));
            assert_eq!(*others, expected(100)[..others.len()]);
        }
    }

    proptest! {
        #[test]
        fn flipped_bytes_never_panic(flips in proptest::collection::vec((0.0..1.0, 1u8..), 1..4)) {
            let mut bytes = sparse(&[(3, 2), (8, 1)], 12, b"abc");
            bytes.extend(sample(3));
            for (at, mask) in flips {
                let at = (bytes.len() as f64 * at) as usize;
                bytes[at] ^= mask;
            }
            let mut tar = open(&bytes);
            let mut buffer = [0; 1000];
            // A changed map may expand to terabytes.
            while tar.next_member().is_some() {
                for _ in 0..100 {
                    if tar.read_member(&mut buffer).unwrap_or(0) == 0 { break; }
                }
            }
        }
    }
}
