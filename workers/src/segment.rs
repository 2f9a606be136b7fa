//! A segment: the append-only log of one worker, with one record for each document.
//!
//! Owns the layout of a record and its validation. A record holds its document's key (batch, ordinal), its source, its
//! row, and the terms that the worker met for the first time, in the order of their local ids. One release store
//! commits it; bytes beyond that mark do not exist for other processes. A later run recovers the records of a file by
//! their checksums. A segment belongs to one worker. The segment of a dead worker is read, never appended to. All
//! lengths are multiples of 8 bytes. Numbers are in the machine's byte order, since a segment never leaves the machine.

use crate::documents::Source;
use crate::failure::Failure;
use crate::mapped::{Log, LogWriter, Store};
use crate::row;
use bytemuck::{Pod, Zeroable};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Identifies a document of the run: its batch, and its place in the batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Key {
    /// The batch's number.
    pub batch: u32,
    /// The document's place in the batch, from 0.
    pub ordinal: u32,
}

/// The fixed part of a record. The packed row follows it, then the new terms.
#[derive(Clone, Copy, Pod, Zeroable, Debug)]
#[repr(C)]
struct Header {
    /// CRC-32 of all that follows this field, up to the record's end.
    checksum: u32,
    batch: u32,
    ordinal: u32,
    /// 0, or the failure's kind.
    failure: u32,
    failure_detail: u64,
    bytes: u64,
    modified: i64,
    tokens: u64,
    /// Bytes of the whole record.
    size: u64,
    /// Bytes of the new terms, each after its length.
    term_bytes: u64,
    new_terms: u32,
    /// Words of the packed row.
    row_words: u32,
    /// Pairs of the packed row.
    nonzeros: u32,
    /// 0, or the reason why the document has no term (`Absence::encode`).
    absence: u32,
    unknown: u64,
}

const HEADER: usize = size_of::<Header>();

/// The result of a document, before it is written to a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<'a> {
    /// The document's key.
    pub(crate) key: Key,
    /// The state of the document's file when it was opened.
    pub(crate) source: Source,
    /// Why it has no row, if so.
    pub(crate) failure: Option<Failure>,
    /// Terms counted, before any pruning.
    pub(crate) tokens: u64,
    /// The reason why the document has no term (`Absence::encode`), or 0.
    pub(crate) absence: u32,
    /// Number of the counted terms that a fixed vocabulary does not contain.
    pub(crate) unknown: u64,
    /// The packed row (`row`), in order of first occurrence or, for hashed features, of columns.
    pub(crate) row: &'a [u32],
    /// Number of pairs in the row.
    pub(crate) nonzeros: u32,
    /// The terms that got a local id here, as [`push_term`] writes them.
    pub(crate) terms: &'a [u8],
    /// Number of those terms.
    pub(crate) new_terms: u32,
}

/// Appends a term to a list of terms: its length in one byte, or 255 and then the length in four bytes; then its bytes.
pub(crate) fn push_term(terms: &mut Vec<u8>, term: &[u8]) {
    match u8::try_from(term.len()) {
        Ok(length) if length < u8::MAX => terms.push(length),
        _ => {
            terms.push(u8::MAX);
            terms.extend_from_slice(&(term.len() as u32).to_le_bytes());
        }
    }
    terms.extend_from_slice(term);
}

/// The term that `push_term` wrote at byte `at`; `None` if it extends beyond the end.
#[inline]
pub fn term_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    match *rest.first()? {
        u8::MAX => {
            let length = u32::from_le_bytes(*rest.get(1..)?.first_chunk()?);
            rest.get(5..)?.get(..length as usize)
        }
        length => rest.get(1..)?.get(..length as usize),
    }
}

/// Bytes that `push_term` takes for a term of `length` bytes.
#[inline]
pub fn term_size(length: usize) -> usize {
    if length < u8::MAX as usize { 1 + length } else { 5 + length }
}

/// A segment. Clones share it.
#[derive(Clone, Debug)]
pub struct Segment(Arc<Log>);

impl Segment {
    /// Recovers the segment that a process of an earlier run left in a file. Keeps the records up to the first invalid
    /// one. The numbers in a row are columns below `columns` if that is given, or else local ids.
    ///
    /// # Errors
    /// The system's error.
    pub fn recover(file: &File, columns: Option<u64>, store: &Store) -> io::Result<Self> {
        let log = Log::recover(file, store, |bytes| {
            let (mut end, mut ids) = (0, 0);
            for record in records(bytes) {
                ids += record.new_terms() as u64;
                if !record.is_intact() || !record.makes_sense(columns.unwrap_or(ids)) {
                    break;
                }
                end = record.offset + record.header.size as usize;
            }
            end
        })?;
        Ok(Segment(Arc::new(log)))
    }

