//! Reads documents: a small one at once, a larger one in chunks, so that it need not fit in memory.
//!
//! Decides which files fail unread, and detects a file that changes during the read. The analyzer determines the chunk
//! boundaries.

use crate::analyzer::chunks::{Chunk, ChunkBoundary, LONGEST};
use crate::analyzer::decode::{byte_order_mark, with_nul};
use crate::documents::{Documents, Source, is_regular};
use crate::failure::Failure;
use crate::opener::Opener;
use crate::read_limit::ReadLimit;
use nix::errno::Errno;
use nix::sys::stat::fstat;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
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
        let file = self.opener.open(documents, file)?;
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
        check_beginning(text, self.settings.embed_binary)
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
    let file = opener.open(documents, row).map_err(unknown)?;
    let stat = fstat(&file).map_err(unknown)?;
    if !is_regular(&stat) {
        return Err((Source::default(), Failure::NotAFile));
    }
    let source = Source::of(&stat);
    if source.bytes > settings.max_bytes {
        return Err((source, Failure::TooLarge(source.bytes)));
    }
    let window = if chunk_boundary == ChunkBoundary::Nowhere { LONGEST } else { settings.window };
    let size = if stat.st_blocks == 0 { Size::Claimed } else { Size::True };
    let mut reading = Reading {
        source,
        chunk: Chunk::WHOLE,
        file,
        settings: ReadSettings { window, ..settings },
        chunk_boundary,
        stated: source,
        size,
        taken: 0,
        has_ended: false,
        rest: Vec::new(),
    };
    match reading.next(text) {
        Ok(()) => Ok(reading),
        Err(failure) => Err((reading.source, failure)),
    }
}

/// Checks that the first bytes of a document can be UTF-8 text.
fn check_beginning(beginning: &[u8], embed_binary: bool) -> Result<(), Failure> {
    if let Some(failure) = byte_order_mark(beginning) {
        return Err(failure);
    }
    let prefix = &beginning[..beginning.len().min(BINARY_PREFIX)];
    match memchr::memchr(0, prefix) {
        Some(_) if !embed_binary => Err(with_nul(prefix)),
        _ => Ok(()),
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

/// A document that is being read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The state of the file when it was opened. If its size is made up, the number of bytes read so far replaces it.
    pub(crate) source: Source,
    /// The current chunk.
    pub(crate) chunk: Chunk,
    file: File,
    settings: ReadSettings,
    chunk_boundary: ChunkBoundary,
    /// The state of the file as the system states it.
    stated: Source,
    size: Size,
    /// Bytes read from the file.
    taken: u64,
    /// Whether the end of the file was read.
    has_ended: bool,
    /// Bytes read behind the current chunk. The next chunk begins with them.
    rest: Vec<u8>,
}

impl Reading {
    /// Whether the file's stated size is its length. A file without one may never end.
    pub(crate) fn has_size(&self) -> bool {
        self.size != Size::MadeUp
    }

    /// As [`Reader::next`], without the read limit.
    fn next(&mut self, text: &mut Vec<u8>) -> Result<(), Failure> {
        let mut is_beginning = self.taken == 0;
        let offset = self.taken - self.rest.len() as u64;
        let mut room = self.settings.window.max(2 * self.rest.len()).min(LONGEST);
        let mut filled = 0;
        loop {
            filled = self.fill(text, filled, room)?;
            if is_beginning {
                check_beginning(&text[..filled], self.settings.embed_binary)?;
                is_beginning = false;
            }
            let cut = if self.has_ended { Some(filled) } else { self.chunk_boundary.last(&text[..filled]) };
            if let Some(cut) = cut {
                self.rest.clear();
                self.rest.extend_from_slice(&text[cut..filled]);
                text.truncate(cut);
                self.chunk = Chunk { offset, is_last: self.has_ended };
                return Ok(());
            }
            if room == LONGEST {
                return Err(Failure::Unbroken);
            }
            room = room.saturating_mul(2).min(LONGEST);
        }
    }

    /// Reads until `text` holds `room` bytes or the file ends. Returns how many bytes it holds. It holds `filled` bytes
    /// before; if that is 0, the bytes left over from the chunk before come first.
    fn fill(&mut self, text: &mut Vec<u8>, filled: usize, room: usize) -> Result<usize, Failure> {
        let held = if filled == 0 { self.rest.len() } else { filled };
        // Bytes of `text` beyond that are overwritten. Clearing them would cost as much as reading.
        if text.len() < held {
            lengthen(text, held)?;
        }
        if filled == 0 {
            text[..held].copy_from_slice(&self.rest);
        }
        let begins = self.taken == 0;
        let mut filled = held;
        if self.has_size() {
            let left = self.stated.bytes - self.taken;
            let end = held + left.min((room - held) as u64) as usize;
            self.has_ended = (end - held) as u64 == left;
            // One byte more than stated, to detect a file that is longer.
            let more = match (self.has_ended, self.stated.bytes) {
                (false, _) => 0,
                (true, 0) => AT_ONCE,
                (true, _) => 1,
            };
            lengthen(text, end + more)?;
            while filled < end + more {
                match self.read(&mut text[filled..end + more])? {
                    0 => break,
                    // A short read of a regular file is its end, or the next read returns 0.
                    bytes => filled += bytes,
                }
                if filled == end {
                    break;
                }
            }
            if filled != end {
                self.has_ended = false;
                if self.size == Size::True {
                    return Err(Failure::Changed);
                }
                self.size = Size::MadeUp;
            }
        }
        if !self.has_size() {
            filled = self.fill_to_end(text, filled, room)?;
        }
        let is_whole = begins && self.has_ended && self.has_size();
        if !is_whole && Source::of(&fstat(&self.file)?) != self.stated {
            return Err(Failure::Changed);
        }
        if !self.has_size() {
            self.source.bytes = self.taken;
        }
        Ok(filled)
    }

    /// As `fill`, for a file whose stated size is made up.
    fn fill_to_end(&mut self, text: &mut Vec<u8>, mut filled: usize, room: usize) -> Result<usize, Failure> {
        while filled < room && !self.has_ended {
            if filled == text.len() {
                lengthen(text, room.min(filled + filled.max(AT_ONCE)))?;
            }
            let bytes = self.read(&mut text[filled..])?;
            filled += bytes;
            self.has_ended = bytes == 0;
            if self.taken > self.settings.max_bytes {
                return Err(Failure::LargerThan(self.settings.max_bytes));
            }
        }
        Ok(filled)
    }

    /// Reads once.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match self.file.read(into) {
                Ok(bytes) => {
                    self.taken += bytes as u64;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
            }
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
    use std::io::{Seek as _, Write as _};
    use std::os::unix::ffi::OsStrExt as _;
    use tempfile::NamedTempFile;

    const SETTINGS: ReadSettings = ReadSettings { max_bytes: u64::MAX, embed_binary: false, window: 16 };

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
