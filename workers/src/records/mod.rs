//! The documents of a file that contains many: lines, records of JSONL, CSV and Parquet files, members of archives.
//!
//! A split is a part of such a file that one worker reads in one go. A reader of `Records` gives its documents one after
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
#[doc(hidden)]
pub mod whole;
pub(crate) mod zip;

pub(crate) use crate::about::About;
use crate::analyzer::chunks::{Chunk, ChunkBoundary};
use crate::analyzer::decode::DecodeError;
use crate::documents::Source;
use crate::encoding::Transcoded;
use crate::failure::Failure;
use crate::read_limit::ReadLimit;
use crate::reader::{Decoding, ReadSettings};
use crate::split::{RecordFormat, RecordRange, STATES};
use archive::{MemberRecords, Members, UnpackedMembers};
use csv::{CsvRecords, Header, Scan, State};
use jsonl::JsonLines;
use line_reader::{LineReader, other_encoding};
use lines::Lines;
use nix::sys::stat::fstat;
use parquet::ParquetFiles;
use source::{FileBytes, Stepping};
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tar::Tar;
use unpack::Unpacked;
use zip::Zip;

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
    /// Whether hidden members of archives are documents.
    pub hidden: bool,
    /// Maximum size of a document in bytes.
    pub max_bytes: u64,
}

impl RecordSettings {
    /// The name of a field by its number in a [`Failure`]: 0 is the identifier, 1 the first text field.
    pub(crate) fn field_name(&self, number: u32) -> Option<&str> {
        match number.checked_sub(1) {
            None => self.id_field.as_deref(),
            Some(place) => self.text_fields.get(place as usize).map(String::as_str),
        }
    }
}

