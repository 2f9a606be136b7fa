//! The documents of a run: where each one is, in row order, and how its bytes are read.
//!
//! The list is made once by the coordinator, before any worker starts, and only read from then on.

use crate::failure::Failure;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, PosixFadviseAdvice, openat, posix_fadvise};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::ffi::CStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// One CORPUS argument, opened.
#[derive(Debug)]
struct Root {
    /// The directory that its documents' paths are relative to; none if the argument is a file: then its one
    /// document's path is the argument.
    directory: Option<OwnedFd>,
    /// What is written before its documents' paths.
    prefix: Vec<u8>,
    /// The first of its documents.
    first: usize,
}

/// Paths of all documents, in row order.
#[derive(Debug, Default)]
pub struct Documents {
    /// Whether a document may be a link to a file.
    follows_links: bool,
    roots: Vec<Root>,
    /// The paths, each closed by a NUL.
    paths: Vec<u8>,
    /// Where each path begins.
    starts: Vec<usize>,
}

/// What was known of a document's file when it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Source {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its time of modification in nanoseconds since 1970.
    pub modified: i64,
}

impl From<&FileStat> for Source {
    fn from(stat: &FileStat) -> Self {
        let modified = stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec);
        Source { bytes: stat.st_size as u64, modified }
    }
}

/// Which files are read, and which fail.
#[derive(Clone, Copy, Debug)]
pub struct ReadSettings {
    /// A larger file fails.
    pub max_bytes: u64,
    /// Whether a file with a NUL in its first 8 KiB is text all the same.
    pub embed_binary: bool,
}

/// How much of a document is searched for a NUL, as git does it.
const BINARY_PREFIX: usize = 8 << 10;

/// A buffer that grew beyond this is given back after its document.
const KEPT_BUFFER: usize = 8 << 20;

impl Documents {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list of documents that may be links to files, if `follows_links`.
    pub fn following(follows_links: bool) -> Self {
        Documents { follows_links, ..Self::default() }
    }

    /// Begins the documents of one CORPUS: paths added from here on are relative to `directory`, or to the
    /// working directory if there is none. `prefix` goes before them where they are written.
    pub fn add_root(&mut self, directory: Option<OwnedFd>, prefix: Vec<u8>) {
        self.roots.push(Root { directory, prefix, first: self.starts.len() });
    }

    /// Adds a document to the last root, as the next row.
    pub fn add(&mut self, path: &[u8]) {
        self.starts.push(self.paths.len());
        self.paths.extend_from_slice(path);
        self.paths.push(0);
    }

    /// Number of documents, which is the number of rows.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The path of row `row`, relative to its root.
    pub fn path(&self, row: usize) -> &[u8] {
        self.c_path(row).to_bytes()
    }

    fn c_path(&self, row: usize) -> &CStr {
        CStr::from_bytes_until_nul(&self.paths[self.starts[row]..]).expect("each path is closed by a NUL")
    }

    /// The path of row `row` as it is written for people and in `documents.jsonl`.
    pub fn shown(&self, row: usize) -> String {
        let prefix = &self.roots[self.root(row)].prefix;
        match prefix.is_empty() {
            true => display_path(self.path(row)),
            false => display_path(&[prefix, self.path(row)].concat()),
        }
    }

    /// The root of row `row`, counted from 0 in the order of the arguments.
    pub fn root(&self, row: usize) -> usize {
        self.roots.partition_point(|root| root.first <= row) - 1
    }

    /// The first row of each root.
    pub fn first_rows(&self) -> impl Iterator<Item = usize> {
        self.roots.iter().map(|root| root.first)
    }

