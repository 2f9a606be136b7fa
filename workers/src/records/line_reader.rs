//! The lines of a file, and the buffer from which the readers of text records take their bytes.
//!
//! Finds the lines that begin in a range of the file. Does not know what a line means, and decodes nothing but the
//! byte-order mark at the beginning of the file.

use super::source::FileBytes;
use crate::analyzer::PADDING;
use crate::analyzer::decode::byte_order_mark;
use crate::failure::Failure;
use memchr::memchr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a buffer: 256 KiB.
const BUFFER: usize = 256 << 10;

/// A buffer for a document is freed after it if it has more bytes than this: 8 MiB.
pub(super) const KEPT_BUFFER: usize = 8 << 20;

/// The longest byte-order mark.
const LONGEST_MARK: usize = 4;

/// The bytes of a stream, through a buffer.
pub(super) struct ByteReader {
    stream: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The bytes of the buffer that were not consumed.
    unread: Range<usize>,
    /// The offset in the file of the first of them.
    at: u64,
}

impl ByteReader {
    /// Reads `stream`, whose first byte is byte `at` of the file.
    pub(super) fn new(stream: Box<dyn Read + Send>, at: u64) -> Self {
        ByteReader { stream, buffer: vec![0; BUFFER], unread: 0..0, at }
    }

    /// The offset in the file of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes. There are none at the end of the stream only.
    pub(super) fn fill(&mut self) -> Result<&[u8], Failure> {
        if self.unread.is_empty() {
            self.unread = 0..0;
            self.read()?;
        }
        Ok(&self.buffer[self.unread.clone()])
    }

    /// Passes over `count` of the bytes of [`ByteReader::fill`].
    pub(super) fn consume(&mut self, count: usize) {
        self.unread.start += count;
        self.at += count as u64;
    }

    /// As `consume`. Returns the bytes.
    fn take(&mut self, count: usize) -> &[u8] {
        self.consume(count);
        &self.buffer[self.unread.start - count..self.unread.start]
    }

    /// Passes over a byte-order mark of UTF-8 at the beginning of the file.
    ///
    /// # Errors
    /// The failure for a file that begins with the mark of another encoding, or that of the stream.
    pub(super) fn pass_mark(&mut self) -> Result<(), Failure> {
        if self.at > 0 {
            return Ok(());
        }
        self.fill()?;
        while self.unread.len() < LONGEST_MARK && self.read()? > 0 {}
        let beginning = &self.buffer[self.unread.clone()];
        if let Some(failure) = byte_order_mark(beginning) {
            return Err(failure);
        }
        if beginning.starts_with(b"\xEF\xBB\xBF") {
            self.consume(3);
        }
        Ok(())
    }

