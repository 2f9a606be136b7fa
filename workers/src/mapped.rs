//! Memory that several processes share: append-only logs, tables of atomic numbers, and files that are only read.
//!
//! Owns the maps and the reasons why they are sound; the other files use them without `unsafe`. Three rules keep
//! them so. A log has one writer, which never touches a byte below the mark that it has published. A table's
//! elements are atomics. An input is a file that is complete. Nothing here blocks.
//!
//! Maps are in memory as long as a [`Store`]'s budget lasts, and in scratch files beyond it. A store to the map of a
//! file for which the disk has no block raises SIGBUS, and the kernel may request blocks for a whole folio at a time.
//! To make a full disk an error and not a signal, files are written by `pwrite` and mapped for reading only: logs here,
//! and the output elsewhere. Tables need stores, so the disk under a table is reserved in whole pages before it is
//! mapped, and the file ends with its last page.
//!
//! A reservation does not suffice where a file system writes changed blocks elsewhere (btrfs, zfs, bcachefs), where a
//! disk fails, or where the system refuses to commit more memory: then the kernel raises SIGBUS. For that case, every
//! map is registered (`ranges`), and the handler (`crash::guard_maps`) notes the loss in a word that all processes
//! share. A worker process ends with the signal; a worker thread stops. In the coordinator, a map of zeroes replaces
//! the lost map, so that the coordinator continues to the next [`Store::check`], which returns the error. Reads and
//! writes of tables check nothing.

#![expect(unsafe_code, reason = "shared maps: raw memory, given out by the three rules above")]

use crate::ranges::{self, MapRange, Registration};
use memmap2::{Advice, Mmap, MmapOptions, MmapRaw, UncheckedAdvice};
use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::sys::statvfs::{fstatvfs, statvfs};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Creates maps: in memory up to a budget, and beyond it in unnamed files of a scratch directory. Clones share the
/// budget. Only the coordinator creates maps.
#[derive(Clone, Debug)]
pub struct Store(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    /// Bytes of memory that are still free.
    memory: AtomicU64,
    /// Bytes of address space still free for logs in files; `u64::MAX` where there is no limit.
    addresses: AtomicU64,
    scratch: Option<PathBuf>,
    /// Total bytes of disk that maps have taken.
    on_disk: AtomicU64,
    /// A word that all processes share: the kinds of the lost maps.
    losses: OnceLock<MmapRaw>,
}

/// Kinds of maps, as bits of the word of losses.
mod kind {
    /// A table in a scratch file.
    pub const TABLE: u32 = 1;
    /// A log in a file, mapped for reading only.
    pub const LOG: u32 = 2;
    /// A table or a log in memory.
    pub const MEMORY: u32 = 4;
}

impl Store {
    /// A store whose maps take up to `memory` bytes of memory, and scratch files in `scratch` beyond that.
    pub fn new(memory: u64, scratch: Option<PathBuf>) -> Self {
        Store::bounded(memory, scratch, u64::MAX)
    }

    /// As [`Store::new`], with logs in files limited to `addresses` bytes of this process's address space (`ulimit -v`).
    pub fn bounded(memory: u64, scratch: Option<PathBuf>, addresses: u64) -> Self {
        let [memory, addresses, on_disk] = [memory, addresses, 0].map(AtomicU64::new);
        Store(Arc::new(Budget { memory, addresses, scratch, on_disk, losses: OnceLock::new() }))
    }

    /// Returns an error if a map of this store was lost. Then no value that was read from its maps may be used.
    ///
    /// # Errors
    /// The loss of a map, with the likely cause.
    pub fn check(&self) -> io::Result<()> {
        let losses = match self.0.losses.get() {
            Some(_) => self.losses()?.load(Ordering::Relaxed),
            None => 0,
        };
        let scratch = self.0.scratch.as_deref().unwrap_or(Path::new("")).display();
        let (text, errno) = match losses {
            0 => return Ok(()),
            losses if losses & kind::TABLE != 0 => {
                (format!("a table in {scratch} was lost, since the disk is full or fails"), Errno::ENOSPC)
            }
            losses if losses & kind::LOG != 0 => (format!("rows in {scratch} can't be read"), Errno::EIO),
            _ => ("the system commits no more memory for maps".to_owned(), Errno::ENOMEM),
        };
        let error = io::Error::from(errno);
        Err(io::Error::new(error.kind(), format!("{text}: {error}")))
    }

