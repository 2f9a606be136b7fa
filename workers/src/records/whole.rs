//! All documents of one record file, as workers read them: for tests and fuzz targets outside of this crate.
//!
//! A file is read range after range, each with the readers that a worker has. Nothing in a run calls this.

use super::{About, RecordReader, RecordSettings};
use crate::analyzer::chunks::ChunkBoundary;
use crate::analyzer::decode::DecodeError;
use crate::documents::Source;
use crate::failure::Failure;
use crate::read_limit::ReadLimit;
use crate::reader::ReadSettings;
use crate::split::{Compression, RecordFormat, RecordRange, UNKNOWN_STATE};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// A document, or why it failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// What is known of it.
    pub about: About,
    /// Its text, up to the failure if there is one.
    pub text: Vec<u8>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// How to read a file.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The file's kind.
    pub format: RecordFormat,
    /// How it is compressed.
    pub compression: Option<Compression>,
    /// Where its documents are.
    pub records: RecordSettings,
    /// Which texts are accepted, and how members of archives are read.
    pub texts: ReadSettings,
    /// The treatment of bytes that are not UTF-8.
    pub decode_error: DecodeError,
    /// The number of documents, and of bytes of their texts, after which reading ends.
    pub limits: [usize; 2],
}

/// 1,048,576 documents, and 64 MiB of text.
const LIMITS: [usize; 2] = [1 << 20, 64 << 20];

impl Reading {
    /// How a run reads files of this kind by default.
    pub fn of(format: RecordFormat) -> Self {
        Reading {
            format,
            compression: None,
            records: RecordSettings::default(),
            texts: ReadSettings { unpacking_memory: 16 << 20, ..ReadSettings::default() },
            decode_error: DecodeError::Strict,
            limits: LIMITS,
        }
    }

    /// The documents of a file, which is cut at `cuts`: ascending offsets of 3 or more. The failure of a whole range is one
    /// document without a text. Returns `None` behind the first of the limits.
    ///
    /// # Errors
    /// If the state of the file can't be read.
    pub fn documents(&self, file: &File, cuts: &[u64]) -> io::Result<Option<Vec<Found>>> {
        let boundary = ChunkBoundary::BehindSpaces;
        let limit = Arc::new(ReadLimit::default());
        let mut reader =
            RecordReader::new(self.records.clone(), self.texts, boundary, self.decode_error, limit);
        let source = Source::of(&nix::sys::stat::fstat(file)?);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([u64::MAX]);
        let (mut found, mut bytes, mut state) = (Vec::new(), 0, 0);
        for (start, end) in starts.zip(ends) {
            let range =
                RecordRange { format: self.format, compression: self.compression, start, end, source };
            let failed =
                |failure| Found { about: About::default(), text: Vec::new(), failure: Some(failure) };
            let mut text = Vec::new();
            match reader.open(0, file.try_clone()?, range, state) {
                Err(failure) => found.push(failed(failure)),
                Ok(mut open) => {
                    while let Some(first) = open.records.next(&mut text) {
                        let mut document = Found { about: About::default(), text: Vec::new(), failure: None };
                        let mut read = first;
                        loop {
                            match read {
                                Ok(chunk) => {
                                    document.text.extend_from_slice(&text);
                                    bytes += text.len();
                                    if chunk.is_last || bytes > self.limits[1] {
                                        break;
                                    }
                                    read = open.records.more(&mut text);
                                }
                                Err(failure) => {
                                    document.failure = Some(failure);
                                    break;
                                }
                            }
                        }
                        document.about.clone_from(open.records.about());
                        found.push(document);
                        if found.len() > self.limits[0] || bytes > self.limits[1] {
                            return Ok(None);
                        }
                    }
                }
            }
            if self.format.is_table() && end != u64::MAX {
                let ends = reader.scan(file.try_clone()?, range);
                state =
                    ends.ok().and_then(|ends| ends.get(usize::from(state)).copied()).unwrap_or(UNKNOWN_STATE);
            }
        }
        Ok(Some(found))
    }
}
