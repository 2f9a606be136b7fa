//! Reads documents: a small one at once, a larger one in chunks, so that it need not fit in memory. `Pieces` cuts the
//! bytes of any stream; `Reader` opens files of the file system.
//!
//! Decides which files fail unread, and detects a file that changes during the read. The analyzer determines the chunk
//! boundaries.

use crate::analyzer::chunks::{Chunk, ChunkBoundary, LONGEST};
use crate::analyzer::decode::{DecodeError, byte_order_mark, with_nul};
use crate::documents::{Documents, Place, Source, is_regular};
use crate::encoding::{Decoder, Encoding};
use crate::failure::Failure;
use crate::opener::Opener;
use crate::read_limit::ReadLimit;
use crate::records::source::FileBytes;
use crate::records::unpack::Unpacked;
use nix::errno::Errno;
use nix::sys::stat::fstat;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Settings that determine which files are read, and which fail.
#[derive(Clone, Copy, Debug)]
pub struct ReadSettings {
    /// Maximum size of a document in bytes. A larger file fails.
    pub max_bytes: u64,
    /// Whether to accept a file with a NUL in its first 8 KiB as text.
    pub embed_binary: bool,
    /// Bytes of a chunk, approximately; a larger file is read in several chunks. [`WINDOW`], except in tests.
    pub window: usize,
    /// Bytes of memory that a decompressor may take.
    pub unpacking_memory: u64,
    /// Whether the bytes of record files leave the page cache once they were read.
    pub drops_behind: bool,
    /// The encoding of documents; `None` if it is UTF-8, which the analyzer checks.
    pub decoding: Option<Decoding>,
}

impl Default for ReadSettings {
    /// UTF-8 of any size that is not binary.
    fn default() -> Self {
        ReadSettings {
            max_bytes: u64::MAX,
            embed_binary: false,
            window: WINDOW,
            unpacking_memory: 256 << 20,
            drops_behind: false,
            decoding: None,
        }
    }
}

/// The conversion of documents to UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Decoding {
    /// The encoding of documents.
    pub encoding: Encoding,
    /// The treatment of bytes that are not valid in it.
    pub decode_error: DecodeError,
}

/// Bytes of a document that are in memory at a time, unless it has no chunk boundary there: 128 KiB. A chunk stays in the
/// processor's second-level cache while its terms are found.
pub const WINDOW: usize = 128 << 10;

/// Bytes of a document that are searched for a NUL: 8 KiB, as in git.
const BINARY_PREFIX: usize = 8 << 10;

/// A buffer of more bytes than this is freed after its document: 8 MiB.
const KEPT_BUFFER: usize = 8 << 20;

/// Bytes reserved behind a text for its padding, so that the text need not move.
const PADDING_ROOM: usize = 256;

/// Bytes of a single read of a file whose size says nothing: 64 KiB. Some files in `/proc/sys` return everything in the
/// first read, even if it is too small for the contents.
const AT_ONCE: usize = 64 << 10;

/// Reads documents. If storage is slow, asks the system to fetch the next documents while the worker processes one.
/// Files that are in memory are not requested, since a request costs as much as reading them.
#[derive(Debug)]
pub(crate) struct Reader {
    settings: ReadSettings,
    chunk_boundary: ChunkBoundary,
    read_limit: Arc<ReadLimit>,
    opener: Opener,
    /// Opens the documents that are fetched ahead, which may be in other folders.
    ahead: Opener,
    /// Number of documents for which the next ones are still fetched ahead.
    eager: u32,
}

/// Number of documents that are fetched ahead.
const AHEAD: usize = 8;

/// Number of documents for which storage counts as slow after one slow read.
const EAGER: u32 = 64;

impl Reader {
    /// Creates a reader of the files that `settings` accept. It cuts them at `chunk_boundary`, and each read waits for a
    /// permit of `read_limit`.
    pub(crate) fn new(settings: ReadSettings, chunk_boundary: ChunkBoundary, read_limit: ReadLimit) -> Self {
        Reader {
            settings,
            chunk_boundary,
            read_limit: Arc::new(read_limit),
            opener: Opener::default(),
            ahead: Opener::default(),
            eager: 0,
        }
    }

