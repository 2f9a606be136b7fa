//! Memory that several processes share: an append-only log, tables of atomic numbers, and rows of an output file.
//!
//! Owns the maps and the reasons why they are sound; the other files use them without `unsafe`. Three rules keep
//! them so. A log has one writer, which never touches a byte below the mark that it has published. A table's
//! elements are atomics. An output file's rows are mapped by the one worker that fills them. Nothing here blocks.
//!
//! Maps lie in memory as long as a [`Store`]'s budget lasts, and in scratch files beyond it. The disk under a scratch
//! file is reserved before it is written to, so that a full disk is an error and not a signal.

#![expect(unsafe_code, reason = "shared maps: raw memory, given out by the three rules above")]

use memmap2::{Advice, Mmap, MmapMut, MmapOptions, MmapRaw, UncheckedAdvice};
use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statvfs::{fstatvfs, statvfs};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Where maps lie: in memory up to a budget, in unnamed files of a scratch directory beyond it. Clones share the
/// budget. Only the coordinator makes maps.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shelves>);

#[derive(Debug)]
struct Shelves {
    /// Bytes of memory that are not given out.
    memory: AtomicU64,
    /// Bytes of addresses that no log in a file has; `u64::MAX` where there is no limit.
    addresses: AtomicU64,
    scratch: Option<PathBuf>,
    /// Bytes that were given out on disk, in all.
    on_disk: AtomicU64,
}

impl Store {
    /// Maps of `memory` bytes in all, and beyond that in `scratch`.
    pub fn new(memory: u64, scratch: Option<PathBuf>) -> Self {
        Store::bounded(memory, scratch, u64::MAX)
    }

    /// The same, where logs in files may take `addresses` bytes of this process's addresses in all (`ulimit -v`).
    pub fn bounded(memory: u64, scratch: Option<PathBuf>, addresses: u64) -> Self {
        let [memory, addresses, on_disk] = [memory, addresses, 0].map(AtomicU64::new);
        Store(Arc::new(Shelves { memory, addresses, scratch, on_disk }))
    }

    /// How many bytes the next log in a file may have. Of a limited number of addresses it takes an eighth: there may be
    /// any number of logs, each of them smaller than the one before it.
    fn file_capacity(&self) -> usize {
        let left = self.0.addresses.load(Ordering::Relaxed);
        if left == u64::MAX {
            return FILE_CAPACITY;
        }
        let capacity = (left / 8).min(FILE_CAPACITY as u64);
        self.0.addresses.store(left - capacity, Ordering::Relaxed);
        capacity as usize
    }

    /// Maps in memory, as many as it holds.
    pub fn unlimited() -> Self {
        Store::new(u64::MAX, None)
    }

    /// Bytes of memory that maps may still take.
    pub fn memory_left(&self) -> u64 {
        self.0.memory.load(Ordering::Relaxed)
    }

    /// Bytes of memory that a log of one of `workers` is to have: its part of them. Where addresses are limited, less: a
    /// writer may leave most of its log empty, which gives memory back, but no addresses.
    pub fn memory_share(&self, workers: usize) -> usize {
        let addresses = self.0.addresses.load(Ordering::Relaxed);
        let most = if addresses == u64::MAX { u64::MAX } else { addresses / 16 };
        (self.memory_left() / workers as u64).min(most) as usize
    }

    /// Bytes of scratch files that were made so far.
    pub fn on_disk(&self) -> u64 {
        self.0.on_disk.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from the budget, if there are as many.
    fn take(&self, bytes: u64) -> Option<Share> {
        let left = self.memory_left().checked_sub(bytes)?;
        self.0.memory.store(left, Ordering::Relaxed);
        Some(Share { store: self.clone(), bytes: AtomicU64::new(bytes) })
    }

    /// A map for a table: in memory, or on disk that is reserved at once.
    fn region(&self, bytes: usize) -> io::Result<Region> {
        let bytes = bytes.max(1);
        if let Some(share) = self.take(bytes as u64) {
            return Region::in_memory(bytes, share);
        }
        let file = self.scratch_file()?;
        posix_fallocate(&file, 0, bytes as i64).map_err(|errno| match self.scratch() {
            Some(directory) => shortage(&file, directory, bytes as u64, errno.into()),
            None => errno.into(),
        })?;
        self.0.on_disk.fetch_add(bytes as u64, Ordering::Relaxed);
        Region::of_file(&file, bytes, self)
    }

    /// The directory of scratch files.
    pub fn scratch(&self) -> Option<&Path> {
        self.0.scratch.as_deref()
    }

    /// A new file without a name in the scratch directory.
    fn scratch_file(&self) -> io::Result<File> {
        let directory = self.0.scratch.as_deref().ok_or(io::ErrorKind::OutOfMemory)?;
        tempfile::tempfile_in(directory)
    }
}

/// Whether an error says that a disk has no room, or not for this user.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull)
}