    /// What is known of a document's file without opening it; nothing if there is no regular file.
    pub fn source(&self, row: usize) -> Option<Source> {
        let links = if self.follows_links { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
        let path = self.c_path(row);
        let stat = match &self.roots[self.root(row)].directory {
            Some(directory) => fstatat(directory.as_fd(), path, links),
            None => fstatat(AT_FDCWD, path, AtFlags::empty()),
        };
        stat.ok().filter(is_regular).map(|stat| Source::from(&stat))
    }

    /// The open directories, which a worker must keep.
    pub fn directories(&self) -> impl Iterator<Item = &OwnedFd> {
        self.roots.iter().filter_map(|root| root.directory.as_ref())
    }

    /// Replaces `text` with the bytes of document `row`. Links are followed only where that was
    /// asked for (or the CORPUS is one), and nothing but a regular file is ever read from.
    ///
    /// # Errors
    /// Why the document can't be read or is no text, and what was known of its file by then.
    pub fn read(
        &self,
        row: usize,
        settings: &ReadSettings,
        text: &mut Vec<u8>,
    ) -> Result<Source, (Source, Failure)> {
        if text.capacity() > KEPT_BUFFER {
            *text = Vec::new();
        }
        let first = self.read_once(row, settings, text);
        match first {
            Err((_, Failure::Changed)) => self.read_once(row, settings, text),
            other => other,
        }
    }

    fn read_once(
        &self,
        row: usize,
        settings: &ReadSettings,
        text: &mut Vec<u8>,
    ) -> Result<Source, (Source, Failure)> {
        let unknown = |errno: Errno| (Source::default(), errno.into());
        let mut file = self.open(row).map_err(unknown)?;
        let stat = fstat(&file).map_err(unknown)?;
        let source = Source::from(&stat);
        let fail = |failure| Err((source, failure));
        if !is_regular(&stat) {
            return Err((Source::default(), Failure::NotAFile));
        }
        if source.bytes > settings.max_bytes {
            return fail(Failure::TooLarge(source.bytes));
        }
        let size = source.bytes as usize;
        text.clear();
        // One byte more than the size: a file that grew shows itself. Room to pad, so that nothing moves later.
        if text.try_reserve(size + 256).is_err() {
            return fail(Failure::OutOfMemory);
        }
        text.resize(size + 1, 0);
        let mut filled = 0;
        while filled <= size {
            match file.read(&mut text[filled..]) {
                Ok(0) => break,
                // A short read of a regular file is its end, or the next one will say so.
                Ok(n) => filled += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return fail(Errno::from_raw(error.raw_os_error().unwrap_or(0)).into()),
            }
            if filled == size {
                break;
            }
        }
        if filled != size {
            return fail(Failure::Changed);
        }
        text.truncate(size);
        let prefix = &text[..size.min(BINARY_PREFIX)];
        if !settings.embed_binary && memchr::memchr(0, prefix).is_some() {
            return fail(Failure::Binary);
        }
        Ok(source)
    }

    /// Asks the system to fetch the beginning of document `row`, if there is one, without waiting for it.
    fn fetch(&self, row: usize) {
        if row < self.len()
            && let Ok(file) = self.open(row)
        {
            // A hint: whoever reads the document will see what is wrong with it.
            let _ = posix_fadvise(&file, 0, AHEAD_BYTES, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
        }
    }

    fn open(&self, row: usize) -> Result<File, Errno> {
        // Without O_NONBLOCK the opening of a pipe would wait for its other end.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let links = if self.follows_links { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        let path = self.c_path(row);
        let file = match &self.roots[self.root(row)].directory {
            Some(directory) => openat(directory.as_fd(), path, flags | links, Mode::empty()),
            None => openat(AT_FDCWD, path, flags, Mode::empty()),
        }?;
        Ok(File::from(file))
    }
}

/// Reads documents, and where storage turns out to be slow has the system fetch those that come next while one is
/// worked on. What is in memory already is not asked for: that would cost as much as reading it.
#[derive(Debug, Default)]
pub struct Reader {
    /// Documents for which others are still fetched ahead.
    eager: u32,
}

/// Documents that are fetched ahead.
const AHEAD: usize = 8;

/// Bytes of a document that are fetched ahead.
const AHEAD_BYTES: i64 = 4 << 20;

/// Documents for which storage is held to be slow after one was.
const EAGER: u32 = 64;

impl Reader {
    /// [`Documents::read`].
    ///
    /// # Errors
    /// The same.
    pub fn read(
        &mut self,
        documents: &Documents,
        row: usize,
        settings: &ReadSettings,
        text: &mut Vec<u8>,
    ) -> Result<Source, (Source, Failure)> {
        let began = Instant::now();
        let read = documents.read(row, settings, text);
        // From memory it takes a few microseconds, and a quarter of one for each KiB.
        let is_slow = began.elapsed() > Duration::from_micros(100 + text.len() as u64 / 1024);
        match (is_slow, self.eager) {
            (true, 0) => (row + 1..=row + AHEAD).for_each(|row| documents.fetch(row)),
            (_, 1..) => documents.fetch(row + AHEAD),
            (false, 0) => {}
        }
        self.eager = if is_slow { EAGER } else { self.eager.saturating_sub(1) };
        read
    }
}

fn is_regular(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

/// A path as it is written for people and in `documents.jsonl`: bytes that are no UTF-8 become `\xHH`, and a
/// backslash is doubled, so that the bytes can be had back.
pub fn display_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        match chunk.valid().contains('\\') {
            true => text.push_str(&chunk.valid().replace('\\', "\\\\")),
            false => text.push_str(chunk.valid()),
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02X}").expect("a string takes all");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_reversible() {
        assert_eq!(display_path("a/é.txt".as_bytes()), "a/é.txt");
        assert_eq!(display_path(b"a\\b\xFFc\n"), "a\\\\b\\xFFc\n");
        assert_ne!(display_path(b"\\xFF"), display_path(b"\xFF"));
    }

    #[test]
    fn rows_know_their_roots() {
        let mut documents = Documents::new();
        documents.add_root(None, Vec::new());
        documents.add(b"one");
        documents.add_root(None, Vec::new());
        documents.add_root(None, Vec::new());
        documents.add(b"two");
        documents.add(b"three");
        assert_eq!(documents.len(), 3);
        assert_eq!((0..3).map(|row| documents.root(row)).collect::<Vec<_>>(), [0, 2, 2]);
        assert_eq!(documents.path(2), b"three");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let mut documents = Documents::new();
        documents.add_root(None, Vec::new());
        documents.add(b"/no/such/file");
        documents.add(b"/dev/null");
        let settings = ReadSettings { max_bytes: u64::MAX, embed_binary: false };
        let mut text = Vec::new();
        assert_eq!(documents.read(0, &settings, &mut text), Err((Source::default(), Failure::Vanished)));
        assert_eq!(documents.read(1, &settings, &mut text), Err((Source::default(), Failure::NotAFile)));
    }
}