    /// The word of losses. Its page exists before the first map, so that a signal handler can write it.
    fn losses(&self) -> io::Result<&AtomicU32> {
        let word = match self.0.losses.get() {
            Some(word) => word,
            None => {
                let file = memory_file()?;
                file.write_all_at(&[0; size_of::<AtomicU32>()], 0)?;
                let word = MmapOptions::new().len(size_of::<AtomicU32>()).map_raw(&file)?;
                self.0.losses.get_or_init(|| word)
            }
        };
        // SAFETY: the map is long enough, page-aligned, never written but as an atomic, and lives as long as the store.
        Ok(unsafe { &*word.as_ptr().cast::<AtomicU32>() })
    }

    /// Registers the map of a whole file.
    fn guarded(&self, map: MmapRaw, kind: u32) -> io::Result<Map> {
        let losses = std::ptr::from_ref(self.losses()?).cast_mut();
        let (start, bytes) = (map.as_ptr().addr(), map.len());
        let registration = ranges::register(MapRange { start, bytes, kind, losses });
        Ok(Map { _registration: registration, raw: map, kind })
    }

    /// Capacity in bytes of the next log in a file. Where address space is limited, a log takes an eighth of what is
    /// left: the number of logs is not known, and each is smaller than the one before it.
    fn file_capacity(&self) -> usize {
        let left = self.0.addresses.load(Ordering::Relaxed);
        if left == u64::MAX {
            return FILE_CAPACITY;
        }
        let capacity = (left / 8).min(FILE_CAPACITY as u64);
        self.0.addresses.store(left - capacity, Ordering::Relaxed);
        capacity as usize
    }

    /// A store without a memory limit.
    pub fn unlimited() -> Self {
        Store::new(u64::MAX, None)
    }

    /// Bytes of memory that maps may still take.
    pub(crate) fn memory_left(&self) -> u64 {
        self.0.memory.load(Ordering::Relaxed)
    }

    /// Bytes of memory for the log of one of `workers` workers: an equal part. Less where address space is limited: a
    /// writer may leave most of its log empty, which returns memory but not address space.
    pub fn memory_share(&self, workers: usize) -> usize {
        let addresses = self.0.addresses.load(Ordering::Relaxed);
        let most = if addresses == u64::MAX { u64::MAX } else { addresses / 16 };
        (self.memory_left() / workers as u64).min(most) as usize
    }

    /// Keeps a quarter of the memory that is left for later maps, until the reservation is dropped.
    pub fn reserve_quarter(&self) -> Reservation {
        Reservation { _share: self.take(self.memory_left() / 4) }
    }

    /// Total bytes of scratch files created so far.
    pub fn on_disk(&self) -> u64 {
        self.0.on_disk.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from the budget; `None` if it has less.
    fn take(&self, bytes: u64) -> Option<Share> {
        let left = self.memory_left().checked_sub(bytes)?;
        self.0.memory.store(left, Ordering::Relaxed);
        Some(Share { store: self.clone(), bytes: AtomicU64::new(bytes) })
    }

    /// Creates the map of a table: in memory, or in a file whose disk is reserved at once.
    fn region(&self, bytes: usize) -> io::Result<Region> {
        let bytes = bytes.max(1);
        if let Some(share) = self.take(bytes as u64) {
            return Region::in_memory(bytes, share);
        }
        let file = self.scratch_file()?;
        let shortage = |error: io::Error| match self.scratch() {
            Some(directory) => shortage(&file, directory, bytes as u64, error),
            None => error,
        };
        overwrite_in_place(&file);
        let reserved = bytes.checked_next_multiple_of(page()).and_then(|bytes| i64::try_from(bytes).ok());
        let reserved = reserved.ok_or(io::ErrorKind::OutOfMemory)?;
        posix_fallocate(&file, 0, reserved).map_err(|errno| shortage(errno.into()))?;
        self.0.on_disk.fetch_add(bytes as u64, Ordering::Relaxed);
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Region { map: self.guarded(map, kind::TABLE)?, share: self.no_memory() })
    }

    /// A share of 0 bytes.
    fn no_memory(&self) -> Share {
        Share { store: self.clone(), bytes: AtomicU64::new(0) }
    }

    /// The directory of scratch files.
    pub fn scratch(&self) -> Option<&Path> {
        self.0.scratch.as_deref()
    }