/// What `error` says, and if that is a lack of disk for so many bytes of `file`, which lies in `directory` with the scratch
/// files, how much there is for it.
pub fn shortage(file: &File, directory: &Path, bytes: u64, error: io::Error) -> io::Error {
    if !is_full(&error) {
        return error;
    }
    let (shown, free) = (directory.display(), room(file));
    let needed = format!("{bytes} bytes are needed in {shown}, and {free} are free");
    io::Error::new(error.kind(), format!("{needed} (--scratch names another directory): {error}"))
}

/// Bytes of disk that there are for `file`: those that it has and those that are free. A reservation that fails may keep
/// what it found until then.
pub fn room(file: &File) -> u64 {
    let taken = file.metadata().map_or(0, |metadata| metadata.blocks() * 512);
    taken + fstatvfs(file).map_or(0, |disk| disk.blocks_available() * disk.fragment_size())
}

/// Bytes that are free on the disk of `directory`.
pub fn free(directory: &Path) -> u64 {
    statvfs(directory).map_or(0, |disk| disk.blocks_available() * disk.fragment_size())
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
struct Share {
    store: Store,
    bytes: AtomicU64,
}

impl Share {
    /// Gives back all but `kept` bytes.
    fn shrink(&self, kept: u64) {
        let had = self.bytes.swap(kept, Ordering::Relaxed);
        self.store.0.memory.fetch_add(had.saturating_sub(kept), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// A shared map of zeroes, inherited by forked children. Sparse: a page takes memory or disk once it is written.
#[derive(Debug)]
struct Region {
    map: MmapRaw,
    share: Share,
}

impl Region {
    fn in_memory(bytes: usize, share: Share) -> io::Result<Self> {
        let refused = |errno: Errno| match errno {
            Errno::ENOSYS | Errno::EPERM => io::Error::other(format!("memfd_create: {}", errno.desc())),
            errno => errno.into(),
        };
        let file = File::from(memfd_create(c"bowline", MFdFlags::MFD_CLOEXEC).map_err(refused)?);
        file.set_len(bytes as u64)?;
        Ok(Region { map: MmapOptions::new().len(bytes).map_raw(&file)?, share })
    }

    /// A map of a file that is as long as that.
    fn of_file(file: &File, bytes: usize, store: &Store) -> io::Result<Self> {
        let share = Share { store: store.clone(), bytes: AtomicU64::new(0) };
        Ok(Region { map: MmapOptions::new().len(bytes).map_raw(file)?, share })
    }

    /// Asks for the pages of a range in one go, which is cheaper than one by one as they are touched. A hint: without
    /// it, and where the kernel is older than 5.14, they come when they are touched.
    fn populate(&self, start: usize, bytes: usize) {
        let bytes = bytes.min(self.map.len().saturating_sub(start));
        let _ = self.map.advise_range(Advice::PopulateWrite, start, bytes);
    }

    /// The map as a slice of atomics.
    fn atomics<A: Atomic>(&self, length: usize) -> &[A] {
        assert!(length <= self.map.len() / size_of::<A>(), "a table is within its map");
        // SAFETY: the map is page-aligned, long enough (checked), zeroed at first, and lives as long as `self`.
        // Atomics may be shared and written by anyone at any time.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<A>(), length) }
    }
}

/// The types a [`Table`] may hold: atomics without padding, for which all zeroes are a value.
pub trait Atomic: sealed::Sealed + Sync {}
impl Atomic for AtomicU32 {}
impl Atomic for AtomicU64 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AtomicU32 {}
    impl Sealed for super::AtomicU64 {}
}

/// A fixed number of atomics in shared memory, zero at first. Clones share it.
#[derive(Debug)]
pub struct Table<A> {
    region: Arc<Region>,
    length: usize,
    element: PhantomData<A>,
}

impl<A> Clone for Table<A> {
    fn clone(&self) -> Self {
        Table { region: self.region.clone(), length: self.length, element: PhantomData }
    }
}

impl<A: Atomic> Table<A> {
    /// A table of `length` zeroes.
    ///
    /// # Errors
    /// The system's, if there is no memory, no disk or no descriptor for the map.
    pub fn new(length: usize, store: &Store) -> io::Result<Self> {
        let bytes = length.checked_mul(size_of::<A>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Table { region: Arc::new(store.region(bytes)?), length, element: PhantomData })
    }

    /// Says that the first `length` elements are about to be written.
    pub fn expect(&self, length: usize) {
        self.region.populate(0, length.min(self.length) * size_of::<A>());
    }
}

impl<A: Atomic> Deref for Table<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        self.region.atomics(self.length)
    }
}

/// Bytes before a log's first one: the mark lies there, on a cache line of its own.
const LOG_HEAD: usize = 64;

/// An append-only log of bytes in a shared map, with one writer and any number of readers.
#[derive(Debug)]
pub struct Log {
    region: Region,
    capacity: usize,
    /// Whether it lies in a file, whose disk it takes as it grows.
    is_in_file: bool,
    has_writer: AtomicBool,
    is_closed: AtomicBool,
}

/// Capacity of a log in a file, where addresses have no limit: more than any record takes, and little enough for two thousand logs in the address space
/// of a process (2^47 bytes).
const FILE_CAPACITY: usize = 1 << 36;

impl Log {
    /// An empty log that takes up to `capacity` bytes, all of them of `store`'s memory or else in a scratch file.
    ///
    /// # Errors
    /// The system's, if there is no memory, no disk, no address space or no descriptor for the map.
    pub fn new(capacity: usize, store: &Store) -> io::Result<Self> {
        store.region(LOG_HEAD + capacity).map(|region| Log::over(region, capacity))
    }

    /// The writer of an empty log that takes up to `wanted` bytes of `store`'s memory; or a quarter of that at least, if
    /// there is no more; or else in a scratch file as many as the disk holds.
    ///
    /// # Errors
    /// As for [`Log::new`].
    pub fn growing(wanted: usize, store: &Store) -> io::Result<LogWriter> {
        let capacity = wanted.min(store.memory_left().saturating_sub(LOG_HEAD as u64) as usize);
        if capacity >= (wanted / 4).max(1) || store.0.scratch.is_none() {
            return Log::new(capacity.max(1), store).map(|log| LogWriter::new(Arc::new(log), None));
        }
        Log::growing_in(store.scratch_file()?, store)
    }

    /// The writer of an empty log in an empty file, which takes as much as the disk holds. [`Log::recover`] opens it
    /// again.
    ///
    /// # Errors
    /// The system's, if there is no disk or no address space.
    pub fn growing_in(file: File, store: &Store) -> io::Result<LogWriter> {
        let capacity = store.file_capacity();
        file.set_len((LOG_HEAD + capacity) as u64)?;
        posix_fallocate(&file, 0, LOG_HEAD as i64)?;
        let region = Region::of_file(&file, LOG_HEAD + capacity, store)?;
        let log = Log { is_in_file: true, ..Log::over(region, capacity) };
        Ok(LogWriter::new(Arc::new(log), Some(file)))
    }

    /// The log that a process which is no more has left in a file. It is cut to what was committed and takes no writer.
    /// What it holds may be anything.
    ///
    /// # Errors
    /// The system's.
    pub fn recover(file: &File, store: &Store) -> io::Result<Self> {
        let mut mark = [0; size_of::<u64>()];
        let room = file.metadata()?.len().saturating_sub(LOG_HEAD as u64);
        let committed = match file.read_exact_at(&mut mark, 0) {
            Ok(()) => u64::from_ne_bytes(mark).min(room),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        let bytes = LOG_HEAD as u64 + committed;
        file.set_len(bytes)?;
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let log = Log::over(Region::of_file(file, length, store)?, length - LOG_HEAD);
        log.mark().store(committed, Ordering::Relaxed);
        log.has_writer.store(true, Ordering::Relaxed);
        Ok(log)
    }

    fn over(region: Region, capacity: usize) -> Self {
        let (has_writer, is_closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Log { region, capacity, is_in_file: false, has_writer, is_closed }
    }

    /// The log's writer: given out once.
    pub fn writer(self: &Arc<Self>) -> Option<LogWriter> {
        let taken = self.has_writer.swap(true, Ordering::Relaxed);
        (!taken).then(|| LogWriter::new(self.clone(), None))
    }

    /// Whether processes that are forked from now on have it. A hint, as far as the system knows it.
    pub fn inherit(&self, is_inherited: bool) {
        let advice = if is_inherited { Advice::DoFork } else { Advice::DontFork };
        let _ = self.region.map.advise(advice);
    }

    /// Says that the writer is gone: memory that it did not use is free for others, and so is disk.
    pub fn close(&self) {
        if self.is_closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let used = (LOG_HEAD + self.committed().len()) as u64;
        let share = &self.region.share;
        if !self.is_in_file {
            return share.shrink(used);
        }
        share.store.0.on_disk.fetch_add(used, Ordering::Relaxed);
        let (map, used) = (&self.region.map, used.next_multiple_of(PAGE) as usize);
        // Best effort: what is reserved in vain is given back when the file goes.
        // SAFETY: nothing beyond the mark is ever read, and nobody writes any more.
        let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::Remove, used, map.len() - used) };
    }

    /// Whether it lies in a file.
    pub fn is_in_file(&self) -> bool {
        self.is_in_file
    }

    fn mark(&self) -> &AtomicU64 {
        &self.region.atomics(1)[0]
    }

    /// Makes what is committed end at `end`, if it ends later. The writer is dead.
    pub fn truncate(&self, end: usize) {
        self.mark().fetch_min(end as u64, Ordering::Release);
    }

    /// What was committed. The writer may go on appending behind it.
    pub fn committed(&self) -> &[u8] {
        let length = (self.mark().load(Ordering::Acquire) as usize).min(self.capacity);
        // SAFETY: the range is within the map. The only writer has published the mark after it wrote these bytes,
        // and never writes below it again: they are constant from now on.
        unsafe { std::slice::from_raw_parts(self.region.map.as_ptr().add(LOG_HEAD), length) }
    }
}

/// Bytes of pages that a log's writer asks for in one go.
const POPULATED: usize = 256 << 10;

/// Bytes of disk that a log's writer reserves in one go.
const RESERVED: usize = 4 << 20;

/// Bytes of a page, or a few of them.
const PAGE: u64 = 64 << 10;

/// The one that may append to a [`Log`].
#[derive(Debug)]
pub struct LogWriter {
    log: Arc<Log>,
    /// The file under the log, where it lies in one.
    file: Option<File>,
    end: usize,
    /// Up to where pages were asked for, or disk.
    prepared: usize,
}

impl LogWriter {
    fn new(log: Arc<Log>, file: Option<File>) -> Self {
        log.has_writer.store(true, Ordering::Relaxed);
        LogWriter { log, file, end: 0, prepared: 0 }
    }

    /// What it writes to.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Bytes that were appended so far.
    pub fn len(&self) -> usize {
        self.end
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// The file under the log, where it lies in one.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.log.capacity - self.end
    }

    /// Appends `bytes`, which readers don't see before [`LogWriter::commit`].
    ///
    /// # Errors
    /// The system's, if the log lies in a scratch file and the disk is full. What was appended since the last commit
    /// is lost then.
    ///
    /// # Panics
    /// If they don't fit: the caller asks [`LogWriter::room`] first.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(bytes.len() <= self.room(), "a record is within its segment");
        if self.end + bytes.len() > self.prepared {
            self.prepare(bytes.len())?;
        }
        // SAFETY: the range is within the map (checked) and above the mark, where this writer, the only one, is
        // also the only one to look. The disk under it is reserved.
        unsafe {
            let end = self.log.region.map.as_mut_ptr().add(LOG_HEAD + self.end);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len());
        }
        self.end += bytes.len();
        Ok(())
    }

    /// Sees to it that `bytes` more can be written.
    #[cold]
    fn prepare(&mut self, bytes: usize) -> io::Result<()> {
        match &self.file {
            None => {
                let ahead = POPULATED.max(bytes);
                self.log.region.populate(LOG_HEAD + self.prepared, ahead);
                self.prepared += ahead;
            }
            Some(file) => {
                let start = LOG_HEAD + self.end;
                let mut ahead = RESERVED.max(bytes).min(self.room());
                let reserve = |bytes: usize| posix_fallocate(file, start as i64, bytes as i64);
                let reserved = reserve(ahead).or_else(|errno| {
                    // The last of the disk is enough for one more record, perhaps.
                    ahead = bytes;
                    if is_full(&errno.into()) { reserve(bytes) } else { Err(errno) }
                });
                if let Err(errno) = reserved {
                    self.end = self.log.mark().load(Ordering::Relaxed) as usize;
                    return Err(errno.into());
                }
                self.prepared = self.end + ahead;
            }
        }
        Ok(())
    }

    /// Makes all that was appended visible to readers, at once.
    pub fn commit(&mut self) {
        self.log.mark().store(self.end as u64, Ordering::Release);
    }
}