    /// The file of the read limit's permits; `None` if reads are not limited.
    pub(crate) fn gate_file(&self) -> Option<&File> {
        self.read_limit.file()
    }

    /// Opens a file of records; returns its state, too. Opens only regular files.
    ///
    /// # Errors
    /// The system's error, or [`Failure::NotAFile`].
    pub(crate) fn open(&mut self, documents: &Documents, file: usize) -> Result<(File, Source), Failure> {
        let opened = self.opener.open(documents, file);
        let file = opened.map_err(|errno| not_opened(documents, file, errno))?;
        let stat = fstat(&file)?;
        if !is_regular(&stat) {
            return Err(Failure::NotAFile);
        }
        Ok((file, Source::of(&stat)))
    }

    /// The limit that each read waits for.
    pub(crate) fn read_limit(&self) -> &Arc<ReadLimit> {
        &self.read_limit
    }

    /// Checks that a text that was not read from a file of its own may be embedded.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn check_text(&self, text: &[u8]) -> Result<(), Failure> {
        check_beginning(text, ReadSettings { decoding: None, ..self.settings })
    }

    /// Opens document `row` and replaces `text` with its first chunk. Reads only regular files.
    ///
    /// # Errors
    /// The failure, and the known state of the file, if the document cannot be read or is not text.
    pub(crate) fn begin(
        &mut self,
        documents: &Documents,
        row: usize,
        text: &mut Vec<u8>,
    ) -> Result<Reading, (Source, Failure)> {
        if text.capacity() > KEPT_BUFFER {
            *text = Vec::new();
        }
        let permit = self.read_limit.enter().map_err(|errno| (Source::default(), errno.into()))?;
        let began = Instant::now();
        let reading = open(&mut self.opener, documents, row, self.settings, self.chunk_boundary, text);
        drop(permit);
        if self.read_limit.is_bounded() {
            return reading;
        }
        // A read from memory takes a few microseconds, plus a quarter of a microsecond for each KiB.
        let is_slow = began.elapsed() > Duration::from_micros(100 + text.len() as u64 / 1024);
        match (is_slow, self.eager) {
            (true, 0) => (row + 1..=row + AHEAD).for_each(|row| self.ahead.fetch(documents, row)),
            (_, 1..) => self.ahead.fetch(documents, row + AHEAD),
            (false, 0) => {}
        }
        self.eager = if is_slow { EAGER } else { self.eager.saturating_sub(1) };
        reading
    }

    /// Replaces `text` with the next chunk of a document, which must have one. The chunk is as long as the window, or
    /// longer if it has no chunk boundary there.
    ///
    /// # Errors
    /// The system's error, [`Failure::Changed`] if the file has changed since it was opened, or [`Failure::Unbroken`].
    pub(crate) fn next(&self, reading: &mut Reading, text: &mut Vec<u8>) -> Result<(), Failure> {
        let _permit = self.read_limit.enter()?;
        reading.next(text)
    }
}

/// Opens document `row` and reads its first chunk.
fn open(
    opener: &mut Opener,
    documents: &Documents,
    row: usize,
    settings: ReadSettings,
    chunk_boundary: ChunkBoundary,
    text: &mut Vec<u8>,
) -> Result<Reading, (Source, Failure)> {
    let unknown = |errno: Errno| (Source::default(), errno.into());
    let opened = opener.open(documents, row);
    let file = opened.map_err(|errno| (Source::default(), not_opened(documents, row, errno)))?;
    let stat = fstat(&file).map_err(unknown)?;
    if !is_regular(&stat) {
        return Err((Source::default(), Failure::NotAFile));
    }
    let source = Source::of(&stat);
    let compression = documents.compression(row);
    if source.bytes > settings.max_bytes && compression.is_none() {
        return Err((source, Failure::TooLarge(source.bytes)));
    }
    let size = if stat.st_blocks == 0 { Size::Claimed } else { Size::True };
    let file = match compression {
        None => {
            let max_bytes = settings.max_bytes;
            let place = matches!(documents.place(row), Place::Open(..)).then_some(0);
            let file = FromStart { file, place };
            Bytes::Plain(PlainFile { file, stated: source, source, size, taken: 0, max_bytes })
        }
        Some(compression) => {
            let bytes = FileBytes::new(Arc::new(file), 0, u64::MAX);
            let stream = Unpacked::new(Box::new(bytes), compression.into(), 0, settings.unpacking_memory);
            Bytes::Packed(Box::new(stream))
        }
    };
    let pieces = Pieces::new(settings, chunk_boundary);
    let mut reading = Reading { source, chunk: Chunk::WHOLE, file, pieces };
    match reading.next(text) {
        Ok(()) => Ok(reading),
        Err(failure) => Err((reading.source, failure)),
    }
}

