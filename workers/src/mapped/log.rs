//! Append-only logs of bytes, with one writer and any number of readers.
//!
//! Owns the mark up to which a log's bytes are constant, and the writer that publishes it.

#![expect(unsafe_code, reason = "bytes below the mark are read, and above it written, in one shared map")]

use super::map::{Map, Passage, Region, kind, name, start_write_back};
use super::store::Store;
use crate::private_log::{CAPACITY, PrivateLog, PrivateWriter};
use memmap2::{Advice, MmapOptions};
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes before the first byte of a log in memory. They hold the mark, on a cache line of its own.
const LOG_HEAD: usize = 64;

/// An append-only log of bytes, with one writer and any number of readers. In memory, the log is a map that the writer
/// stores to. In a file, the log begins at the file's first byte: the writer calls `pwrite`, readers have a read-only
/// map, and only the mark is in memory. A private log is an allocation, which readers get when its writer is dropped.
#[derive(Debug)]
pub(crate) struct Log {
    place: Place,
    /// Bytes that readers may access at most.
    capacity: usize,
    has_writer: AtomicBool,
    is_closed: AtomicBool,
}

/// Where the bytes of a log are.
#[derive(Debug)]
enum Place {
    Shared {
        /// The mark, and the bytes of a log in memory.
        region: Region,
        /// The bytes of a log in a file.
        file: Option<Map>,
    },
    /// An allocation.
    Private(PrivateLog),
}

/// Capacity in bytes of a log in a file where address space has no limit: 64 GiB. It exceeds any record, and two thousand
/// such logs fit in the address space of a process (2^47 bytes).
pub(super) const FILE_CAPACITY: usize = 1 << 36;

impl Log {
    /// Creates an empty log of up to `capacity` bytes, either all of them in `store`'s memory or in a scratch file.
    ///
    /// # Errors
    /// The system's error, if memory, disk, address space or descriptors for the map run out.
    pub(crate) fn new(capacity: usize, store: &Store) -> io::Result<Self> {
        if store.is_private() {
            return Ok(Log::at(Place::Private(PrivateLog::default()), CAPACITY));
        }
        store.region(LOG_HEAD + capacity, name::LOG).map(|region| Log::over(region, None, capacity))
    }

    /// Creates an empty log and returns its writer. The log takes up to `wanted` bytes of `store`'s memory. If there is
    /// less, it takes at least a quarter of `wanted`; if there is less than that, a scratch file as long as the disk
    /// allows, to which commits are written many at a time.
    ///
    /// # Errors
    /// As for [`Log::new`].
    pub(crate) fn growing(wanted: usize, store: &Store) -> io::Result<LogWriter> {
        if store.is_private() {
            return Log::new(wanted, store).map(|log| LogWriter::new(Arc::new(log), None));
        }
        let capacity = wanted.min(store.memory_left().saturating_sub(LOG_HEAD as u64) as usize);
        if capacity >= (wanted / 4).max(1) || store.scratch().is_none() {
            return Log::new(capacity.max(1), store).map(|log| LogWriter::new(Arc::new(log), None));
        }
        let writer = Log::growing_in(store.scratch_file()?, store)?;
        Ok(LogWriter { writes_each_commit: false, ..writer })
    }

    /// Creates an empty log in an empty file, as long as the disk allows, and returns its writer. Each commit is written
    /// to the file at once, so that [`Log::recover`] finds it there even if all processes of the run are killed.
    ///
    /// # Errors
    /// The system's error, if disk or address space runs out.
    pub(crate) fn growing_in(file: File, store: &Store) -> io::Result<LogWriter> {
        // A map may be read up to the end of its file and no further. The file is as long as the map from the start,
        // and sparse, so that it can be read wherever a wild write has put the mark.
        let limit = store.file_capacity();
        let mut capacity = limit;
        while let Err(error) = file.set_len(capacity as u64) {
            // Some file systems do not support files of that length, and a limit (ulimit -f) may allow less.
            if error.kind() != io::ErrorKind::FileTooLarge || capacity == 1 {
                return Err(error);
            }
            capacity /= 2;
        }
        let log = Log::in_file(&file, capacity, store)?;
        Ok(LogWriter { limit, ..LogWriter::new(Arc::new(log), Some(file)) })
    }

