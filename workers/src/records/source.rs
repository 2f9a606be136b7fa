//! The bytes of a file, read in order from any place. A read whose failure may be temporary is tried twice. Each read is a
//! step of its worker, so that a worker that passes over a large part of a file does not time out.

use crate::failure::Failure;
use crate::read_limit::ReadLimit;
use crate::tally::SECOND_TRY;
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Reads the bytes `at..end` of a file. Does not move the file's own position, which other processes may share.
#[derive(Clone, Debug)]
pub(crate) struct FileBytes {
    file: Arc<File>,
    at: u64,
    end: u64,
    /// The place of the next byte, for progress. Clones of this reader share it.
    reached: Arc<AtomicU64>,
    /// The limit that each read waits for.
    limit: Option<Arc<ReadLimit>>,
    /// The first byte that was read and is to leave the page cache; `None` if all bytes stay there.
    kept: Option<u64>,
}

/// Bytes that leave the page cache in one go: 1 MiB.
const DROPPED: u64 = 1 << 20;

impl FileBytes {
    /// The bytes from `start` up to, but not including, `end`, or up to the end of the file.
    pub(crate) fn new(file: Arc<File>, start: u64, end: u64) -> Self {
        FileBytes { file, at: start, end, reached: Arc::new(AtomicU64::new(start)), limit: None, kept: None }
    }

    /// The same bytes, each read of which waits for a permit of `limit` and is a step of its worker.
    pub(crate) fn limited(self, limit: &Arc<ReadLimit>) -> Self {
        FileBytes { limit: Some(limit.clone()), ..self }
    }

    /// The same bytes, which leave the page cache once they were read, if `drops` says so.
    pub(crate) fn dropping_behind(self, drops: bool) -> Self {
        FileBytes { kept: drops.then_some(self.at), ..self }
    }

    /// Other bytes of the same file, from `start` up to, but not including, `end`, as limited as these.
    pub(crate) fn part(&self, start: u64, end: u64) -> Self {
        FileBytes { limit: self.limit.clone(), ..FileBytes::new(self.file.clone(), start, end) }
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The end of these bytes in the file.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The place in the file up to which bytes were read.
    pub(crate) fn reached(&self) -> Arc<AtomicU64> {
        self.reached.clone()
    }
}

impl Read for FileBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most =
            usize::try_from(self.end.saturating_sub(self.at)).map_or(into.len(), |left| left.min(into.len()));
        let _permit = self.limit.as_ref().map(|limit| limit.enter()).transpose()?;
        let bytes = match self.file.read_at(&mut into[..most], self.at) {
            Err(error) if Failure::from(Errno::from_raw(error.raw_os_error().unwrap_or(0))).may_pass() => {
                thread::sleep(SECOND_TRY);
                self.file.read_at(&mut into[..most], self.at)?
            }
            read => read?,
        };
        self.at += bytes as u64;
        self.reached.store(self.at, Ordering::Relaxed);
        if let Some(kept) = self.kept.filter(|kept| self.at - kept >= DROPPED) {
            drop_cached(&self.file, kept, self.at);
            self.kept = Some(self.at);
        }
        if bytes > 0 {
            self.limit.iter().for_each(|limit| limit.step());
        }
        Ok(bytes)
    }
}

/// Takes the bytes `start..end` of a file out of the page cache.
fn drop_cached(file: &File, start: u64, end: u64) {
    let (Ok(start), Ok(bytes)) = (i64::try_from(start), i64::try_from(end - start)) else { return };
    // A file system without a cache refuses, and loses nothing.
    let _ = posix_fadvise(file, start, bytes, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

/// A decompressed stream. Each read that returns bytes is a step of its worker: a few bytes may expand to a stream that
/// takes longer than the time limit of a document.
pub(crate) struct Stepping<R> {
    stream: R,
    limit: Arc<ReadLimit>,
}

impl<R: Read> Stepping<R> {
    /// Reads `stream`. `limit` counts the steps.
    pub(crate) fn new(stream: R, limit: &Arc<ReadLimit>) -> Self {
        Stepping { stream, limit: limit.clone() }
    }
}

impl<R: Read> Read for Stepping<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.stream.read(into)?;
        if bytes > 0 {
            self.limit.step();
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn bytes_of_a_range() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = Arc::new(file);
        for (start, end, expected) in [(2, 5, "234"), (8, 100, "89"), (5, 5, ""), (6, 2, ""), (20, 30, "")] {
            let mut bytes = FileBytes::new(file.clone(), start, end);
            let reached = bytes.reached();
            let mut text = String::new();
            bytes.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
            assert_eq!(reached.load(Ordering::Relaxed), start + expected.len() as u64);
        }
    }

    #[test]
    fn bytes_stay_the_same_when_they_leave_the_page_cache() {
        let text: Vec<u8> = (0..5 * DROPPED / 2).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        for start in [0, 1, DROPPED + 4097] {
            let mut bytes = FileBytes::new(Arc::new(file.try_clone().unwrap()), start, u64::MAX);
            bytes = bytes.dropping_behind(true);
            let mut read = Vec::new();
            bytes.read_to_end(&mut read).unwrap();
            assert!(read == text[start as usize..]);
            assert!(bytes.kept.is_some_and(|kept| text.len() as u64 - kept < DROPPED));
        }
    }
}