/// The failure of a file that could not be opened. Only a file that was found before can have vanished.
fn not_opened(documents: &Documents, file: usize, errno: Errno) -> Failure {
    match (documents.place(file), errno) {
        (Place::List, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Failure::System(errno as i32),
        (_, errno) => errno.into(),
    }
}

/// The reliability of a file's stated size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Size {
    /// The file has as many bytes as stated.
    True,
    /// As `True`, unless the read shows otherwise: the file takes no blocks of a disk.
    Claimed,
    /// The stated size is unrelated to the bytes, as in `/proc` (0) and `/sys` (4096). The file ends where a read
    /// returns 0.
    MadeUp,
}

/// A document of the file system that is being read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The state of the file when it was opened. If its size is made up, the number of bytes read so far replaces it.
    pub(crate) source: Source,
    /// The current chunk.
    pub(crate) chunk: Chunk,
    file: Bytes,
    pieces: Pieces,
}

/// Where the bytes of a document come from.
#[derive(Debug)]
enum Bytes {
    Plain(PlainFile),
    Packed(Box<Unpacked>),
}

impl Reading {
    /// Whether the file's stated size is its length. A file without one may never end.
    pub(crate) fn has_size(&self) -> bool {
        match &self.file {
            Bytes::Plain(file) => file.has_size(),
            Bytes::Packed(_) => true,
        }
    }

    /// Bytes of the document read so far, if its file is compressed.
    pub(crate) fn text_bytes(&self) -> Option<u64> {
        match &self.file {
            Bytes::Plain(_) => None,
            Bytes::Packed(_) => Some(self.pieces.taken()),
        }
    }

    /// The number of the encoding that was guessed for the document, if it was and is not UTF-8. Known from the first
    /// chunk on.
    pub(crate) fn guessed(&self) -> Option<u8> {
        self.pieces.guessed()
    }

    /// As [`Reader::next`], without the read limit.
    fn next(&mut self, text: &mut Vec<u8>) -> Result<(), Failure> {
        self.chunk = match &mut self.file {
            Bytes::Plain(file) => {
                let chunk = self.pieces.cut(file, text);
                self.source = file.source;
                chunk?
            }
            Bytes::Packed(stream) => self.pieces.next(&mut **stream, text)?,
        };
        Ok(())
    }
}

/// Cuts the bytes of one document into chunks. The bytes come from a file or from any other stream.
#[derive(Debug)]
pub(crate) struct Pieces {
    settings: ReadSettings,
    chunk_boundary: ChunkBoundary,
    /// Bytes read from a stream.
    taken: u64,
    /// Bytes of the document before the next chunk, in UTF-8.
    offset: u64,
    has_begun: bool,
    /// Whether the end of the document was read.
    has_ended: bool,
    /// Text read behind the current chunk. The next chunk begins with it.
    rest: Vec<u8>,
    /// The decoder of a document that is not UTF-8, and a buffer for its bytes.
    decoder: Option<(Decoder, Vec<u8>)>,
}

impl Pieces {
    /// Creates the state for a document of which nothing was read. It is cut at `chunk_boundary`.
    pub(crate) fn new(settings: ReadSettings, chunk_boundary: ChunkBoundary) -> Self {
        let window = if chunk_boundary == ChunkBoundary::Nowhere { LONGEST } else { settings.window };
        Pieces {
            settings: ReadSettings { window, ..settings },
            chunk_boundary,
            taken: 0,
            offset: 0,
            has_begun: false,
            has_ended: false,
            rest: Vec::new(),
            decoder: settings.decoding.map(|Decoding { encoding, decode_error }| {
                (Decoder::new(encoding, decode_error), Vec::new())
            }),
        }
    }