    /// Recovers the log that a process of an earlier run left in a file. `find_end` receives all bytes of the file,
    /// which may be invalid, and returns how many of them belong to the log. The file is truncated to that length. The
    /// log takes no writer.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn recover(
        file: &File,
        store: &Store,
        find_end: impl FnOnce(&[u8]) -> usize,
    ) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(FILE_CAPACITY);
        let mut log = Log::in_file(file, length, store)?;
        log.set_mark(length);
        log.capacity = find_end(log.committed()).min(length);
        store.check()?;
        log.set_mark(log.capacity);
        log.has_writer.store(true, Ordering::Relaxed);
        file.set_len(log.capacity as u64)?;
        Ok(log)
    }

    /// The log in a file of `capacity` bytes. A map of 0 bytes is not possible.
    fn in_file(file: &File, capacity: usize, store: &Store) -> io::Result<Self> {
        let bytes = MmapOptions::new().len(capacity.max(1)).map_raw_read_only(file)?;
        let head = Region::in_memory(LOG_HEAD, store.no_memory(), name::MARK)?;
        Ok(Log::over(head, Some(store.guarded(bytes, kind::LOG)?), capacity))
    }

    fn over(region: Region, file: Option<Map>, capacity: usize) -> Self {
        Log::at(Place::Shared { region, file }, capacity)
    }

    fn at(place: Place, capacity: usize) -> Self {
        let (has_writer, is_closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Log { place, capacity, has_writer, is_closed }
    }

    /// The log's writer. Only the first call returns it.
    pub(crate) fn writer(self: &Arc<Self>) -> Option<LogWriter> {
        let taken = self.has_writer.swap(true, Ordering::Relaxed);
        (!taken).then(|| LogWriter::new(self.clone(), None))
    }

    /// Sets whether processes that are forked from now on inherit the log. A hint, where the system supports it.
    pub(crate) fn inherit(&self, is_inherited: bool) {
        let Place::Shared { region, file } = &self.place else { return };
        let advice = if is_inherited { Advice::DoFork } else { Advice::DontFork };
        for map in file.iter().chain([&region.map]) {
            let _ = map.advise(advice);
        }
    }

    /// Marks the writer as finished and returns the memory that it did not use.
    pub(crate) fn close(&self) {
        if self.is_closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let used = self.committed().len() as u64;
        match &self.place {
            Place::Shared { region, file: None } => region.share.shrink(LOG_HEAD as u64 + used),
            Place::Shared { region, file: Some(_) } => region.share.store.add_on_disk(used),
            Place::Private(_) => {}
        }
    }

    /// Whether the log is in a file.
    pub(crate) fn is_in_file(&self) -> bool {
        matches!(&self.place, Place::Shared { file: Some(_), .. })
    }

    /// The map that the bytes are in.
    fn map(&self) -> Option<&Map> {
        match &self.place {
            Place::Shared { region, file } => Some(file.as_ref().unwrap_or(&region.map)),
            Place::Private(_) => None,
        }
    }

    /// As [`Map::pass`], for a byte of the log.
    #[inline]
    pub(crate) fn pass(&self, at: usize, passage: &mut Passage) {
        match &self.place {
            Place::Shared { file: Some(bytes), .. } => bytes.pass(at, self.committed().len(), passage),
            Place::Shared { region, file: None } => region.map.pass(LOG_HEAD + at, region.map.len(), passage),
            Place::Private(_) => {}
        }
    }

    /// As [`Map::read_by_passages`].
    pub(crate) fn read_by_passages(&self) {
        self.map().iter().for_each(|map| map.read_by_passages());
    }

    /// Takes the pages of a file out of this process's memory until they are accessed again.
    pub(crate) fn give_back(&self) {
        self.map().iter().for_each(|map| map.give_back());
    }

    /// Bytes of the log that lie on the disk and not in memory.
    pub(crate) fn on_disk(&self) -> usize {
        if self.map().is_some_and(Map::is_on_disk) { self.committed().len() } else { 0 }
    }

    /// Requests all bytes that lie on the disk, for a reader that accesses them at random. A hint.
    pub(crate) fn expect(&self) {
        let bytes = self.on_disk();
        if let Some(map) = self.map().filter(|_| bytes > 0) {
            let _ = map.advise_range(Advice::WillNeed, 0, bytes);
        }
    }

    /// The mark of a shared log.
    fn mark(&self) -> Option<&AtomicU64> {
        match &self.place {
            Place::Shared { region, .. } => Some(&region.atomics(1)[0]),
            Place::Private(_) => None,
        }
    }

    fn set_mark(&self, end: usize) {
        self.mark().iter().for_each(|mark| mark.store(end as u64, Ordering::Release));
    }

    /// Moves the mark of a shared log back to `end` if it is beyond. The writer must be dead.
    pub(crate) fn truncate(&self, end: usize) {
        self.mark().iter().for_each(|mark| _ = mark.fetch_min(end as u64, Ordering::Release));
    }

    /// The committed bytes. The writer may continue to append behind them.
    pub(crate) fn committed(&self) -> &[u8] {
        let (region, file) = match &self.place {
            Place::Shared { region, file } => (region, file),
            Place::Private(log) => return log.committed(),
        };
        let mark: &AtomicU64 = &region.atomics(1)[0];
        let length = (mark.load(Ordering::Acquire) as usize).min(self.capacity);
        // SAFETY: the range is within the map, and of a file within the file. The only writer has published the mark
        // after it wrote these bytes, and never writes below it again: they are constant from now on.
        unsafe {
            let start = match file {
                Some(bytes) => bytes.as_ptr(),
                None => region.map.as_ptr().add(LOG_HEAD),
            };
            std::slice::from_raw_parts(start, length)
        }
    }
}