    /// Creates a file without a name in the scratch directory.
    fn scratch_file(&self) -> io::Result<File> {
        let directory = self.0.scratch.as_deref().ok_or(io::ErrorKind::OutOfMemory)?;
        tempfile::tempfile_in(directory)
    }
}

/// Whether an error means that a disk is full, or full for this user.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull)
}

/// Returns `error`. If it means that the disk has no room for `bytes` bytes of `file`, which is in `directory` with the
/// scratch files, adds how much room there is.
pub fn shortage(file: &File, directory: &Path, bytes: u64, error: io::Error) -> io::Error {
    if !is_full(&error) {
        return error;
    }
    let (shown, free) = (directory.display(), room(file));
    let needed = format!("{bytes} bytes are needed in {shown}, and {free} are free");
    io::Error::new(error.kind(), format!("{needed}: {error}"))
}

/// Bytes of disk available to `file`: those it has plus those that are free. A failed reservation may keep the blocks
/// that it found.
pub fn room(file: &File) -> u64 {
    let taken = file.metadata().map_or(0, |metadata| metadata.blocks() * 512);
    taken + fstatvfs(file).map_or(0, |disk| disk.blocks_available() * disk.fragment_size())
}

/// Free bytes on the disk of `directory`.
pub fn free(directory: &Path) -> u64 {
    statvfs(directory).map_or(0, |disk| disk.blocks_available() * disk.fragment_size())
}

/// Whether the files of `directory` lie in memory (tmpfs(5), ramfs).
pub fn is_in_memory(directory: &Path) -> bool {
    let in_memory = [TMPFS_MAGIC, FsType(RAMFS_MAGIC)];
    statfs(directory).is_ok_and(|disk| in_memory.contains(&disk.filesystem_type()))
}

/// The type of a ramfs (linux/magic.h).
const RAMFS_MAGIC: nix::libc::__fsword_t = 0x8584_58f6;

/// Asks the file system to overwrite the blocks of an empty file in place, which most file systems do by default. Btrfs
/// writes changed blocks elsewhere unless this flag is set (ioctl_iflags(2)), so a reservation alone does not suffice
/// there.
fn overwrite_in_place(file: &File) {
    let mut flags: nix::libc::c_long = 0;
    // SAFETY: both calls take an open file and an integer on the stack, which they read or set, and touch nothing else. A
    // file system that does not know the flag returns an error and does not need it.
    unsafe {
        if nix::libc::ioctl(file.as_raw_fd(), nix::libc::FS_IOC_GETFLAGS, &mut flags) == 0 {
            flags |= FS_NOCOW_FL;
            let _ = nix::libc::ioctl(file.as_raw_fd(), nix::libc::FS_IOC_SETFLAGS, &flags);
        }
    }
}

/// The file attribute that disables copy on write (linux/fs.h).
const FS_NOCOW_FL: nix::libc::c_long = 0x0080_0000;