    /// The number of the encoding that was guessed for the document, if it was and is not UTF-8. Known from the first
    /// chunk on.
    pub(crate) fn guessed(&self) -> Option<u8> {
        self.decoder.as_ref().and_then(|(decoder, _)| decoder.guessed())
    }

    /// Bytes read so far of the stream that [`Pieces::next`] reads.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Replaces `text` with the next chunk of a document whose length is not known. All of its bytes come from the
    /// stream `from`. An error of `from` may contain a [`Failure`], which becomes that of the document.
    ///
    /// # Errors
    /// The stream's error, [`Failure::LargerThan`], [`Failure::Unbroken`], or the reason why the document is not text.
    pub(crate) fn next(&mut self, from: &mut dyn Read, text: &mut Vec<u8>) -> Result<Chunk, Failure> {
        let mut stream = Stream { from, taken: self.taken, max_bytes: self.settings.max_bytes };
        let chunk = self.cut(&mut stream, text);
        self.taken = stream.taken;
        chunk
    }

    /// Replaces `text` with the next chunk.
    fn cut(&mut self, from: &mut impl Fill, text: &mut Vec<u8>) -> Result<Chunk, Failure> {
        let held = self.rest.len();
        let mut room = self.settings.window.max(2 * held).min(LONGEST);
        // Bytes of `text` beyond that are overwritten. Clearing them would cost as much as reading.
        if text.len() < held {
            lengthen(text, held)?;
        }
        text[..held].copy_from_slice(&self.rest);
        let mut filled = held;
        loop {
            filled = match self.decoder {
                None => self.fill(from, text, filled, room)?,
                Some(_) => self.fill_decoded(from, text, filled, room)?,
            };
            let cut = if self.has_ended { Some(filled) } else { self.chunk_boundary.last(&text[..filled]) };
            if let Some(cut) = cut {
                self.rest.clear();
                self.rest.extend_from_slice(&text[cut..filled]);
                text.truncate(cut);
                let chunk = Chunk { offset: self.offset, is_last: self.has_ended };
                self.offset += cut as u64;
                return Ok(chunk);
            }
            if room == LONGEST {
                return Err(Failure::Unbroken);
            }
            room = room.saturating_mul(2).min(LONGEST);
        }
    }

    /// Reads until `text`, of which `filled` bytes count, holds `room` bytes or the document ends. Returns how many
    /// bytes it holds.
    fn fill(
        &mut self,
        from: &mut impl Fill,
        text: &mut Vec<u8>,
        filled: usize,
        room: usize,
    ) -> Result<usize, Failure> {
        let (filled, has_ended) = from.fill(text, filled, room)?;
        if !std::mem::replace(&mut self.has_begun, true) {
            check_beginning(&text[..filled], self.settings)?;
        }
        self.has_ended = has_ended;
        Ok(filled)
    }

    /// As [`Pieces::fill`], through a decoder. The text may become longer than `room`.
    fn fill_decoded(
        &mut self,
        from: &mut impl Fill,
        text: &mut Vec<u8>,
        filled: usize,
        room: usize,
    ) -> Result<usize, Failure> {
        text.truncate(filled);
        while text.len() < room && !self.has_ended {
            let Some((decoder, bytes)) = &mut self.decoder else { break };
            let (read, has_ended) = from.fill(bytes, 0, self.settings.window.min(WINDOW))?;
            if !std::mem::replace(&mut self.has_begun, true) {
                check_beginning(&bytes[..read], self.settings)?;
            }
            decoder.decode(&bytes[..read], has_ended, text)?;
            self.has_ended = has_ended;
        }
        Ok(text.len())
    }
}