/// Bytes of pages that a log's writer requests at once: 256 KiB.
const POPULATED: usize = 256 << 10;

/// Bytes of a file whose writing to the disk a log's writer starts at once: 4 MiB.
const WRITTEN_BACK: usize = 4 << 20;

/// Bytes that a log's writer collects before it writes them to a file: 128 KiB. A call for each commit of a few hundred bytes
/// takes longer than the copying.
const PENDING: usize = 128 << 10;

/// The writer of a [`Log`].
#[derive(Debug)]
pub(crate) struct LogWriter {
    log: Arc<Log>,
    /// The file of the log, if it is in one, and the bytes that were appended and not yet written to it.
    file: Option<(File, Vec<u8>)>,
    /// The bytes of a private log.
    private: Option<PrivateWriter>,
    /// Whether a commit is written to the file at once.
    writes_each_commit: bool,
    /// Requested capacity in bytes. It exceeds the log's capacity where files cannot be that long.
    limit: usize,
    end: usize,
    /// The end at the last commit.
    committed: usize,
    /// In memory, the end of the range whose pages were requested; in a file, of the range whose writing to the disk was
    /// started.
    prepared: usize,
}

impl LogWriter {
    fn new(log: Arc<Log>, file: Option<File>) -> Self {
        log.has_writer.store(true, Ordering::Relaxed);
        let private = match &log.place {
            Place::Private(log) => Some(log.writer()),
            Place::Shared { .. } => None,
        };
        let limit = log.capacity;
        let file = file.map(|file| (file, Vec::new()));
        LogWriter { log, file, private, writes_each_commit: true, limit, end: 0, committed: 0, prepared: 0 }
    }

    /// The log that this writer appends to.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Bytes appended so far.
    pub(crate) fn len(&self) -> usize {
        self.end
    }