    /// Reads once, behind the unread bytes, which must be few. Returns the number of bytes read.
    fn read(&mut self) -> Result<usize, Failure> {
        loop {
            match self.stream.read(&mut self.buffer[self.unread.end..]) {
                Ok(count) => {
                    self.unread.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The failure of a file that begins with the mark of UTF-16 or UTF-32, or whose beginning cannot be read.
///
/// The reader of a range that does not begin with the file never sees the mark. Such lines may be valid UTF-8 with NULs, so
/// they are not to be read.
pub(crate) fn other_encoding(file: Arc<File>) -> Option<Failure> {
    let beginning = FileBytes::new(file, 0, LONGEST_MARK as u64);
    ByteReader::new(Box::new(beginning), 0).pass_mark().err()
}

/// Appends `bytes` to `text`, with room for the text's padding.
pub(super) fn append(text: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Failure> {
    text.try_reserve(bytes.len() + PADDING).map_err(|_| Failure::OutOfMemory)?;
    text.extend_from_slice(bytes);
    Ok(())
}

/// Clears a buffer, and frees it if it is large.
pub(super) fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_BUFFER {
        *buffer = Vec::new();
    }
}

/// Whether a line has only the white space of JSON.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// A line without its end: `\n`, and one `\r` before it.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Line<'l> {
    /// These bytes.
    Buffered(&'l [u8]),
    /// The bytes in the buffer that the caller gave.
    Spilled,
    /// A line of more bytes than the caller accepts. It was passed over.
    Long {
        /// Its length in bytes.
        bytes: u64,
        /// Whether it has only the white space of JSON.
        is_blank: bool,
    },
}

/// The lines of a file that begin in a range. The last of them may end behind it.
///
/// A file of which nothing can be read behind a fault has a failed line there, which is the last.
pub(crate) struct LineReader {
    bytes: ByteReader,
    range: Range<u64>,
    /// Whether the first line of the range was found.
    has_begun: bool,
    is_over: bool,
}

impl LineReader {
    /// The lines that begin in `range`.
    ///
    /// The stream begins with byte [`LineReader::first_byte`] of the file. It goes on behind the range, as long as the
    /// last line does.
    pub(crate) fn new(stream: Box<dyn Read + Send>, range: Range<u64>) -> Self {
        let bytes = ByteReader::new(stream, Self::first_byte(range.start));
        LineReader { bytes, range, has_begun: false, is_over: false }
    }

    /// The offset of the first byte that is read for a range from `start` on. The byte before the range shows whether a
    /// line begins at its start.
    pub(crate) fn first_byte(start: u64) -> u64 {
        start.saturating_sub(1)
    }

    /// The next line. If it has more than `limit` bytes, it is passed over. `spill` is a buffer.
    pub(super) fn next(&mut self, spill: &mut Vec<u8>, limit: usize) -> Option<Result<Line<'_>, Failure>> {
        spill.clear();
        match self.begin() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(failure) => return Some(Err(failure)),
        }
        let (mut length, mut is_blank_line, mut last, mut is_held) = (0, true, 0, true);
        loop {
            let bytes = match self.fill() {
                Ok(bytes) => bytes,
                Err(failure) => return Some(Err(failure)),
            };
            let end = memchr(b'\n', bytes);
            let run = &bytes[..end.unwrap_or(bytes.len())];
            let is_whole = length == 0 && end.is_some() && run.len() <= limit;
            if is_whole {
                let size = run.len();
                let line = &self.bytes.take(size + 1)[..size];
                return Some(Ok(Line::Buffered(line.strip_suffix(b"\r").unwrap_or(line))));
            }
            // One byte more: it may be the `\r` of the line end.
            length += run.len() as u64;
            is_held = is_held && length <= (limit as u64).saturating_add(1);
            if !is_held || append(spill, run).is_err() {
                clear(spill);
                is_held = false;
            }
            is_blank_line = is_blank_line && is_blank(run);
            last = *run.last().unwrap_or(&last);
            let size = run.len();
            let is_end = bytes.is_empty() || end.is_some();
            self.bytes.consume(size + usize::from(end.is_some()));
            if is_end {
                if end.is_some() && last == b'\r' {
                    length -= 1;
                    spill.pop();
                }
                break;
            }
        }
        if length > limit as u64 {
            clear(spill);
            return Some(Ok(Line::Long { bytes: length, is_blank: is_blank_line }));
        }
        Some(if is_held { Ok(Line::Spilled) } else { Err(Failure::OutOfMemory) })
    }

    /// Passes over the next line. Returns whether it is blank; a failed line is not. `None` behind the last line.
    pub(super) fn pass(&mut self) -> Option<bool> {
        match self.begin() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(_) => return Some(false),
        }
        let mut is_blank_line = true;
        loop {
            let Ok(bytes) = self.fill() else { return Some(false) };
            let end = memchr(b'\n', bytes);
            let run = &bytes[..end.unwrap_or(bytes.len())];
            is_blank_line = is_blank_line && is_blank(run);
            let is_end = bytes.is_empty() || end.is_some();
            let size = run.len() + usize::from(end.is_some());
            self.bytes.consume(size);
            if is_end {
                return Some(is_blank_line);
            }
        }
    }

    /// Whether there is another line.
    fn begin(&mut self) -> Result<bool, Failure> {
        while !self.has_begun && !self.is_over {
            // A line end before the range's end, or nothing begins here.
            if self.range.start == 0 {
                self.has_begun = true;
            } else if self.bytes.at() >= self.range.end {
                self.is_over = true;
            } else {
                let bytes = self.fill()?;
                let end = memchr(b'\n', bytes);
                let size = end.map_or(bytes.len(), |end| end + 1);
                let is_over = size == 0;
                self.bytes.consume(size);
                self.has_begun = end.is_some();
                self.is_over = is_over;
            }
        }
        if self.is_over || self.bytes.at() >= self.range.end {
            self.is_over = true;
            return Ok(false);
        }
        let marked = self.bytes.pass_mark();
        self.is_over = marked.is_err();
        marked?;
        self.is_over = self.fill()?.is_empty();
        Ok(!self.is_over)
    }

    /// As [`ByteReader::fill`]. Nothing follows a failure.
    fn fill(&mut self) -> Result<&[u8], Failure> {
        let LineReader { bytes, is_over, .. } = self;
        bytes.fill().inspect_err(|_| *is_over = true)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{self, Write as _};

    /// Some bytes in short reads, with an error at the end if there is one.
    pub(crate) struct Trickle {
        pub(crate) bytes: Vec<u8>,
        pub(crate) at: usize,
        pub(crate) step: usize,
        pub(crate) error: Option<Failure>,
    }

    impl Read for Trickle {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let left = &self.bytes[self.at..];
            if let (true, Some(failure)) = (left.is_empty(), self.error) {
                return Err(io::Error::other(failure));
            }
            let count = left.len().min(into.len()).min(self.step);
            into[..count].copy_from_slice(&left[..count]);
            self.at += count;
            Ok(count)
        }
    }

    /// The bytes of a file from `at` on, `step` in a read.
    pub(crate) fn stream(file: &[u8], at: u64, step: usize) -> Box<dyn Read + Send> {
        let at = (at as usize).min(file.len());
        Box::new(Trickle { bytes: file.to_vec(), at, step, error: None })
    }

    /// The lines of `file` that begin in `range`.
    pub(crate) fn lines(file: &[u8], range: Range<u64>, step: usize) -> LineReader {
        LineReader::new(stream(file, LineReader::first_byte(range.start), step), range)
    }

    /// The ranges between some cuts of a file.
    pub(crate) fn ranges(length: usize, cuts: &[usize]) -> Vec<Range<u64>> {
        let mut ends: Vec<u64> = cuts.iter().map(|cut| (cut % (length + 1)) as u64).collect();
        ends.push(length as u64);
        ends.sort();
        ends.iter().scan(0, |start, &end| Some(std::mem::replace(start, end)..end)).collect()
    }

    fn all(mut lines: LineReader, limit: usize) -> Vec<Result<Vec<u8>, u64>> {
        let mut all = Vec::new();
        let mut spill = Vec::new();
        while let Some(line) = lines.next(&mut spill, limit) {
            all.push(match line.expect("no failure") {
                Line::Buffered(line) => Ok(line.to_vec()),
                Line::Spilled => Ok(spill.clone()),
                Line::Long { bytes, .. } => Err(bytes),
            });
        }
        all
    }

    #[test]
    fn line_ends() {
        let one = |file: &[u8]| {
            let whole = all(lines(file, 0..u64::MAX, usize::MAX), 100);
            assert_eq!(all(lines(file, 0..u64::MAX, 1), 100), whole);
            whole.into_iter().map(|line| String::from_utf8(line.unwrap()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(one(b""), [""; 0]);
        assert_eq!(one(b"\n"), [""]);
        assert_eq!(one(b"a"), ["a"]);
        assert_eq!(one(b"a\n\nb\r\n"), ["a", "", "b"]);
        assert_eq!(one(b"a\r\r\n\r\nb\rc\r"), ["a\r", "", "b\rc\r"]);
        assert_eq!(one(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb"), ["a", "\u{FEFF}b"]);
        assert_eq!(one(b"\xEF\xBB\xBF"), [""; 0]);
        assert_eq!(one(b"\xEF\xBB\xBF\n"), [""]);
    }

    #[test]
    fn long_lines_are_passed_over() {
        for step in [1, 3, usize::MAX] {
            let file = b"abc\r\nabcd\r\nabcdefgh\nabcd\r\r\nx";
            let found = all(lines(file, 0..u64::MAX, step), 4);
            let expected = [Ok(b"abc".to_vec()), Ok(b"abcd".to_vec()), Err(8), Err(5), Ok(b"x".to_vec())];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn other_encodings_fail_once() {
        for step in [1, usize::MAX] {
            let mut lines = lines(b"\xFF\xFEa\0\n\0b\0\n\0", 0..u64::MAX, step);
            assert_eq!(lines.next(&mut Vec::new(), 9), Some(Err(Failure::Utf16)));
            assert_eq!(lines.next(&mut Vec::new(), 9), None);
        }
        let mut lines = lines(b"\0\0\xFE\xFF\0\0\0a", 0..u64::MAX, 1);
        assert_eq!(lines.next(&mut Vec::new(), 9), Some(Err(Failure::Utf32)));
    }

    #[test]
    fn marks_are_found_from_any_range() {
        let of = |content: &[u8]| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(content).expect("room");
            other_encoding(Arc::new(file))
        };
        assert_eq!(of(b"\xFE\xFF\0a"), Some(Failure::Utf16));
        assert_eq!(of(b"\xFF\xFE\0\0a"), Some(Failure::Utf32));
        assert_eq!((of(b""), of(b"\xEF\xBB\xBFa"), of(b"abcde")), (None, None, None));
    }

    #[test]
    fn a_fault_of_the_stream_ends_the_lines() {
        let bytes = b"ab\ncd".to_vec();
        let stream = Trickle { bytes, at: 0, step: 2, error: Some(Failure::Corrupt(7)) };
        let mut lines = LineReader::new(Box::new(stream), 0..u64::MAX);
        let mut spill = Vec::new();
        assert!(matches!(lines.next(&mut spill, 9), Some(Ok(_))));
        assert_eq!(lines.next(&mut spill, 9), Some(Err(Failure::Corrupt(7))));
        assert_eq!(lines.next(&mut spill, 9), None);
    }

    #[test]
    fn a_range_without_a_line_end_is_not_read_beyond() {
        let file = FileOfZeros(0);
        let mut lines = LineReader::new(Box::new(file), 1..1 << 20);
        assert_eq!(lines.next(&mut Vec::new(), 9), None);
    }

    /// An endless file of one line, of which 2 MiB may be read.
    struct FileOfZeros(usize);

    impl Read for FileOfZeros {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += into.len();
            assert!(self.0 <= 2 << 20, "reads on");
            Ok(into.len())
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            file in "(\u{FEFF})?[a\n\r é]{0,40}",
            cuts in prop::collection::vec(any::<usize>(), 0..4),
            step in 1usize..50,
            limit in 0usize..20,
        ) {
            let file = file.as_bytes();
            let whole = all(lines(file, 0..u64::MAX, usize::MAX), limit);
            let parts: Vec<_> = ranges(file.len(), &cuts)
                .into_iter()
                .flat_map(|range| all(lines(file, range, step), limit))
                .collect();
            prop_assert_eq!(&parts, &whole);
            let mut lines = lines(file, 0..u64::MAX, step);
            prop_assert_eq!(std::iter::from_fn(|| lines.pass()).count(), whole.len());
        }
    }
}
