//! Segments that other processes read, write or leave behind: in a file, or of a writer that died.

use super::{
    AppendError, END_OF_SPLIT, Outcome, Record, RowNumbers, Segment, SegmentWriter, records, term_at,
    term_size,
};
use crate::key::Key;
use crate::mapped::{Log, Store};
use crate::{ngram, row};
use std::fs::File;
use std::io;
use std::sync::Arc;

impl Segment {
    /// Recovers the segment that a process of an earlier run left in a file. Keeps the records up to the first invalid
    /// one.
    ///
    /// # Errors
    /// The system's error.
    pub fn recover(file: &File, numbers: RowNumbers, store: &Store) -> io::Result<Self> {
        let log = Log::recover(file, store, |bytes| {
            let (mut end, mut terms, mut ngrams) = (0, 0, 0);
            for record in records(bytes) {
                terms += record.new_terms() as u64;
                ngrams += record.new_ngrams() as u64;
                let numbers = match numbers {
                    RowNumbers::Columns(columns) => columns,
                    RowNumbers::Terms => terms,
                    RowNumbers::Ngrams => ngrams,
                };
                if !record.is_intact() || !record.makes_sense(numbers, terms) {
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

    /// Marks the writer as finished.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Record<'_> {
    /// Whether a worker can have written these terms, these n-grams and this row, given that the row's numbers must be
    /// below `numbers` and the ids of words below `words`. The checksum finds accidental damage, not malicious changes.
    fn makes_sense(&self, numbers: u64, words: u64) -> bool {
        let (mut terms, mut bytes, mut are_known) = (0, 0, true);
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
        let ngrams = self.ngrams().inspect(|ngram| {
            are_known &= ngram::word_ids(ngram).all(|word| (word as u64) < words);
        });
        ngrams.count() == self.header.new_ngrams as usize
            && are_known
            && terms == self.header.new_terms
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

impl SegmentWriter {
    /// Creates an empty segment in an empty file and returns its writer. [`Segment::recover`] opens it again.
    ///
    /// # Errors
    /// As for [`SegmentWriter::new`].
    pub fn new_in(file: File, store: &Store) -> io::Result<Self> {
        Log::growing_in(file, store).map(|log| SegmentWriter { log })
    }

    /// The file that the segment is in; `None` if it is in memory.
    pub(crate) fn file(&self) -> Option<&File> {
        self.log.file()
    }

    /// Makes all records visible to readers. Those in a scratch file are written many at a time, so a worker that dies loses
    /// the last few.
    ///
    /// # Errors
    /// The system's error, if the disk is full. Then the records that readers do not see are lost.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }

    /// Appends and commits the record that says that a split has no documents but those before `end`, and that `left_out`
    /// members of its archive are no documents. `may_go_on` if another attempt may find more documents.
    ///
    /// # Errors
    /// As for [`SegmentWriter::commit`].
    pub(crate) fn end_split(&mut self, end: Key, left_out: u64, may_go_on: bool) -> Result<(), AppendError> {
        let outcome = Outcome { unknown: left_out, ..Outcome::nothing(end) };
        self.append(&outcome, END_OF_SPLIT, may_go_on.into())
    }
}