    /// Marks the writer as dead and cuts the segment behind its last intact record. Returns whether that kept all
    /// committed bytes.
    pub fn seal(&self) -> bool {
        let whole = self.records().take_while(Record::is_intact).last();
        let committed = self.bytes().len();
        self.0.truncate(whole.map_or(0, |record| record.offset + record.header.size as usize));
        self.0.close();
        self.bytes().len() == committed
    }

    /// Sets whether workers that start from now on inherit the segment. Counting workers must not reach each other's
    /// records.
    pub fn inherit(&self, is_inherited: bool) {
        self.0.inherit(is_inherited);
    }

    /// Whether the segment is in a file.
    pub fn is_in_file(&self) -> bool {
        self.0.is_in_file()
    }

    /// Takes the pages of a segment in a file out of this process's memory until they are accessed again.
    pub fn give_back(&self) {
        self.0.give_back();
    }

    /// Marks the writer as finished.
    pub fn close(&self) {
        self.0.close();
    }

    /// The bytes of the committed records. A record's offsets refer to this slice.
    pub fn bytes(&self) -> &[u8] {
        self.0.committed()
    }

    /// The committed records, in order, up to the first invalid one, as a wild write may leave it.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.records_from(0)
    }

    /// The same from the record on that begins at `start`.
    pub(crate) fn records_from(&self, start: usize) -> impl Iterator<Item = Record<'_>> {
        records_from(self.bytes(), start)
    }
}

/// The records in a segment's bytes, in order, up to the first invalid one.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    records_from(bytes, 0)
}

fn records_from(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let record = Record::at(bytes, at)?;
        at += record.header.size as usize;
        Some(record)
    })
}

/// A committed record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    bytes: &'a [u8],
    offset: usize,
    header: Header,
}

impl<'a> Record<'a> {
    /// The record at byte `offset` of a segment's bytes. `None` if its lengths contradict each other, if it extends
    /// beyond the end, or if `offset` is not a multiple of 8.
    pub fn at(bytes: &'a [u8], offset: usize) -> Option<Self> {
        let head = bytes.get(offset..)?.get(..HEADER)?;
        let header: Header = bytemuck::pod_read_unaligned(head);
        let size = usize::try_from(header.size).ok()?;
        let row = header.row_words as usize * 4;
        let needed = (HEADER + row).checked_add(usize::try_from(header.term_bytes).ok()?)?;
        let fits = offset.is_multiple_of(8)
            && size.is_multiple_of(8)
            && needed <= size
            && size <= bytes.len() - offset;
        fits.then_some(Record { bytes, offset, header })
    }

    /// The record's first byte in its segment.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The document's key.
    pub fn key(&self) -> Key {
        Key { batch: self.header.batch, ordinal: self.header.ordinal }
    }

    /// Why it has no row, if so.
    pub fn failure(&self) -> Option<Failure> {
        Failure::decode(self.header.failure, self.header.failure_detail)
    }

    /// The state of the document's file when it was opened.
    pub fn source(&self) -> Source {
        Source { bytes: self.header.bytes, modified: self.header.modified }
    }

    /// Terms counted, before any pruning.
    pub fn tokens(&self) -> u64 {
        self.header.tokens
    }

    /// The reason why the document has no term, for `Absence::decode`.
    pub fn absence(&self) -> u32 {
        self.header.absence
    }

    /// Number of counted terms that a fixed vocabulary does not contain.
    pub fn unknown(&self) -> u64 {
        self.header.unknown
    }

    /// Number of pairs in the row.
    pub fn nonzeros(&self) -> u32 {
        self.header.nonzeros
    }

    /// Bytes of the terms that got a local id with this document, as `push_term` writes them.
    pub fn term_bytes(&self) -> usize {
        self.header.term_bytes as usize
    }

    /// Number of terms that got a local id with this document.
    pub fn new_terms(&self) -> u32 {
        self.header.new_terms
    }

