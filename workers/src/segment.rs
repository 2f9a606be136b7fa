//! A segment: the append-only log of one worker, with one record for each document.
//!
//! Owns the layout of a record and its validation. A record holds its document's key (split, ordinal), its source, its
//! row, and the terms that the worker met for the first time, in the order of their local ids. Word n-grams are terms
//! that are listed by the ids of their words (`ngram`); then the terms that are spelled are the words. One release store
//! commits it; bytes beyond that mark do not exist for other processes. A later run recovers the records of a file by
//! their checksums. A segment belongs to one worker. The segment of a dead worker is read, never appended to. All
//! lengths are multiples of 8 bytes. Numbers are in the machine's byte order, since a segment never leaves the machine.

use crate::about::About;
use crate::failure::Failure;
use crate::key::{Key, Source};
use crate::mapped::{Log, LogWriter, Passage, Store};
use crate::ngram;
use bytemuck::{Pod, Zeroable};
use std::io;
use std::sync::Arc;

#[cfg(feature = "processes")]
mod shared;
#[cfg(all(test, feature = "processes"))]
mod tests;

/// The fixed part of a record. The packed row follows it, then the new n-grams, then the new terms, then what else is known
/// of the document (`About`).
#[derive(Clone, Copy, Pod, Zeroable, Debug)]
#[repr(C)]
struct Header {
    /// CRC-32 of all that follows this field, up to the record's end.
    checksum: u32,
    split: u32,
    ordinal: u32,
    /// 0, or the failure's kind, or [`END_OF_SPLIT`].
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
    /// Words of the list of new n-grams.
    ngram_words: u64,
    /// The number of new n-grams.
    new_ngrams: u32,
    /// Bytes of what else is known of the document.
    about_bytes: u32,
}

const HEADER: usize = size_of::<Header>();

/// Stands in the place of a failure's kind, in the record behind the last document of a split.
const END_OF_SPLIT: u32 = u32::MAX;

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
    /// The new terms that are spelled.
    pub(crate) terms: NewTerms<'a>,
    /// The new n-grams.
    pub(crate) ngrams: NewNgrams<'a>,
    /// What else is known of the document, as [`About::encode`] writes it.
    pub(crate) about: &'a [u8],
}

impl Outcome<'_> {
    /// A document without terms.
    pub(crate) fn nothing(key: Key) -> Self {
        Outcome {
            key,
            source: Source::default(),
            failure: None,
            tokens: 0,
            absence: 0,
            unknown: 0,
            row: &[],
            nonzeros: 0,
            terms: NewTerms::default(),
            ngrams: NewNgrams::default(),
            about: &[],
        }
    }
}

/// Terms that occur for the first time, or words of n-grams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewTerms<'a> {
    /// Their bytes, as [`push_term`] writes them.
    pub(crate) bytes: &'a [u8],
    /// How many there are.
    pub(crate) number: u32,
}

/// N-grams that occur for the first time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewNgrams<'a> {
    /// The ids of their words (`ngram`).
    pub(crate) list: &'a [u32],
    /// How many there are.
    pub(crate) number: u32,
}

/// What the numbers in a record's row are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowNumbers {
    /// Columns, of this many.
    Columns(u64),
    /// Local ids: a term of the record's list has the next one.
    Terms,
    /// Local ids: an n-gram of the record's list has the next one.
    Ngrams,
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
    /// Takes the pages of a segment in a file out of this process's memory until they are accessed again.
    pub fn give_back(&self) {
        self.0.give_back();
    }

    /// The bytes of the committed records. A record's offsets refer to this slice.
    pub fn bytes(&self) -> &[u8] {
        self.0.committed()
    }

    /// The committed records, in order, up to the first invalid one, as a wild write may leave it.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.records_from(0)
    }

    /// The same from the record on that begins at `at`. What lies in a file is read ahead, and taken out of this process's
    /// memory behind.
    pub(crate) fn records_from(&self, mut at: usize) -> impl Iterator<Item = Record<'_>> {
        let mut passage = Passage::over_records();
        std::iter::from_fn(move || {
            let record = self.record_in_order(at, &mut passage)?;
            at += record.header.size as usize;
            Some(record)
        })
    }

    /// The record at byte `offset`, as [`Record::at`] returns it, for a reader that passes over the segment.
    pub(crate) fn record_in_order(&self, offset: usize, passage: &mut Passage) -> Option<Record<'_>> {
        self.0.pass(offset, passage);
        Record::at(self.bytes(), offset)
    }
}