/// Maps `bytes` bytes of `file` from `offset` on, to be written by the caller alone.
///
/// # Errors
/// The system's, for example if the file is shorter.
pub fn output_rows(file: &File, offset: u64, bytes: usize) -> io::Result<MmapMut> {
    // SAFETY: the file is the run's own, not yet under its final name, and each range of rows belongs to one task;
    // its space is reserved, so that no write beyond the disk's end can raise a signal.
    unsafe { MmapOptions::new().offset(offset).len(bytes).map_mut(file) }
}

/// Maps a file that is only read.
///
/// # Errors
/// The system's.
pub fn input(file: &File) -> io::Result<Mmap> {
    // SAFETY: an output is renamed into place once it is whole and never written again by this program. Somebody
    // else who shortens it meanwhile ends a command that only shows it, and spoils no result.
    unsafe { Mmap::map(file) }
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
        writer.commit();
        writer.append(b"two").unwrap();
        assert_eq!(log.committed(), b"one");
        writer.commit();
        assert_eq!(log.committed(), b"onetwo");
        assert_eq!(writer.room(), 94);
    }

    #[test]
    fn maps_beyond_the_budget_lie_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(1000, Some(dir.path().to_owned()));
        let table: Table<AtomicU64> = Table::new(100, &store).unwrap();
        assert_eq!((store.memory_left(), store.on_disk()), (200, 0));
        let beyond: Table<AtomicU64> = Table::new(100, &store).unwrap();
        assert_eq!((store.memory_left(), store.on_disk()), (200, 800));
        beyond[99].store(7, Ordering::Relaxed);
        assert_eq!(beyond.iter().map(|word| word.load(Ordering::Relaxed)).sum::<u64>(), 7);
        drop(table);
        assert_eq!(store.memory_left(), 1000);
        assert!(Table::<AtomicU64>::new(200, &Store::new(1000, None)).is_err(), "there is no scratch");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "scratch files have no name");
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
            writer.commit();
        }
        drop(writer);
        large.close();
        assert_eq!(large.committed().len(), 10_000_000);
        assert!((0..100).all(|byte| large.committed()[byte * 100_000] == byte as u8));
        assert_eq!(store.on_disk(), 10_000_000 + LOG_HEAD as u64);
        small.log().close();
        assert_eq!(store.memory_left(), 10_000 - LOG_HEAD as u64);
    }

    #[test]
    fn a_log_in_a_file_is_found_again() {
        let (path, store) = (tempfile::NamedTempFile::new().unwrap(), Store::unlimited());
        let mut writer = Log::growing_in(path.reopen().unwrap(), &store).unwrap();
        writer.append(b"committed").unwrap();
        writer.commit();
        writer.append(b"not committed").unwrap();
        assert!(writer.log().writer().is_none(), "there is one writer");
        drop(writer);
        let log = Arc::new(Log::recover(&path.reopen().unwrap(), &store).unwrap());
        assert_eq!((log.committed(), log.writer().is_none()), (&b"committed"[..], true));
        // Whatever stands in the file, there is never more than it holds.
        for (content, committed) in [(vec![], 0), (vec![255; 63], 0), (vec![255; 64], 0), (vec![255; 70], 6)]
        {
            std::fs::write(path.path(), content).unwrap();
            let log = Log::recover(&path.reopen().unwrap(), &store).unwrap();
            assert_eq!(log.committed().len(), committed);
        }
    }

    #[test]
    fn a_mark_beyond_the_end_shows_no_more_than_there_is() {
        let log = Log::new(10, &Store::unlimited()).unwrap();
        log.mark().store(u64::MAX, Ordering::Release);
        assert_eq!(log.committed().len(), 10);
    }

    #[test]
    fn clones_of_a_table_share_it() {
        let table: Table<AtomicU32> = Table::new(5, &Store::unlimited()).unwrap();
        table.clone()[3].store(7, Ordering::Relaxed);
        assert_eq!(table.iter().map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>(), [0, 0, 0, 7, 0]);
        assert!(Table::<AtomicU64>::new(0, &Store::unlimited()).unwrap().is_empty());
    }
}