/// Bytes of a page of memory.
fn page() -> usize {
    // SAFETY: the call takes a number and touches no memory. It does not fail for this number (sysconf(3)).
    let bytes = unsafe { nix::libc::sysconf(nix::libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(64 << 10)
}

/// Bytes of a budget. Dropping it returns them.
#[derive(Debug)]
struct Share {
    store: Store,
    bytes: AtomicU64,
}

impl Share {
    /// Returns all but `kept` bytes.
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

/// Memory that is kept for maps of later phases.
#[derive(Debug)]
pub struct Reservation {
    _share: Option<Share>,
}

/// A map that is registered for as long as it exists.
#[derive(Debug)]
struct Map {
    /// Dropped before the map.
    _registration: Registration,
    raw: MmapRaw,
    kind: u32,
}

/// Bytes of a map that are requested at once by a [`Passage`]: 128 KiB.
const WINDOW: usize = 128 << 10;

/// The place of a reader or writer that goes through a map in order, with many other maps beside it. The kernel would read
/// megabytes around each page of a file that is touched, and drop them again for those of the other maps. A passage
/// requests a window at a time, one window ahead, and unmaps it when it has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passage {
    start: usize,
    end: usize,
}

impl Map {
    /// Notes that `passage` has come to byte `at`.
    #[inline]
    fn pass(&self, at: usize, passage: &mut Passage) {
        if at.wrapping_sub(passage.start) >= passage.end - passage.start {
            self.next_window(at, passage);
        }
    }

    #[cold]
    fn next_window(&self, at: usize, passage: &mut Passage) {
        if self.kind == kind::MEMORY {
            *passage = Passage { start: 0, end: usize::MAX };
            return;
        }
        let Passage { start, end } = *passage;
        self.unmap_pages(start, end);
        let start = at - at % WINDOW;
        *passage = Passage { start, end: start + WINDOW };
        let ahead = self.len().saturating_sub(start).min(2 * WINDOW);
        // A hint: without it, each page is read when it is touched.
        let _ = self.advise_range(Advice::WillNeed, start, ahead);
    }

    /// Turns off the kernel's reading around pages, for a map that is read by passages. A hint.
    fn read_by_passages(&self) {
        if self.kind != kind::MEMORY {
            let _ = self.advise(Advice::Random);
        }
    }

    /// Takes the pages of a file out of this process's memory. The file keeps their bytes, and the next access maps them
    /// again. A map in memory is left alone. A hint.
    fn give_back(&self) {
        self.unmap_pages(0, self.len());
    }

    fn unmap_pages(&self, start: usize, end: usize) {
        let end = end.min(self.len());
        if self.kind != kind::MEMORY && start < end {
            // SAFETY: the map is shared with its file, so its bytes stay the same (madvise(2), MADV_DONTNEED).
            let _ = unsafe { self.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        }
    }
}

impl Deref for Map {
    type Target = MmapRaw;

    fn deref(&self) -> &MmapRaw {
        &self.raw
    }
}

/// A map for which the kernel has raised SIGBUS.
pub(crate) struct LostMap(MapRange);

impl LostMap {
    /// Notes the loss of the registered map that contains `address` and returns the map. Safe in a SIGBUS handler: only
    /// loads and stores of atomics.
    pub(crate) fn at(address: usize) -> Option<Self> {
        let range = ranges::find(address)?;
        // SAFETY: the map's store has the word for as long as the map is registered, and the thread that was interrupted
        // is using the map.
        unsafe { &*range.losses }.fetch_or(range.kind, Ordering::Relaxed);
        Some(LostMap(range))
    }

    /// Replaces the lost map with a map of zeroes. Returns whether that succeeded. Safe in a SIGBUS handler: one system
    /// call.
    pub(crate) fn replace(&self) -> bool {
        let MapRange { start, bytes, kind, .. } = self.0;
        let written = if kind == kind::LOG { 0 } else { nix::libc::PROT_WRITE };
        let flags = nix::libc::MAP_FIXED
            | nix::libc::MAP_SHARED
            | nix::libc::MAP_ANONYMOUS
            | nix::libc::MAP_NORESERVE;
        // SAFETY: the range is that of one map, which begins and ends at a page and stays a map of the same length and
        // protection. Its bytes may change at any time for its users, since it is shared; `Store::check` reports that
        // they are no longer valid.
        let map = unsafe {
            let place = std::ptr::with_exposed_provenance_mut(start);
            nix::libc::mmap(place, bytes, nix::libc::PROT_READ | written, flags, -1, 0)
        };
        map != nix::libc::MAP_FAILED
    }
}

/// Creates a file in memory, without a name.
fn memory_file() -> io::Result<File> {
    let refused = |errno: Errno| match errno {
        Errno::ENOSYS | Errno::EPERM => io::Error::other(format!("memfd_create: {}", errno.desc())),
        errno => errno.into(),
    };
    Ok(File::from(memfd_create(c"bowline", MFdFlags::MFD_CLOEXEC).map_err(refused)?))
}

/// A shared map of zeroes, inherited by forked children. Sparse: a page takes memory or disk only after a write.
#[derive(Debug)]
struct Region {
    map: Map,
    share: Share,
}

impl Region {
    fn in_memory(bytes: usize, share: Share) -> io::Result<Self> {
        let file = memory_file()?;
        file.set_len(bytes as u64)?;
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Region { map: share.store.guarded(map, kind::MEMORY)?, share })
    }

    /// Requests the pages of a range in one call, which is cheaper than a fault for each page. A hint: without it, and on
    /// kernels older than 5.14, each page is allocated when it is touched.
    fn populate(&self, start: usize, bytes: usize) {
        let bytes = bytes.min(self.map.len().saturating_sub(start));
        if self.map.kind != kind::MEMORY {
            // Reserved disk has no bytes yet: its pages are made many at a time, and nothing is read.
            let _ = self.map.advise_range(Advice::WillNeed, start, bytes);
        }
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

/// The element types of a [`Table`]: atomics without padding, for which all zeroes are a value.
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
    /// Creates a table of `length` zeroes.
    ///
    /// # Errors
    /// The system's error, if memory, disk or descriptors for the map run out.
    pub fn new(length: usize, store: &Store) -> io::Result<Self> {
        let bytes = length.checked_mul(size_of::<A>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Table { region: Arc::new(store.region(bytes)?), length, element: PhantomData })
    }

    /// As [`Map::pass`], for an element.
    #[inline]
    pub(crate) fn pass(&self, element: usize, passage: &mut Passage) {
        self.region.map.pass(element * size_of::<A>(), passage);
    }

    /// As [`Map::read_by_passages`].
    pub(crate) fn read_by_passages(&self) {
        self.region.map.read_by_passages();
    }

    /// Takes the pages of a scratch file out of this process's memory until they are accessed again.
    pub(crate) fn give_back(&self) {
        self.region.map.give_back();
    }

    /// Announces that the first `length` elements will be written soon.
    pub(crate) fn expect(&self, length: usize) {
        self.region.populate(0, length.min(self.length) * size_of::<A>());
    }
}

impl<A: Atomic> Deref for Table<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        self.region.atomics(self.length)
    }
}

/// Bytes before the first byte of a log in memory. They hold the mark, on a cache line of its own.
const LOG_HEAD: usize = 64;

/// An append-only log of bytes, with one writer and any number of readers. In memory, the log is a map that the writer
/// stores to. In a file, the log begins at the file's first byte: the writer calls `pwrite`, readers have a read-only
/// map, and only the mark is in memory.
#[derive(Debug)]
pub(crate) struct Log {
    /// The mark, and the bytes of a log in memory.
    region: Region,
    /// The bytes of a log in a file.
    file: Option<Map>,
    /// Bytes that readers may access at most.
    capacity: usize,
    has_writer: AtomicBool,
    is_closed: AtomicBool,
}

/// Capacity in bytes of a log in a file where address space has no limit: 64 GiB. It exceeds any record, and two thousand
/// such logs fit in the address space of a process (2^47 bytes).
const FILE_CAPACITY: usize = 1 << 36;

impl Log {
    /// Creates an empty log of up to `capacity` bytes, either all of them in `store`'s memory or in a scratch file.
    ///
    /// # Errors
    /// The system's error, if memory, disk, address space or descriptors for the map run out.
    pub(crate) fn new(capacity: usize, store: &Store) -> io::Result<Self> {
        store.region(LOG_HEAD + capacity).map(|region| Log::over(region, None, capacity))
    }

    /// Creates an empty log and returns its writer. The log takes up to `wanted` bytes of `store`'s memory. If there is
    /// less, it takes at least a quarter of `wanted`; if there is less than that, a scratch file as long as the disk
    /// allows.
    ///
    /// # Errors
    /// As for [`Log::new`].
    pub(crate) fn growing(wanted: usize, store: &Store) -> io::Result<LogWriter> {
        let capacity = wanted.min(store.memory_left().saturating_sub(LOG_HEAD as u64) as usize);
        if capacity >= (wanted / 4).max(1) || store.0.scratch.is_none() {
            return Log::new(capacity.max(1), store).map(|log| LogWriter::new(Arc::new(log), None));
        }
        Log::growing_in(store.scratch_file()?, store)
    }

    /// Creates an empty log in an empty file, as long as the disk allows, and returns its writer. [`Log::recover`]
    /// opens it again.
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
        log.mark().store(length as u64, Ordering::Relaxed);
        log.capacity = find_end(log.committed()).min(length);
        store.check()?;
        log.mark().store(log.capacity as u64, Ordering::Relaxed);
        log.has_writer.store(true, Ordering::Relaxed);
        file.set_len(log.capacity as u64)?;
        Ok(log)
    }

    /// The log in a file of `capacity` bytes. A map of 0 bytes is not possible.
    fn in_file(file: &File, capacity: usize, store: &Store) -> io::Result<Self> {
        let bytes = MmapOptions::new().len(capacity.max(1)).map_raw_read_only(file)?;
        let head = Region::in_memory(LOG_HEAD, store.no_memory())?;
        Ok(Log::over(head, Some(store.guarded(bytes, kind::LOG)?), capacity))
    }

    fn over(region: Region, file: Option<Map>, capacity: usize) -> Self {
        let (has_writer, is_closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Log { region, file, capacity, has_writer, is_closed }
    }

    /// The log's writer. Only the first call returns it.
    pub(crate) fn writer(self: &Arc<Self>) -> Option<LogWriter> {
        let taken = self.has_writer.swap(true, Ordering::Relaxed);
        (!taken).then(|| LogWriter::new(self.clone(), None))
    }

    /// Sets whether processes that are forked from now on inherit the log. A hint, where the system supports it.
    pub(crate) fn inherit(&self, is_inherited: bool) {
        let advice = if is_inherited { Advice::DoFork } else { Advice::DontFork };
        for map in self.file.iter().chain([&self.region.map]) {
            let _ = map.advise(advice);
        }
    }

    /// Marks the writer as finished and returns the memory that it did not use.
    pub(crate) fn close(&self) {
        if self.is_closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let used = self.committed().len() as u64;
        let share = &self.region.share;
        match self.file {
            None => share.shrink(LOG_HEAD as u64 + used),
            Some(_) => _ = share.store.0.on_disk.fetch_add(used, Ordering::Relaxed),
        }
    }

    /// Whether the log is in a file.
    pub(crate) fn is_in_file(&self) -> bool {
        self.file.is_some()
    }

    /// As [`Map::pass`], for a byte of the log.
    #[inline]
    pub(crate) fn pass(&self, at: usize, passage: &mut Passage) {
        match &self.file {
            Some(bytes) => bytes.pass(at, passage),
            None => self.region.map.pass(LOG_HEAD + at, passage),
        }
    }

    /// As [`Map::read_by_passages`].
    pub(crate) fn read_by_passages(&self) {
        self.file.as_ref().unwrap_or(&self.region.map).read_by_passages();
    }

    /// Takes the pages of a file out of this process's memory until they are accessed again.
    pub(crate) fn give_back(&self) {
        self.file.as_ref().unwrap_or(&self.region.map).give_back();
    }

    fn mark(&self) -> &AtomicU64 {
        &self.region.atomics(1)[0]
    }

    /// Moves the mark back to `end` if it is beyond. The writer must be dead.
    pub(crate) fn truncate(&self, end: usize) {
        self.mark().fetch_min(end as u64, Ordering::Release);
    }

    /// The committed bytes. The writer may continue to append behind them.
    pub(crate) fn committed(&self) -> &[u8] {
        let length = (self.mark().load(Ordering::Acquire) as usize).min(self.capacity);
        // SAFETY: the range is within the map, and of a file within the file. The only writer has published the mark
        // after it wrote these bytes, and never writes below it again: they are constant from now on.
        unsafe {
            let start = match &self.file {
                Some(bytes) => bytes.as_ptr(),
                None => self.region.map.as_ptr().add(LOG_HEAD),
            };
            std::slice::from_raw_parts(start, length)
        }
    }
}

/// Bytes of pages that a log's writer requests at once: 256 KiB.
const POPULATED: usize = 256 << 10;

/// Bytes of a file whose writing to the disk a log's writer starts at once: 4 MiB.
const WRITTEN_BACK: usize = 4 << 20;

/// Bytes that a log's writer collects before it writes them to a file, unless a commit comes first: 64 KiB.
const PENDING: usize = 64 << 10;

/// Starts writing, and waits for nothing (sync_file_range(2)).
const WRITE_BACK: nix::libc::c_uint = nix::libc::SYNC_FILE_RANGE_WRITE;

/// The writer of a [`Log`].
#[derive(Debug)]
pub(crate) struct LogWriter {
    log: Arc<Log>,
    /// The file of the log, if it is in one, and the bytes that were appended and not yet written to it.
    file: Option<(File, Vec<u8>)>,
    /// Requested capacity in bytes. It exceeds the log's capacity where files cannot be that long.
    limit: usize,
    end: usize,
    /// In memory, the end of the range whose pages were requested; in a file, of the range whose writing to the disk was
    /// started.
    prepared: usize,
}

impl LogWriter {
    fn new(log: Arc<Log>, file: Option<File>) -> Self {
        log.has_writer.store(true, Ordering::Relaxed);
        let limit = log.capacity;
        LogWriter { log, file: file.map(|file| (file, Vec::new())), limit, end: 0, prepared: 0 }
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
    /// The system's error, if the log is in a file and the disk is full. Then all bytes appended since the last commit
    /// are lost.
    ///
    /// # Panics
    /// If the bytes do not fit. The caller checks [`LogWriter::room`] first.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(bytes.len() <= self.room(), "a record is within its segment");
        match &mut self.file {
            Some((file, pending)) => {
                let written = append_to(file, pending, self.end, self.log.capacity, bytes);
                written.or_else(|error| self.forget(error))?;
            }
            None => self.store(bytes),
        }
        self.end += bytes.len();
        Ok(())
    }

    fn store(&mut self, bytes: &[u8]) {
        if self.end + bytes.len() > self.prepared {
            let ahead = POPULATED.max(bytes.len());
            self.log.region.populate(LOG_HEAD + self.prepared, ahead);
            self.prepared += ahead;
        }
        // SAFETY: the range is within the map (checked) and above the mark, where only this writer, the only one,
        // accesses bytes. The range is memory, or reserved disk.
        unsafe {
            let end = self.log.region.map.as_mut_ptr().add(LOG_HEAD + self.end);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len());
        }
    }

    /// Makes all appended bytes visible to readers at once.
    ///
    /// # Errors
    /// As for [`LogWriter::append`].
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        if let Some((file, pending)) = &mut self.file {
            flush(file, pending, self.end).or_else(|error| self.forget(error))?;
            self.write_back();
        }
        self.log.mark().store(self.end as u64, Ordering::Release);
        Ok(())
    }

    /// Starts the writing of committed bytes to the disk, so that the kernel can drop their pages at once where memory is
    /// short: a control group of version 1 does not start it by itself. A hint.
    fn write_back(&mut self) {
        let bytes = self.end.saturating_sub(self.prepared);
        if let Some((file, _)) = self.file.as_ref().filter(|_| bytes >= WRITTEN_BACK) {
            let (start, bytes) = (self.prepared as nix::libc::off64_t, bytes as nix::libc::off64_t);
            // SAFETY: the call takes an open file and numbers, and touches no memory.
            unsafe { nix::libc::sync_file_range(file.as_raw_fd(), start, bytes, WRITE_BACK) };
            self.prepared = self.end;
        }
    }

    /// Returns to the last commit after an error.
    #[cold]
    fn forget(&mut self, error: io::Error) -> io::Result<()> {
        self.end = self.log.mark().load(Ordering::Relaxed) as usize;
        if let Some((_, pending)) = &mut self.file {
            pending.clear();
        }
        Err(error)
    }
}