    /// The packed row (`row`).
    pub fn row(&self) -> &'a [u32] {
        let start = self.offset + HEADER;
        // Records and headers are multiples of 8 bytes long, and a map begins with a page: the words are aligned.
        bytemuck::cast_slice(&self.bytes[start..start + self.header.row_words as usize * 4])
    }

    /// The first byte of each new term in the segment, for [`term_at`], in the order of local ids.
    pub fn term_offsets(self) -> impl Iterator<Item = usize> + 'a {
        let (bytes, mut at) = (self.bytes, self.offset + HEADER + self.header.row_words as usize * 4);
        (0..self.header.new_terms).map_while(move |_| {
            let offset = at;
            at += term_size(term_at(bytes, offset)?.len());
            Some(offset)
        })
    }

    /// Whether a worker can have written these terms and this row, given that the row's numbers must be below `numbers`.
    /// The checksum finds accidental damage, not malicious changes.
    fn makes_sense(&self, numbers: u64) -> bool {
        let (mut terms, mut bytes) = (0, 0);
        for at in self.term_offsets() {
            let Some(term) = term_at(self.bytes, at) else { return false };
            if std::str::from_utf8(term).is_err() {
                return false;
            }
            terms += 1;
            bytes += term_size(term.len());
        }
        let mut nonzeros = 0;
        let in_range =
            row::pairs(self.row()).inspect(|_| nonzeros += 1).all(|(number, _)| (number as u64) < numbers);
        terms == self.header.new_terms
            && bytes == self.term_bytes()
            && in_range
            && nonzeros == self.header.nonzeros
    }

    /// Whether the checksum is right.
    pub fn is_intact(&self) -> bool {
        let bytes = &self.bytes[self.offset + 4..self.offset + self.header.size as usize];
        crc32fast::hash(bytes) == self.header.checksum
    }
}

/// Appends records to one segment.
#[derive(Debug)]
pub struct SegmentWriter {
    log: LogWriter,
}

/// The reason why a record was not appended. The segment is unchanged.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The segment has no room for it.
    Full,
    /// The system's error. Most likely the disk of a scratch file is full.
    System(io::Error),
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        AppendError::System(error)
    }
}

impl SegmentWriter {
    /// Creates an empty segment and returns its writer. The segment takes `wanted` bytes of memory, or less if `store`
    /// has less, or else a scratch file of any length.
    ///
    /// # Errors
    /// The system's error, if memory, disk, address space or descriptors run out.
    pub fn new(wanted: usize, store: &Store) -> io::Result<Self> {
        Log::growing(wanted, store).map(|log| SegmentWriter { log })
    }

    /// Creates an empty segment in an empty file and returns its writer. [`Segment::recover`] opens it again.
    ///
    /// # Errors
    /// As for [`SegmentWriter::new`].
    pub fn new_in(file: File, store: &Store) -> io::Result<Self> {
        Log::growing_in(file, store).map(|log| SegmentWriter { log })
    }

    /// The segment that this writer appends to.
    pub fn segment(&self) -> Segment {
        Segment(self.log.log().clone())
    }

    /// The file that the segment is in; `None` if it is in memory.
    pub(crate) fn file(&self) -> Option<&File> {
        self.log.file()
    }

    /// Appends a record and commits it.
    ///
    /// # Errors
    /// If the record does not fit, or if the disk is full. Then the segment is unchanged.
    pub(crate) fn commit(&mut self, outcome: &Outcome) -> Result<(), AppendError> {
        let body = HEADER + size_of_val(outcome.row) + outcome.terms.len();
        let size = body.next_multiple_of(8);
        if size > self.log.room() {
            return Err(AppendError::Full);
        }
        let (failure, failure_detail) = outcome.failure.map_or((0, 0), Failure::encode);
        let mut header = Header {
            checksum: 0,
            batch: outcome.key.batch,
            ordinal: outcome.key.ordinal,
            failure,
            failure_detail,
            bytes: outcome.source.bytes,
            modified: outcome.source.modified,
            tokens: outcome.tokens,
            size: size as u64,
            term_bytes: outcome.terms.len() as u64,
            new_terms: outcome.new_terms,
            row_words: outcome.row.len() as u32,
            nonzeros: outcome.nonzeros,
            absence: outcome.absence,
            unknown: outcome.unknown,
        };
        let row: &[u8] = bytemuck::cast_slice(outcome.row);
        let padding = &[0; 8][..size - body];
        let mut checksum = crc32fast::Hasher::new();
        for part in [&bytemuck::bytes_of(&header)[4..], row, outcome.terms, padding] {
            checksum.update(part);
        }
        header.checksum = checksum.finalize();
        for part in [bytemuck::bytes_of(&header), row, outcome.terms, padding] {
            self.log.append(part)?;
        }
        self.log.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome<'a>(ordinal: u32, row: &'a [u32], terms: &'a [u8], new_terms: u32) -> Outcome<'a> {
        Outcome {
            key: Key { batch: 3, ordinal },
            source: Source { bytes: 5, modified: -1 },
            failure: None,
            tokens: 9,
            absence: 0,
            unknown: 2,
            row,
            nonzeros: row.len() as u32,
            terms,
            new_terms,
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut writer = SegmentWriter::new(100_000, &Store::unlimited()).unwrap();
        let segment = writer.segment();
        let mut terms = Vec::new();
        let long = "x".repeat(300);
        for term in ["a", "", &long] {
            push_term(&mut terms, term.as_bytes());
        }
        writer.commit(&outcome(0, &[1, 2, 3], &terms, 3)).unwrap();
        let failed = Outcome { failure: Some(Failure::Killed(11)), ..outcome(1, &[], &[], 0) };
        writer.commit(&failed).unwrap();

        let records: Vec<_> = segment.records().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].row(), [1, 2, 3]);
        let found: Vec<_> =
            records[0].term_offsets().map(|at| term_at(segment.bytes(), at).unwrap()).collect();
        assert_eq!(found, [&b"a"[..], b"", long.as_bytes()]);
        assert_eq!(records[1].key(), Key { batch: 3, ordinal: 1 });
        assert_eq!(records[1].failure(), Some(Failure::Killed(11)));
        assert_eq!(records[0].source(), Source { bytes: 5, modified: -1 });
        assert!(records.iter().all(Record::is_intact));
    }