/// Checks that the first bytes of a document can be text in its encoding.
fn check_beginning(beginning: &[u8], settings: ReadSettings) -> Result<(), Failure> {
    let encoding = settings.decoding.map_or(Encoding::UTF_8, |decoding| decoding.encoding);
    if let Some(failure) = encoding.wrong_mark(beginning) {
        return Err(failure);
    }
    if encoding.has_nuls() || byte_order_mark(beginning).is_some() {
        return Ok(());
    }
    let prefix = &beginning[..beginning.len().min(BINARY_PREFIX)];
    match memchr::memchr(0, prefix) {
        Some(_) if !settings.embed_binary => Err(with_nul(prefix)),
        _ => Ok(()),
    }
}

/// The source of a document's bytes.
trait Fill {
    /// Reads until `into`, of which `filled` bytes count, holds `room` bytes or the document ends. Returns how many bytes
    /// it holds, and whether the document ends there. Bytes of `into` beyond that are of no use.
    fn fill(&mut self, into: &mut Vec<u8>, filled: usize, room: usize) -> Result<(usize, bool), Failure>;
}

/// A stream that ends where a read returns 0.
struct Stream<'a> {
    from: &'a mut dyn Read,
    /// Bytes read.
    taken: u64,
    max_bytes: u64,
}

impl Fill for Stream<'_> {
    fn fill(&mut self, into: &mut Vec<u8>, mut filled: usize, room: usize) -> Result<(usize, bool), Failure> {
        while filled < room {
            if filled == into.len() {
                lengthen(into, room.min(filled + filled.max(AT_ONCE)))?;
            }
            let end = room.min(into.len());
            let bytes = read(self.from, &mut into[filled..end], &mut self.taken)?;
            filled += bytes;
            if self.taken > self.max_bytes {
                return Err(Failure::LargerThan(self.max_bytes));
            }
            if bytes == 0 {
                return Ok((filled, true));
            }
        }
        Ok((filled, false))
    }
}

/// The bytes of a file from its beginning.
#[derive(Debug)]
struct FromStart {
    file: File,
    /// The place of the next byte, if others share the file and its position: then that one is not moved.
    place: Option<u64>,
}

impl Read for FromStart {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(place) = &mut self.place else { return self.file.read(into) };
        let bytes = self.file.read_at(into, *place)?;
        *place += bytes as u64;
        Ok(bytes)
    }
}

/// A file of the file system. Usually the system states how many bytes it has.
#[derive(Debug)]
struct PlainFile {
    file: FromStart,
    /// The state of the file as the system states it.
    stated: Source,
    /// As `stated`. If the size is made up, the number of bytes read so far replaces it.
    source: Source,
    size: Size,
    /// Bytes read.
    taken: u64,
    max_bytes: u64,
}

impl PlainFile {
    fn has_size(&self) -> bool {
        self.size != Size::MadeUp
    }
}

impl Fill for PlainFile {
    fn fill(&mut self, into: &mut Vec<u8>, held: usize, room: usize) -> Result<(usize, bool), Failure> {
        let begins = self.taken == 0;
        let (mut filled, mut has_ended) = (held, false);
        if self.has_size() {
            let left = self.stated.bytes - self.taken;
            let end = held + left.min((room - held) as u64) as usize;
            has_ended = (end - held) as u64 == left;
            // One byte more than stated, to detect a file that is longer.
            let more = match (has_ended, self.stated.bytes) {
                (false, _) => 0,
                (true, 0) => AT_ONCE,
                (true, _) => 1,
            };
            lengthen(into, end + more)?;
            while filled < end + more {
                match read(&mut self.file, &mut into[filled..end + more], &mut self.taken)? {
                    0 => break,
                    // A short read of a regular file is its end, or the next read returns 0.
                    bytes => filled += bytes,
                }
                if filled == end {
                    break;
                }
            }
            if filled != end {
                has_ended = false;
                if self.size == Size::True {
                    return Err(Failure::Changed);
                }
                self.size = Size::MadeUp;
            }
        }
        if !self.has_size() {
            let mut stream = Stream { from: &mut self.file, taken: self.taken, max_bytes: self.max_bytes };
            let end = stream.fill(into, filled, room);
            self.taken = stream.taken;
            (filled, has_ended) = end?;
        }
        let is_whole = begins && has_ended && self.has_size();
        if !is_whole && Source::of(&fstat(&self.file.file)?) != self.stated {
            return Err(Failure::Changed);
        }
        if !self.has_size() {
            self.source.bytes = self.taken;
        }
        Ok((filled, has_ended))
    }
}