/// Appends to a file that ends at `end` with the pending bytes, and may have `capacity` bytes.
fn append_to(
    file: &File,
    pending: &mut Vec<u8>,
    end: usize,
    capacity: usize,
    bytes: &[u8],
) -> io::Result<()> {
    if end + bytes.len() > capacity {
        return Err(Errno::EFBIG.into());
    }
    if pending.len() + bytes.len() <= PENDING {
        pending.extend_from_slice(bytes);
        return Ok(());
    }
    flush(file, pending, end)?;
    file.write_all_at(bytes, end as u64)
}

/// Writes the pending bytes, so that the file ends at `end`.
fn flush(file: &File, pending: &mut Vec<u8>, end: usize) -> io::Result<()> {
    file.write_all_at(pending, (end - pending.len()) as u64)?;
    pending.clear();
    Ok(())
}

/// Maps a complete file for reading.
///
/// # Errors
/// The system's error.
pub fn input(file: &File) -> io::Result<Mmap> {
    // SAFETY: an output is renamed into place once it is complete, and this program never writes it again. If another
    // program truncates it meanwhile, a command that only shows the output ends; no result is damaged.
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
        writer.commit().unwrap();
        writer.append(b"two").unwrap();
        assert_eq!(log.committed(), b"one");
        writer.commit().unwrap();
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
            writer.commit().unwrap();
        }
        drop(writer);
        large.close();
        assert_eq!(large.committed().len(), 10_000_000);
        assert!((0..100).all(|byte| large.committed()[byte * 100_000] == byte as u8));
        assert_eq!(store.on_disk(), 10_000_000);
        small.log().close();
        assert_eq!(store.memory_left(), 10_000 - LOG_HEAD as u64);
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
            log.mark().store(u64::MAX, Ordering::Relaxed);
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
        log.mark().store(u64::MAX, Ordering::Release);
        assert_eq!(log.committed().len(), 10);
    }

    /// A map of two pages of a file, and the file.
    fn map_of_file() -> (File, MmapRaw) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * page() as u64).unwrap();
        let map = MmapOptions::new().len(2 * page()).map_raw(&file).unwrap();
        (file, map)
    }

    #[test]
    fn a_map_that_loses_its_file_is_an_error_of_its_store() {
        crate::crash::guard_maps().unwrap();
        for lost in [kind::TABLE, kind::LOG, kind::MEMORY] {
            let [store, other] = [0, 1].map(|_| Store::new(0, Some(PathBuf::from("/scratch"))));
            let (file, map) = map_of_file();
            let region = Region { map: store.guarded(map, lost).unwrap(), share: store.no_memory() };
            let (_kept, map) = map_of_file();
            let beside = Region { map: other.guarded(map, kind::TABLE).unwrap(), share: other.no_memory() };
            let words = region.atomics::<AtomicU64>(2 * page() / 8);
            words[0].store(7, Ordering::Relaxed);
            assert!(store.check().is_ok());
            file.set_len(0).unwrap();
            if lost == kind::LOG {
                assert_eq!(words[1].load(Ordering::Relaxed), 0);
            } else {
                words[1].store(9, Ordering::Relaxed);
                assert_eq!([0, 1, 600].map(|n| words[n].load(Ordering::Relaxed)), [0, 9, 0]);
            }
            let error = store.check().unwrap_err().to_string();
            let option = if lost == kind::MEMORY { "commits no more memory" } else { "in /scratch" };
            assert!(error.contains(option), "{error}");
            beside.atomics::<AtomicU64>(1)[0].store(1, Ordering::Relaxed);
            assert!(other.check().is_ok(), "another store has lost nothing");
        }
    }

    #[test]
    #[ignore = "ends the process: the test below runs it"]
    fn ends_by_a_map_that_is_not_registered() {
        crate::crash::guard_maps().unwrap();
        let (file, map) = map_of_file();
        file.set_len(0).unwrap();
        // SAFETY: the address is within the map. The process does not survive it.
        unsafe { map.as_mut_ptr().write_volatile(1) };
    }

    #[test]
    fn any_other_address_ends_the_process_as_before() {
        use std::os::unix::process::ExitStatusExt as _;
        let name = "mapped::tests::ends_by_a_map_that_is_not_registered";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let status = child.args(["--exact", name, "--ignored"]).output().unwrap().status;
        assert_eq!(status.signal(), Some(nix::libc::SIGBUS), "{status}");
    }

    #[test]
    fn pages_that_are_given_back_keep_their_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let length = 3 * WINDOW / size_of::<AtomicU32>() + 7;
        for memory in [0, u64::MAX] {
            let store = Store::new(memory, Some(directory.path().to_owned()));
            let table: Table<AtomicU32> = Table::new(length, &store).unwrap();
            table.read_by_passages();
            let mut writer = Passage::default();
            for (number, element) in table.iter().enumerate() {
                table.pass(number, &mut writer);
                element.store(number as u32, Ordering::Relaxed);
            }
            // Also for a reader that skips, and one that comes back.
            for step in [1, 1000, length - 1] {
                table.give_back();
                let mut reader = Passage::default();
                for number in (0..length).step_by(step).chain([3, length - 1]) {
                    table.pass(number, &mut reader);
                    assert_eq!(table[number].load(Ordering::Relaxed), number as u32);
                }
            }
            assert_eq!(store.on_disk() > 0, memory == 0);
        }
    }

    #[test]
    fn a_reservation_ends() {
        let store = Store::new(1000, None);
        let reserved = store.reserve_quarter();
        assert_eq!(store.memory_left(), 750);
        drop(reserved);
        assert_eq!(store.memory_left(), 1000);
    }

    #[test]
    fn clones_of_a_table_share_it() {
        let table: Table<AtomicU32> = Table::new(5, &Store::unlimited()).unwrap();
        table.clone()[3].store(7, Ordering::Relaxed);
        assert_eq!(table.iter().map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>(), [0, 0, 0, 7, 0]);
        assert!(Table::<AtomicU64>::new(0, &Store::unlimited()).unwrap().is_empty());
    }
}