impl Default for RecordSettings {
    /// The field `text` of each record, without a limit.
    fn default() -> Self {
        RecordSettings {
            text_fields: vec!["text".to_owned()],
            id_field: None,
            delimiter: None,
            has_header: true,
            hidden: false,
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

    /// Number of members of an archive that were left out so far.
    fn left_out(&self) -> u64 {
        0
    }

    /// What is known of the current document, even if it has failed.
    fn about(&self) -> &About;
}

/// What readers of record files depend on, and what they keep between the splits of a file.
pub(crate) struct RecordReader {
    settings: RecordSettings,
    reading: ReadSettings,
    chunk_boundary: ChunkBoundary,
    /// The treatment of bytes that are not UTF-8.
    decode_error: DecodeError,
    limit: Arc<ReadLimit>,
    parquet: ParquetFiles,
    /// The number of the CSV file that was read last, and its header.
    header: Option<(u64, Arc<Header>)>,
}

/// Bytes of memory that a decompressor may take in any case, and at most: 16 and 256 MiB.
const UNPACKING: [u64; 2] = [16 << 20, 256 << 20];

/// Bytes of memory that a decompressor may take in a worker that may take `worker_memory`.
pub fn unpacking_memory(worker_memory: u64) -> u64 {
    (worker_memory / 2).clamp(UNPACKING[0], UNPACKING[1])
}

impl RecordReader {
    /// Creates a reader of files that `reading` accepts. Each read waits for `limit`.
    pub(crate) fn new(
        settings: RecordSettings,
        reading: ReadSettings,
        chunk_boundary: ChunkBoundary,
        decode_error: DecodeError,
        limit: Arc<ReadLimit>,
    ) -> Self {
        let (parquet, header) = (ParquetFiles::default(), None);
        RecordReader { settings, reading, chunk_boundary, decode_error, limit, parquet, header }
    }

    /// Opens file number `number` for the documents of `range`. `state` is that of a scan at the range's first byte.
    ///
    /// # Errors
    /// The reason why nothing can be read.
    pub(crate) fn open(
        &mut self,
        number: u64,
        file: File,
        range: RecordRange,
        state: u8,
    ) -> Result<OpenRecords, Failure> {
        let file = Arc::new(file);
        let RecordRange { format, start, source, .. } = range;
        // The reader of a file that is cut off stops where its bytes end.
        let whole = start..if self.cuts_off(range) { u64::MAX } else { range.end };
        let mut observed = Observed::default();
        let records: Box<dyn Records> = match format {
            RecordFormat::Lines | RecordFormat::Jsonl => {
                if start > 0 && other_encoding(file.clone()).is_some() {
                    // The range that begins with the file has the failure.
                    return Ok(OpenRecords::new(Box::new(Nothing), file, range, observed));
                }
                let (stream, of_stream) = self.stream(&file, range, LineReader::first_byte(start));
                observed = of_stream;
                let lines = LineReader::new(stream, whole);
                match format {
                    RecordFormat::Lines => Box::new(Lines::new(lines, self.settings.max_bytes)),
                    _ => Box::new(JsonLines::new(lines, &self.settings, self.decode_error)),
                }
            }
            RecordFormat::Csv | RecordFormat::Tsv => {
                let state = *State::ALL.get(usize::from(state)).ok_or(Failure::Changed)?;
                let settings = self.table_settings(format);
                let header = self.header(number, &file, range, &settings)?;
                let (stream, of_stream) = self.stream(&file, range, start);
                observed = of_stream;
                Box::new(CsvRecords::new(stream, whole, state, header, &settings, self.decode_error))
            }
            RecordFormat::Parquet => {
                Box::new(self.parquet.records(number, file.clone(), whole, &self.settings))
            }
            RecordFormat::Tar => {
                let (stream, place) = self.unpacked(&file, range, 0);
                let in_file = range.compression.map(|_| place.clone());
                observed.reached = Some(place);
                self.members(Tar::new(stream, in_file, self.settings.hidden))
            }
            RecordFormat::Zip if range.compression.is_some() => return Err(Failure::OtherFormat),
            RecordFormat::Zip => self.members(Zip::new(
                FileBytes::new(file.clone(), 0, source.bytes).limited(&self.limit),
                whole,
                self.reading.unpacking_memory,
                self.settings.hidden,
            )),
        };
        Ok(OpenRecords::new(records, file, range, observed))
    }

    /// The members of an archive as documents.
    fn members(&self, members: impl Members + 'static) -> Box<dyn Records> {
        let members = UnpackedMembers::new(members, self.reading.unpacking_memory);
        Box::new(MemberRecords::new(members, self.reading, self.chunk_boundary))
    }

    /// Whether the places of a file's documents are not those of its bytes. A range that does not reach its end is then
    /// read as if the file ended there.
    fn cuts_off(&self, range: RecordRange) -> bool {
        let is_text = !range.format.is_archive() && range.format != RecordFormat::Parquet;
        let is_converted = is_text && self.reading.decoding.is_some();
        range.compression.is_some() || range.format == RecordFormat::Tar || is_converted
    }

    /// The bytes of a file from `start` on, decompressed; and the place up to which they were read.
    fn unpacked(&self, file: &Arc<File>, range: RecordRange, start: u64) -> (Stream, Arc<AtomicU64>) {
        // Never beyond the size that the file had: it may grow faster than it is read.
        let end = if self.cuts_off(range) { range.end } else { u64::MAX }.min(range.source.bytes);
        let bytes = FileBytes::new(file.clone(), start, end).limited(&self.limit);
        let bytes = bytes.dropping_behind(self.reading.drops_behind);
        let reached = bytes.reached();
        match range.compression {
            None => (Box::new(bytes), reached),
            Some(compression) => {
                let stream =
                    Unpacked::new(Box::new(bytes), compression.into(), start, self.reading.unpacking_memory);
                let reached = stream.reached();
                (Box::new(Stepping::new(stream, &self.limit)), reached)
            }
        }
    }

    /// The text of a file from `start` on: decompressed, in UTF-8. A text in another encoding is read from its beginning.
    fn stream(&self, file: &Arc<File>, range: RecordRange, start: u64) -> (Stream, Observed) {
        let (stream, reached) = self.unpacked(file, range, start);
        let reached = Some(reached);
        match self.reading.decoding {
            None => (stream, Observed { reached, guessed: None }),
            Some(Decoding { encoding, decode_error }) => {
                let text = Transcoded::new(stream, encoding, decode_error);
                let guessed = Some(text.guessed());
                (Box::new(text), Observed { reached, guessed })
            }
        }
    }

    /// The settings of a CSV or a TSV file.
    fn table_settings(&self, format: RecordFormat) -> RecordSettings {
        let default = if format == RecordFormat::Tsv { b'\t' } else { b',' };
        let delimiter = Some(self.settings.delimiter.unwrap_or(default));
        RecordSettings { delimiter, ..self.settings.clone() }
    }

    /// The header of a CSV file.
    fn header(
        &mut self,
        number: u64,
        file: &Arc<File>,
        range: RecordRange,
        settings: &RecordSettings,
    ) -> Result<Arc<Header>, Failure> {
        if let Some((known, header)) = &self.header
            && *known == number
        {
            return Ok(header.clone());
        }
        let (stream, _) = self.stream(file, range, 0);
        let header = Arc::new(Header::read(stream, settings)?);
        self.header = Some((number, header.clone()));
        Ok(header)
    }

    /// Scans a range of a CSV file: returns the state in which the scan ends, for each state that it may begin in.
    ///
    /// # Errors
    /// The reason why it can't be read.
    pub(crate) fn scan(&self, file: File, range: RecordRange) -> Result<[u8; STATES], Failure> {
        let bytes = FileBytes::new(Arc::new(file), range.start, range.end).limited(&self.limit);
        let delimiter = self.table_settings(range.format).delimiter.unwrap_or(b',');
        Ok(Scan::read(Box::new(bytes), range.start, delimiter)?.to_numbers())
    }
}

/// The bytes of a file.
type Stream = Box<dyn Read + Send>;

/// What a stream shows while it is read.
#[derive(Default)]
struct Observed {
    /// The place in the file up to which bytes were read.
    reached: Option<Arc<AtomicU64>>,
    /// The number of the encoding that was guessed for the file, if it was and is not UTF-8.
    guessed: Option<Arc<OnceLock<u8>>>,
}

/// A range without documents.
struct Nothing;

impl Records for Nothing {
    fn next(&mut self, _text: &mut Vec<u8>) -> Option<Result<Chunk, Failure>> {
        None
    }

    fn about(&self) -> &About {
        const { &About { id: None, member: None, encoding: None, bytes: None } }
    }
}

/// A record file, opened for the documents of a split.
pub(crate) struct OpenRecords {
    /// Its documents.
    pub(crate) records: Box<dyn Records>,
    /// Whether its documents are texts in memory. The reader of an archive checks the beginnings of its members itself.
    pub(crate) are_texts: bool,
    file: Arc<File>,
    range: RecordRange,
    observed: Observed,
    /// The place up to which progress was shown.
    shown: u64,
}

impl OpenRecords {
    fn new(records: Box<dyn Records>, file: Arc<File>, range: RecordRange, observed: Observed) -> Self {
        let are_texts = !range.format.is_archive();
        OpenRecords { records, are_texts, file, range, observed, shown: range.start }
    }

    /// Sets what is known of the current document, even if it has failed.
    pub(crate) fn about(&self, about: &mut About) {
        about.clone_from(self.records.about());
        let of_file = || self.observed.guessed.as_ref()?.get().copied();
        about.encoding = about.encoding.or_else(of_file);
    }

    /// Bytes of the range that were read since the last call.
    pub(crate) fn advance(&mut self) -> u64 {
        let reached = self.observed.reached.as_ref().map_or(0, |reached| reached.load(Ordering::Relaxed));
        self.advance_to(reached)
    }

    /// The bytes of the range that were not shown as progress so far.
    pub(crate) fn advance_to_end(&mut self) -> u64 {
        self.advance_to(u64::MAX)
    }

    fn advance_to(&mut self, place: u64) -> u64 {
        let place = place.min(self.range.end).min(self.range.source.bytes).max(self.shown);
        place - std::mem::replace(&mut self.shown, place)
    }

    /// Whether the file is no longer in the state in which it was cut.
    pub(crate) fn has_changed(&self) -> bool {
        fstat(&self.file).map_or(true, |stat| Source::of(&stat) != self.range.source)
    }
}
