//! The documents of a file that contains many: lines, records of JSONL, CSV and Parquet files, members of archives.
//!
//! A split is a part of such a file that one worker reads in one go. A reader of [`Records`] gives its documents one after
//! the other. It opens nothing, and knows neither rows nor other splits.

pub(crate) mod archive;
pub(crate) mod csv;
pub(crate) mod jsonl;
pub(crate) mod line_reader;
pub(crate) mod lines;
pub(crate) mod parquet;
pub(crate) mod source;
pub(crate) mod tar;
pub(crate) mod unpack;
pub(crate) mod zip;

pub(crate) use crate::about::About;
use crate::analyzer::chunks::Chunk;
use crate::documents::Source;
use crate::failure::Failure;
use crate::heartbeat::Heartbeat;
use crate::read_limit::ReadLimit;
use crate::split::{RecordRange, STATES, UNKNOWN_STATE};
use nix::sys::stat::fstat;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How to find the documents of a file of records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordSettings {
    /// The fields whose texts, joined by newlines, are the document. Numbers from 1 where `has_header` is false.
    pub text_fields: Vec<String>,
    /// The field of the identifier. Where it is `None`, it is `id` or `_id` if a record has it.
    pub id_field: Option<String>,
    /// The byte between two fields of a CSV file. By default a comma, and a tab in TSV files.
    pub delimiter: Option<u8>,
    /// Whether the first record of a CSV file contains the names of the fields.
    pub has_header: bool,
    /// Maximum size of a document in bytes.
    pub max_bytes: u64,
}

impl Default for RecordSettings {
    /// The field `text` of each record, without a limit.
    fn default() -> Self {
        RecordSettings {
            text_fields: vec!["text".to_owned()],
            id_field: None,
            delimiter: None,
            has_header: true,
            max_bytes: u64::MAX,
        }
    }
}

/// The documents of a split, in order.
pub(crate) trait Records {
    /// Replaces `text` with the next document, or with its first chunk. `None` behind the last one.
    ///
    /// A failed document is one document. If nothing behind it can be read, it is the last.
    fn next(&mut self, text: &mut Vec<u8>) -> Option<Result<Chunk, Failure>>;

    /// Replaces `text` with the next chunk of the current document, whose last chunk has not been read.
    ///
    /// # Errors
    /// The reason why the document ends here. The next call of `next` goes on behind it, if it can.
    fn more(&mut self, text: &mut Vec<u8>) -> Result<Chunk, Failure> {
        text.clear();
        Err(Failure::Changed)
    }

    /// Passes over the next document, which another worker has read. Returns false if there is none. `text` is a buffer.
    fn skip(&mut self, text: &mut Vec<u8>) -> bool {
        self.next(text).is_some()
    }

    /// What is known of the current document, even if it has failed.
    fn about(&self) -> &About;
}

/// A record file, opened for the documents of a split.
pub(crate) struct OpenRecords {
    /// Its documents.
    pub(crate) records: Box<dyn Records>,
    /// Whether its documents are texts in memory. The reader of an archive checks the beginnings of its members itself.
    pub(crate) are_texts: bool,
    file: Arc<File>,
    /// The place in the file up to which bytes were read, now and when progress was last asked for.
    reached: Arc<AtomicU64>,
    counted: u64,
}

impl OpenRecords {
    /// Opens `file` for the documents of `range`. `state` is that of a scan at the range's first byte. Each read waits for
    /// `limit`.
    ///
    /// # Errors
    /// The reason why nothing can be read.
    pub(crate) fn new(
        file: Arc<File>,
        range: RecordRange,
        state: u8,
        settings: &RecordSettings,
        limit: &Arc<ReadLimit>,
    ) -> Result<Self, Failure> {
        let _ = (settings, limit);
        if range.format.is_table() && state == UNKNOWN_STATE {
            return Err(Failure::Changed);
        }
        let _ = file;
        Err(Failure::OtherFormat)
    }

    /// Bytes of the file that were read since the last call.
    pub(crate) fn advance(&mut self) -> u64 {
        let reached = self.reached.load(Ordering::Relaxed);
        let bytes = reached.saturating_sub(self.counted);
        self.counted = reached;
        bytes
    }

    /// Whether the file is no longer in the state `source`.
    pub(crate) fn has_changed(&self, source: Source) -> bool {
        fstat(&self.file).map_or(true, |stat| Source::of(&stat) != source)
    }
}

/// Scans a range of a CSV file: returns the state in which the scan ends, for each state that it may begin in.
///
/// # Errors
/// The reason why it can't be read.
pub(crate) fn scan(
    file: Arc<File>,
    range: RecordRange,
    settings: &RecordSettings,
    heartbeat: &Heartbeat,
) -> Result<[u8; STATES], Failure> {
    let _ = (file, range, settings, heartbeat);
    Err(Failure::OtherFormat)
}