/// The records in a segment's bytes, in order, up to the first invalid one.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut at = 0;
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
        let ngrams = usize::try_from(header.ngram_words).ok()?.checked_mul(4)?;
        let needed = (HEADER + row).checked_add(ngrams)?;
        let needed = needed.checked_add(usize::try_from(header.term_bytes).ok()?)?;
        let needed = needed.checked_add(header.about_bytes as usize)?;
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
        Key { split: self.header.split, ordinal: self.header.ordinal }
    }

    /// Why it has no row, if so.
    pub fn failure(&self) -> Option<Failure> {
        Failure::decode(self.header.failure, self.header.failure_detail)
    }

    /// Whether it is no document, but says that its split has no document from its ordinal on.
    pub fn ends_split(&self) -> bool {
        self.header.failure == END_OF_SPLIT
    }

    /// Whether it ends a split behind a document that may have failed. Another attempt may find more documents there.
    pub fn may_go_on(&self) -> bool {
        self.ends_split() && self.header.failure_detail != 0
    }

    /// Number of members of the archive that are no documents, in the record that ends a split.
    pub fn left_out(&self) -> u64 {
        if self.ends_split() { self.header.unknown } else { 0 }
    }

    /// What else is known of the document.
    pub fn about(&self) -> About<&'a [u8], &'a [u8]> {
        let start = self.offset
            + HEADER
            + self.header.row_words as usize * 4
            + self.ngram_bytes()
            + self.term_bytes();
        let bytes: &'a [u8] = self.bytes;
        About::decode(&bytes[start..start + self.header.about_bytes as usize])
    }

    /// Bytes of its text.
    pub fn text_bytes(&self) -> u64 {
        match self.header.about_bytes {
            0 => self.header.bytes,
            _ => self.about().bytes.unwrap_or(self.header.bytes),
        }
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

    /// Bytes of the new terms, as `push_term` writes them.
    pub fn term_bytes(&self) -> usize {
        self.header.term_bytes as usize
    }

    /// Number of new terms.
    pub fn new_terms(&self) -> u32 {
        self.header.new_terms
    }

    /// Bytes of the list of new n-grams.
    pub fn ngram_bytes(&self) -> usize {
        self.header.ngram_words as usize * 4
    }

    /// Number of new n-grams.
    pub fn new_ngrams(&self) -> u32 {
        self.header.new_ngrams
    }

    /// The packed row (`row`).
    pub fn row(&self) -> &'a [u32] {
        self.words(HEADER, self.header.row_words as usize * 4)
    }

    /// The new n-grams, in the order of local ids: the ids of the words of each, for `ngram::word_ids`.
    pub(crate) fn ngrams(self) -> impl Iterator<Item = &'a [u32]> {
        ngram::ngrams(self.words(HEADER + self.header.row_words as usize * 4, self.ngram_bytes()))
    }

    /// `length` bytes of the record from `start` on.
    fn words(&self, start: usize, length: usize) -> &'a [u32] {
        let start = self.offset + start;
        // Records and headers are multiples of 8 bytes long, and a map begins with a page: the words are aligned.
        bytemuck::cast_slice(&self.bytes[start..start + length])
    }

    /// The first byte of each new term in the segment, for [`term_at`], in the order of their ids.
    pub fn term_offsets(self) -> impl Iterator<Item = usize> + 'a {
        let lists = self.header.row_words as usize * 4 + self.ngram_bytes();
        let (bytes, mut at) = (self.bytes, self.offset + HEADER + lists);
        (0..self.header.new_terms).map_while(move |_| {
            let offset = at;
            at += term_size(term_at(bytes, offset)?.len());
            Some(offset)
        })
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

    /// The segment that this writer appends to.
    pub fn segment(&self) -> Segment {
        Segment(self.log.log().clone())
    }

    /// Appends a record and commits it.
    ///
    /// # Errors
    /// If the record does not fit, or if the disk is full. Then the segment is unchanged.
    pub(crate) fn commit(&mut self, outcome: &Outcome) -> Result<(), AppendError> {
        let (failure, failure_detail) = outcome.failure.map_or((0, 0), Failure::encode);
        self.append(outcome, failure, failure_detail)
    }

    fn append(&mut self, outcome: &Outcome, failure: u32, failure_detail: u64) -> Result<(), AppendError> {
        let lists = size_of_val(outcome.row) + size_of_val(outcome.ngrams.list);
        let body = HEADER + lists + outcome.terms.bytes.len() + outcome.about.len();
        let size = body.next_multiple_of(8);
        if size > self.log.room() {
            return Err(AppendError::Full);
        }
        let mut header = Header {
            checksum: 0,
            split: outcome.key.split,
            ordinal: outcome.key.ordinal,
            failure,
            failure_detail,
            bytes: outcome.source.bytes,
            modified: outcome.source.modified,
            tokens: outcome.tokens,
            size: size as u64,
            term_bytes: outcome.terms.bytes.len() as u64,
            new_terms: outcome.terms.number,
            row_words: outcome.row.len() as u32,
            nonzeros: outcome.nonzeros,
            absence: outcome.absence,
            unknown: outcome.unknown,
            ngram_words: outcome.ngrams.list.len() as u64,
            new_ngrams: outcome.ngrams.number,
            about_bytes: outcome.about.len() as u32,
        };
        let row: &[u8] = bytemuck::cast_slice(outcome.row);
        let ngrams: &[u8] = bytemuck::cast_slice(outcome.ngrams.list);
        let padding = &[0; 8][..size - body];
        let body = [row, ngrams, outcome.terms.bytes, outcome.about, padding];
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&bytemuck::bytes_of(&header)[4..]);
        body.iter().for_each(|part| checksum.update(part));
        header.checksum = checksum.finalize();
        self.log.append(bytemuck::bytes_of(&header))?;
        for part in body {
            self.log.append(part)?;
        }
        self.log.commit()?;
        Ok(())
    }
}