/// Reads once, and adds the bytes to `taken`.
fn read(from: &mut dyn Read, into: &mut [u8], taken: &mut u64) -> Result<usize, Failure> {
    loop {
        match from.read(into) {
            Ok(bytes) => {
                *taken += bytes as u64;
                return Ok(bytes);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes `text` `length` bytes long, with room for its padding.
fn lengthen(text: &mut Vec<u8>, length: usize) -> Result<(), Failure> {
    if text.try_reserve((length + PADDING_ROOM).saturating_sub(text.len())).is_err() {
        return Err(Failure::OutOfMemory);
    }
    text.resize(length, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{self, Seek as _, Write as _};
    use std::os::unix::ffi::OsStrExt as _;
    use tempfile::NamedTempFile;

    const SETTINGS: ReadSettings = ReadSettings {
        max_bytes: u64::MAX,
        embed_binary: false,
        window: 16,
        unpacking_memory: 1 << 20,
        drops_behind: false,
        decoding: None,
    };

    fn file(text: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(text).expect("room for it");
        file
    }

    fn begin(
        file: &NamedTempFile,
        settings: ReadSettings,
        text: &mut Vec<u8>,
    ) -> Result<Reading, (Source, Failure)> {
        let mut documents = Documents::new();
        documents.add_root(None, Vec::new());
        documents.add(file.path().as_os_str().as_bytes());
        Reader::new(settings, ChunkBoundary::BehindSpaces, ReadLimit::default()).begin(&documents, 0, text)
    }

    /// The chunks of a file, with their offsets.
    fn chunks(content: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut text = b"what was there before".to_vec();
        let mut reading = begin(&file(content), SETTINGS, &mut text).expect("it can be read");
        let mut chunks = vec![(reading.chunk.offset, text.clone())];
        while !reading.chunk.is_last {
            reading.next(&mut text).expect("more of it");
            chunks.push((reading.chunk.offset, text.clone()));
        }
        chunks
    }

    #[test]
    fn pieces_are_as_long_as_the_window_or_end_where_they_can() {
        let expect = |text: &[u8], lengths: &[usize]| {
            let chunks = chunks(text);
            assert_eq!(chunks.iter().map(|(_, chunk)| chunk.len()).collect::<Vec<_>>(), lengths, "{text:?}");
            let mut end = 0;
            for (offset, chunk) in &chunks {
                assert_eq!((*offset, &text[end..][..chunk.len()]), (end as u64, chunk.as_slice()));
                end += chunk.len();
            }
            assert_eq!(end, text.len());
        };
        expect(b"", &[0]);
        expect(b"sixteen bytes 16", &[16]);
        expect(b"seventeen bytes17", &[10, 7]);
        expect(b"one two three four five six seven", &[14, 14, 5]);
        // Without a boundary the window doubles, then returns to its size.
        expect(&[b"x".repeat(40), b" a".repeat(20)].concat(), &[63, 14, 3]);
        expect(&b"x".repeat(100), &[100]);
        // Many bytes are left over.
        expect(&[b"a ".to_vec(), b"x".repeat(60), b" b".to_vec()].concat(), &[2, 62]);
    }

    /// Gives at most `most` bytes in one read, and then `end`.
    struct Slow<'a> {
        left: &'a [u8],
        most: usize,
        end: fn() -> io::Result<usize>,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.left.is_empty() {
                return (self.end)();
            }
            let bytes = self.most.min(into.len());
            self.left.read(&mut into[..bytes])
        }
    }

    #[test]
    fn a_stream_is_cut_as_a_file_is() {
        for content in [&b""[..], b"one two three four five six seven", &b"x".repeat(100), &b"ab ".repeat(99)]
        {
            for most in [1, 3, 1000] {
                let mut stream = Slow { left: content, most, end: || Ok(0) };
                let mut pieces = Pieces::new(SETTINGS, ChunkBoundary::BehindSpaces);
                let (mut text, mut whole) = (b"what was there before".to_vec(), Vec::new());
                loop {
                    let chunk = pieces.next(&mut stream, &mut text).expect("a chunk");
                    assert_eq!(chunk.offset, whole.len() as u64);
                    whole.extend_from_slice(&text);
                    if chunk.is_last {
                        break;
                    }
                    assert_eq!(whole.last(), Some(&b' '), "{content:?}");
                }
                assert_eq!((&*whole, pieces.taken()), (content, content.len() as u64));
            }
        }
    }

    #[test]
    fn a_document_in_another_encoding_is_cut_as_its_text_is() {
        let text = "caf\u{e9} \u{1F431} na\u{ef}ve ".repeat(40_000);
        let marked = format!("\u{FEFF}{text}");
        let bytes: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (label, guessed) in [("utf-16", None), ("auto", Some("utf-16"))] {
            let encoding: Encoding = label.parse().expect("a name");
            let decoding = Some(Decoding { encoding, decode_error: DecodeError::Strict });
            for window in [16, 1000, WINDOW] {
                let settings = ReadSettings { window, decoding, max_bytes: bytes.len() as u64, ..SETTINGS };
                let mut chunk = Vec::new();
                let mut reading = begin(&file(&bytes), settings, &mut chunk).expect("it can be read");
                let mut whole = chunk.clone();
                while !reading.chunk.is_last {
                    reading.next(&mut chunk).expect("more of it");
                    assert_eq!(reading.chunk.offset, whole.len() as u64);
                    whole.extend_from_slice(&chunk);
                }
                assert!(whole == text.as_bytes(), "{label} by {window}");
                let found = reading.guessed().and_then(Encoding::of_number).map(Encoding::label);
                assert_eq!((found, reading.source.bytes), (guessed, bytes.len() as u64));
                let failure = match begin(&file(&bytes[..bytes.len() - 1]), settings, &mut chunk) {
                    Err((_, failure)) => failure,
                    Ok(mut reading) => loop {
                        match reading.next(&mut chunk) {
                            Ok(()) => assert!(!reading.chunk.is_last),
                            Err(failure) => break failure,
                        }
                    },
                };
                assert_eq!(failure, Failure::InvalidInEncoding(bytes.len() as u64 - 2));
            }
        }
    }

    #[test]
    fn a_stream_fails_as_a_file_does_or_by_its_own_error() {
        let failure = |left: &[u8], end, settings| {
            let mut pieces = Pieces::new(settings, ChunkBoundary::BehindSpaces);
            let mut stream = Slow { left, most: 5, end };
            let mut next = || pieces.next(&mut stream, &mut Vec::new());
            loop {
                match next() {
                    Ok(chunk) if chunk.is_last => return None,
                    Ok(_) => {}
                    Err(failure) => return Some(failure),
                }
            }
        };
        let words = b"word ".repeat(10);
        let limited = |max_bytes| ReadSettings { max_bytes, ..SETTINGS };
        assert_eq!(failure(&words, || Ok(0), limited(50)), None);
        assert_eq!(failure(&words, || Ok(0), limited(49)), Some(Failure::LargerThan(49)));
        assert_eq!(failure(b"a\0b", || Ok(0), SETTINGS), Some(Failure::Binary));
        assert_eq!(failure(b"\xFF\xFEa\0", || Ok(0), SETTINGS), Some(Failure::Utf16));
        let corrupt = || Err(io::Error::other(Failure::Corrupt(7)));
        assert_eq!(failure(&words, corrupt, SETTINGS), Some(Failure::Corrupt(7)));
        let system = || Err(io::Error::from_raw_os_error(Errno::EIO as i32));
        assert_eq!(failure(&words, system, SETTINGS), Some(Failure::System(Errno::EIO as i32)));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let mut documents = Documents::new();
        documents.add_root(None, Vec::new());
        documents.add(b"/no/such/file");
        documents.add(b"/dev/null");
        let mut reader = Reader::new(SETTINGS, ChunkBoundary::BehindSpaces, ReadLimit::default());
        let mut failure = |row| reader.begin(&documents, row, &mut Vec::new()).err();
        assert_eq!(failure(0), Some((Source::default(), Failure::Vanished)));
        assert_eq!(failure(1), Some((Source::default(), Failure::NotAFile)));
        let (file, little) = (file(b"abc"), ReadSettings { max_bytes: 2, ..SETTINGS });
        let (source, failure) = begin(&file, little, &mut Vec::new()).expect_err("larger than it may be");
        assert_eq!((source.bytes, failure), (3, Failure::TooLarge(3)));
    }

    #[test]
    fn a_file_whose_size_is_made_up_is_read_to_its_end() {
        // Sizes of 0 and 4096; a file that returns everything in its first read; a file of many chunks.
        let paths = [
            "/proc/version",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/proc/sys/kernel/ostype",
            "/proc/kallsyms",
        ];
        let mut found = 0;
        for path in paths {
            let Ok(expected) = fs::read(path) else { continue };
            for window in [16, 1000, WINDOW] {
                let mut documents = Documents::new();
                documents.add_root(None, Vec::new());
                documents.add(path.as_bytes());
                let settings = ReadSettings { window, ..SETTINGS };
                let mut reader = Reader::new(settings, ChunkBoundary::BehindSpaces, ReadLimit::default());
                let mut text = b"what was there before".to_vec();
                let mut reading = reader.begin(&documents, 0, &mut text).expect("it can be read");
                let mut whole = text.clone();
                while !reading.chunk.is_last {
                    reader.next(&mut reading, &mut text).expect("more of it");
                    assert_eq!(reading.chunk.offset, whole.len() as u64, "{path}");
                    whole.extend_from_slice(&text);
                }
                assert!(whole == expected, "{path} by {window}");
                assert_eq!(
                    (reading.source.bytes, reading.has_size()),
                    (expected.len() as u64, false),
                    "{path}"
                );
                let little = ReadSettings { max_bytes: expected.len() as u64 - 1, ..settings };
                let mut reader = Reader::new(little, ChunkBoundary::Nowhere, ReadLimit::default());
                let failure =
                    reader.begin(&documents, 0, &mut text).map(|_| ()).expect_err("larger than it may be").1;
                let is_refused =
                    matches!(failure, Failure::LargerThan(bytes) | Failure::TooLarge(bytes) if bytes > 0);
                assert!(is_refused, "{path}: {failure}");
            }
            found += 1;
        }
        assert!(found > 0, "none of them is there");
    }

    #[test]
    fn a_nul_in_the_first_window_is_seen_wherever_it_is_cut() {
        for (text, is_binary) in
            [(&b"a b\0c d e f g h i j k"[..], true), (b"a b\0c", true), (b"a b c d e f g h i j k\0", false)]
        {
            let read = begin(&file(text), SETTINGS, &mut Vec::new());
            assert_eq!(read.is_err_and(|(_, failure)| failure == Failure::Binary), is_binary, "{text:?}");
            let embed = ReadSettings { embed_binary: true, ..SETTINGS };
            assert!(begin(&file(text), embed, &mut Vec::new()).is_ok());
        }
    }

    #[test]
    fn a_file_that_changes_between_its_pieces_is_noticed() {
        type Change = fn(&mut NamedTempFile);
        let changes: [(&str, Change); 4] = [
            ("longer", |file| file.write_all(b"more").unwrap()),
            ("shorter", |file| file.as_file().set_len(30).unwrap()),
            ("empty", |file| file.as_file().set_len(0).unwrap()),
            // Only the modification time shows this change. Some file systems store it in seconds.
            ("written over", |file| {
                file.rewind().and_then(|()| file.write_all(b"another")).unwrap();
            }),
        ];
        for (what, change) in changes {
            let (mut file, mut text) = (file(&b"word ".repeat(10)), Vec::new());
            let an_hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
            file.as_file().set_modified(an_hour_ago).unwrap();
            let mut reading = begin(&file, SETTINGS, &mut text).expect("it can be read");
            change(&mut file);
            assert_eq!(reading.next(&mut text), Err(Failure::Changed), "{what}");
            let anew = begin(&file, SETTINGS, &mut text).expect("it can be read again");
            assert_eq!(anew.chunk.offset, 0);
            fs::remove_file(file.path()).unwrap();
        }
    }
}