    /// The file of the log, if it is in one.
    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref().map(|(file, _)| file)
    }

    /// Bytes that still fit. If the system limits the length of files, bytes beyond that limit count as room and
    /// appending them is a system error: another file could not be longer.
    pub(crate) fn room(&self) -> usize {
        self.limit - self.end
    }

    /// Appends `bytes`. Readers do not see them before [`LogWriter::commit`].
    ///
    /// # Errors
    /// The system's error, if the log is in a file and the disk is full. Then all bytes that readers do not see are lost.
    ///
    /// # Panics
    /// If the bytes do not fit. The caller checks [`LogWriter::room`] first.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(bytes.len() <= self.room(), "a record is within its segment");
        let appended = match (&self.file, &mut self.private) {
            (_, Some(private)) => {
                private.append(bytes);
                Ok(())
            }
            (Some(_), None) => self.append_to_file(bytes),
            (None, None) => {
                self.store(bytes);
                Ok(())
            }
        };
        appended.or_else(|error| self.forget(error))?;
        self.end += bytes.len();
        Ok(())
    }

    fn append_to_file(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.end + bytes.len() > self.log.capacity {
            return Err(Errno::EFBIG.into());
        }
        let fits = |pending: &Vec<u8>| pending.len() + bytes.len() <= PENDING;
        if !self.file.as_ref().is_some_and(|(_, pending)| fits(pending)) {
            self.write_pending()?;
        }
        match &mut self.file {
            Some((file, pending)) if !fits(pending) => file.write_all_at(bytes, self.end as u64),
            Some((_, pending)) => {
                pending.extend_from_slice(bytes);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn store(&mut self, bytes: &[u8]) {
        let Place::Shared { region, .. } = &self.log.place else { return };
        if self.end + bytes.len() > self.prepared {
            let ahead = POPULATED.max(bytes.len());
            region.populate(LOG_HEAD + self.prepared, ahead);
            self.prepared += ahead;
        }
        // SAFETY: the range is within the map (checked) and above the mark, where only this writer, the only one,
        // accesses bytes. The range is memory, or reserved disk.
        unsafe {
            let end = region.map.as_mut_ptr().add(LOG_HEAD + self.end);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len());
        }
    }

    /// Makes all appended bytes visible to readers at once. In a scratch file, the last commits are visible only after
    /// [`LogWriter::flush`]: up to 128 KiB.
    ///
    /// # Errors
    /// As for [`LogWriter::append`].
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        self.committed = self.end;
        if self.file.is_some() && !self.writes_each_commit && self.end - self.seen() <= PENDING {
            return Ok(());
        }
        self.flush()
    }

    /// Bytes that readers of a shared log see.
    fn seen(&self) -> usize {
        self.log.mark().map_or(0, |mark| mark.load(Ordering::Relaxed)) as usize
    }

    /// Makes all committed bytes visible to readers.
    ///
    /// # Errors
    /// As for [`LogWriter::append`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write_pending().or_else(|error| self.forget(error))
    }

    /// Writes the pending bytes, if the log is in a file, and publishes the commits.
    fn write_pending(&mut self) -> io::Result<()> {
        if let Some((file, pending)) = &mut self.file {
            file.write_all_at(pending, (self.end - pending.len()) as u64)?;
            pending.clear();
            self.write_back();
        }
        match &mut self.private {
            Some(private) => private.commit(),
            None => self.log.set_mark(self.committed),
        }
        Ok(())
    }

    /// Starts the writing of a file's bytes to the disk, so that the kernel can drop their pages at once where memory is
    /// short: a control group of version 1 does not start it by itself.
    fn write_back(&mut self) {
        let bytes = self.end.saturating_sub(self.prepared);
        if let Some((file, _)) = self.file.as_ref().filter(|_| bytes >= WRITTEN_BACK) {
            start_write_back(file, self.prepared as u64, bytes as u64);
            self.prepared = self.end;
        }
    }

    /// Returns to the last commit that readers see, after an error.
    #[cold]
    fn forget(&mut self, error: io::Error) -> io::Result<()> {
        self.end = self.seen();
        self.committed = self.end;
        if let Some((_, pending)) = &mut self.file {
            pending.clear();
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_shows_what_was_committed() {
        let log = Arc::new(Log::new(100, &Store::unlimited()).unwrap());
        let mut writer = log.writer().expect("the first writer");
        assert!(log.writer().is_none(), "there is one writer");
        writer.append(b"one").unwrap();
        assert_eq!(log.committed(), b"");
        writer.commit().unwrap();
        writer.append(b"two").unwrap();
        assert_eq!(log.committed(), b"one");
        writer.commit().unwrap();
        assert_eq!(log.committed(), b"onetwo");
        assert_eq!(writer.room(), 94);
    }

    #[test]
    fn a_private_log_shows_what_was_committed_when_its_writer_is_gone() {
        let log = Arc::new(Log::new(3, &Store::private()).unwrap());
        let mut writer = log.writer().expect("the first writer");
        for part in [&b"one"[..], b"", b"-and-a-half"] {
            writer.append(part).unwrap();
        }
        writer.commit().unwrap();
        writer.append(b"two").unwrap();
        assert_eq!((log.committed(), log.writer().is_none(), writer.len()), (&b""[..], true, 17));
        drop(writer);
        assert_eq!(log.committed(), b"one-and-a-half");
        assert_eq!(log.committed().as_ptr().addr() % 8, 0);
    }

    #[test]
    fn a_log_grows_on_disk_where_memory_is_short() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(10_000, Some(dir.path().to_owned()));
        let small = Log::growing(20_000, &store).unwrap();
        assert!(small.room() <= 10_000);
        let mut writer = Log::growing(20_000, &store).unwrap();
        let large = writer.log().clone();
        for byte in 0..100u8 {
            writer.append(&vec![byte; 100_000]).unwrap();
            writer.commit().unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        large.close();
        assert_eq!(large.committed().len(), 10_000_000);
        assert!((0..100).all(|byte| large.committed()[byte * 100_000] == byte as u8));
        assert_eq!(store.on_disk(), 10_000_000);
        small.log().close();
        assert_eq!(store.memory_left(), 10_000 - LOG_HEAD as u64);
    }

    #[test]
    fn a_scratch_file_gets_commits_many_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Log::growing(10, &Store::new(0, Some(dir.path().to_owned()))).unwrap();
        let log = writer.log().clone();
        let mut seen = 0;
        // Of all sizes, in parts: each commit is seen as a whole or not at all.
        for (number, bytes) in [3, PENDING - 3, 1, PENDING + 1, 5, 3 * PENDING, 9].into_iter().enumerate() {
            writer.append(&vec![number as u8; bytes]).unwrap();
            writer.append(&[0xEE]).unwrap();
            assert!(matches!(log.committed(), [] | [.., 0xEE]));
            writer.commit().unwrap();
            assert!(log.committed().len() >= seen && writer.len() - log.committed().len() <= PENDING);
            seen = log.committed().len();
        }
        assert!(0 < seen && seen < writer.len());
        writer.flush().unwrap();
        assert_eq!(log.committed().len(), writer.len());
        assert_eq!(log.committed().iter().filter(|&&byte| byte == 0xEE).count(), 7);
        assert_eq!(log.committed()[..8], [0, 0, 0, 0xEE, 1, 1, 1, 1]);
        // What was committed and not written is lost after an error; the writer is where readers are.
        writer.append(b"lost").unwrap();
        writer.commit().unwrap();
        let read_only = File::open("/dev/null").unwrap();
        writer.file.as_mut().unwrap().0 = read_only;
        assert!(writer.flush().is_err());
        assert_eq!(writer.len(), log.committed().len());
    }

    #[test]
    fn a_log_in_a_file_is_found_again() {
        let (path, store) = (tempfile::NamedTempFile::new().unwrap(), Store::unlimited());
        let mut writer = Log::growing_in(path.reopen().unwrap(), &store).unwrap();
        writer.append(b"committed").unwrap();
        writer.commit().unwrap();
        writer.append(b"not committed").unwrap();
        assert!(writer.log().writer().is_none(), "there is one writer");
        drop(writer);
        assert_eq!(path.as_file().metadata().unwrap().len(), FILE_CAPACITY as u64);
        for (found, recovered) in [(9, 9), (usize::MAX, 9), (3, 3), (0, 0), (5, 0)] {
            let log = Arc::new(Log::recover(&path.reopen().unwrap(), &store, |_| found).unwrap());
            assert_eq!((log.committed(), log.writer().is_none()), (&b"committed"[..recovered], true));
            assert_eq!(path.as_file().metadata().unwrap().len(), recovered as u64);
            log.set_mark(usize::MAX);
            assert_eq!(log.committed().len(), recovered, "never more than the file holds");
            path.as_file().set_len(recovered.min(9) as u64).unwrap();
        }
    }

    #[test]
    fn what_was_not_committed_in_a_file_is_forgotten_after_an_error() {
        let (path, store) = (tempfile::NamedTempFile::new().unwrap(), Store::unlimited());
        let mut writer = Log::growing_in(path.reopen().unwrap(), &store).unwrap();
        writer.append(b"committed").unwrap();
        writer.commit().unwrap();
        let read_only = File::open(path.path()).unwrap();
        let (file, _) = writer.file.replace((read_only, Vec::new())).unwrap();
        writer.append(b"lost").unwrap();
        assert!(writer.commit().is_err() && writer.append(&vec![1; PENDING + 1]).is_err());
        writer.file = Some((file, Vec::new()));
        // Large enough to be written before it is committed.
        writer.append(&vec![7; PENDING]).unwrap();
        writer.append(b"end").unwrap();
        assert_eq!(writer.log().committed(), b"committed");
        writer.commit().unwrap();
        let committed = writer.log().committed();
        assert_eq!((committed.len(), writer.len()), (9 + PENDING + 3, 9 + PENDING + 3));
        assert!(committed.starts_with(b"committed\x07") && committed.ends_with(b"\x07end"));
    }

    #[test]
    fn a_mark_beyond_the_end_shows_no_more_than_there_is() {
        let log = Log::new(10, &Store::unlimited()).unwrap();
        log.set_mark(usize::MAX);
        assert_eq!(log.committed().len(), 10);
    }
}