    #[test]
    fn a_full_segment_says_so_and_stays_whole() {
        let mut writer = SegmentWriter::new(HEADER * 2, &Store::unlimited()).unwrap();
        let segment = writer.segment();
        writer.commit(&outcome(0, &[1, 2], b"", 0)).unwrap();
        let refused = writer.commit(&outcome(1, &[1, 2], b"", 0));
        assert!(matches!(refused, Err(AppendError::Full)));
        assert_eq!(segment.records().count(), 1);
    }

    #[test]
    fn a_sealed_segment_ends_with_its_last_whole_record() {
        let mut writer = SegmentWriter::new(100_000, &Store::unlimited()).unwrap();
        let segment = writer.segment();
        writer.commit(&outcome(0, &[1, 2], b"", 0)).unwrap();
        let whole = segment.bytes().len();
        // A wild write may leave such bytes.
        writer.log.append(&segment.bytes()[..HEADER]).unwrap();
        writer.log.append(&[1; 8]).unwrap();
        writer.log.commit().unwrap();
        assert_eq!(segment.records().count(), 2);
        assert!(!segment.seal() && segment.seal());
        assert_eq!((segment.records().count(), segment.bytes().len()), (1, whole));
    }

    #[test]
    fn a_recovered_segment_has_the_records_that_make_sense() {
        let (path, store) = (tempfile::NamedTempFile::new().unwrap(), Store::unlimited());
        let (mut terms, mut packed) = (Vec::new(), Vec::new());
        push_term(&mut terms, b"a");
        push_term(&mut terms, "\u{e9}".as_bytes());
        row::push(&mut packed, 1, 5);
        let row = packed;
        let good = outcome(0, &row, &terms, 2);
        let bad = [
            Outcome { terms: b"\x01\xFF\x01b", ..good },
            Outcome { new_terms: 1, ..good },
            Outcome { new_terms: 3, ..good },
            Outcome { new_terms: 0, terms: b"", row: &[5 << 4], ..good },
            Outcome { nonzeros: 2, ..good },
        ];
        for bad in bad {
            let mut writer = SegmentWriter::new_in(path.reopen().unwrap(), &store).unwrap();
            for outcome in [&good, &bad, &good] {
                writer.commit(outcome).unwrap();
            }
            drop(writer);
            let found = Segment::recover(&path.reopen().unwrap(), None, &store).unwrap();
            assert_eq!(found.records().count(), 1, "{bad:?}");
            let none = Segment::recover(&path.reopen().unwrap(), Some(1), &store).unwrap();
            assert_eq!(none.records().count(), 0, "its number is no column");
            path.as_file().set_len(0).unwrap();
        }
    }

    #[test]
    fn no_record_begins_at_an_odd_place() {
        let mut writer = SegmentWriter::new(1000, &Store::unlimited()).unwrap();
        let segment = writer.segment();
        writer.commit(&outcome(0, &[1, 2], b"", 0)).unwrap();
        let mut words = [0u64; 20];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for offset in 1..8 {
            bytes[offset..][..segment.bytes().len()].copy_from_slice(segment.bytes());
            assert!(Record::at(bytes, offset).is_none(), "{offset}");
        }
    }

    #[test]
    fn nonsense_ends_the_records() {
        for byte in 0..HEADER * 2 {
            let mut writer = SegmentWriter::new(1000, &Store::unlimited()).unwrap();
            let segment = writer.segment();
            let mut terms = Vec::new();
            push_term(&mut terms, b"term");
            writer.commit(&outcome(0, &[1, 2], &terms, 1)).unwrap();
            let mut bytes = segment.bytes().to_vec();
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 0xFF;
            }
            // A damaged record never causes a panic and is never intact.
            if let Some(record) = Record::at(&bytes, 0) {
                assert_eq!(record.is_intact(), byte >= bytes.len());
                assert!(record.row().len() <= 1000 && record.term_offsets().count() <= 1000);
            }
        }
    }
}
