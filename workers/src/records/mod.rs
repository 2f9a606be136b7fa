//! The documents of a file that contains many: lines, records of JSONL, CSV and Parquet files, members of archives.
//!
//! A split is a part of such a file that one worker reads in one go. A reader of [`Records`] gives its documents one after
//! the other. It opens nothing, and knows neither rows nor other splits.

#![cfg_attr(not(test), expect(dead_code, reason = "wired in a later commit"))]

pub(crate) mod archive;
pub(crate) mod source;
pub(crate) mod tar;
pub(crate) mod unpack;
pub(crate) mod zip;

use crate::analyzer::chunks::Chunk;
use crate::failure::Failure;

/// How to find the documents of a file of records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordSettings {
    /// The fields whose texts, joined by newlines, are the document. Numbers from 1 where `has_header` is false.
    pub text_fields: Vec<String>,
    /// The field of the identifier. Where it is `None`, it is `id` or `_id` if a record has it.
    pub id_field: Option<String>,
    /// The byte between two fields of a CSV file.
    pub delimiter: u8,
    /// Whether the first record of a CSV file contains the names of the fields.
    pub has_header: bool,
    /// Maximum size of a document in bytes.
    pub max_bytes: u64,
}

/// What is known of a document besides its text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct About {
    /// Its identifier, if it has one.
    pub(crate) id: Option<String>,
    /// Its path in an archive.
    pub(crate) member: Option<Vec<u8>>,
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
