//! One shared map: made, registered, read in windows, and replaced when it is lost.
//!
//! Owns the raw memory of tables and the file calls that need `unsafe`. What a map holds is the matter of `table` and
//! `log`, and whether it may take memory that of `store`.

#![expect(unsafe_code, reason = "shared maps: raw memory, given out by the rules of the parent module")]

use super::store::Share;
use super::table::Atomic;
use crate::ranges::{self, MapRange, Registration};
use memmap2::{Advice, Mmap, MmapOptions, MmapRaw, UncheckedAdvice};
use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// Kinds of maps, as bits of the word of losses.
pub(super) mod kind {
    /// A table in a scratch file.
    pub const TABLE: u32 = 1;
    /// A log in a file, mapped for reading only.
    pub const LOG: u32 = 2;
    /// A table or a log in memory.
    pub const MEMORY: u32 = 4;
}

/// A word that all processes share: the kinds of a store's lost maps.
#[derive(Debug)]
pub(super) struct Losses(MmapRaw);

impl Losses {
    /// Creates the word. Its page exists from now on, so that a signal handler can write it.
    pub(super) fn new() -> io::Result<Self> {
        let file = memory_file(name::LOSSES)?;
        file.write_all_at(&[0; size_of::<AtomicU32>()], 0)?;
        MmapOptions::new().len(size_of::<AtomicU32>()).map_raw(&file).map(Losses)
    }

    pub(super) fn word(&self) -> &AtomicU32 {
        // SAFETY: the map is long enough, page-aligned, never written but as an atomic, and lives as long as `self`.
        unsafe { &*self.0.as_ptr().cast::<AtomicU32>() }
    }
}

/// A map that is registered for as long as it exists.
#[derive(Debug)]
pub(super) struct Map {
    /// Dropped before the map.
    _registration: Registration,
    raw: MmapRaw,
    kind: u32,
}

/// Bytes of a map that are requested at once by a [`Passage`] among many: 128 KiB.
const WINDOW: usize = 128 << 10;

/// Bytes that are requested at once by a [`Passage`] over records, of which there are few at a time: 1 MiB.
const RECORDS_WINDOW: usize = 1 << 20;

/// The place of a reader or writer that goes through a map in order, with many other maps beside it. The kernel would read
/// megabytes around each page of a file that is touched, and drop them again for those of the other maps. A passage
/// requests a window at a time, one window ahead, and unmaps it when it has passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    start: usize,
    end: usize,
    /// Bytes of a window.
    window: usize,
}

impl Default for Passage {
    fn default() -> Self {
        Passage { start: 0, end: 0, window: WINDOW }
    }
}

impl Passage {
    /// The passage of a reader of records.
    pub(crate) fn over_records() -> Self {
        Passage { window: RECORDS_WINDOW, ..Passage::default() }
    }
}

impl Map {
    /// Registers the map of a whole file. `losses` belongs to a store that outlives the map.
    pub(super) fn registered(raw: MmapRaw, kind: u32, losses: &AtomicU32) -> Self {
        let losses = std::ptr::from_ref(losses).cast_mut();
        let (start, bytes) = (raw.as_ptr().addr(), raw.len());
        let registration = ranges::register(MapRange { start, bytes, kind, losses });
        Map { _registration: registration, raw, kind }
    }

    /// Notes that `passage` has come to byte `at`. Nothing is read from byte `length` on.
    #[inline]
    pub(super) fn pass(&self, at: usize, length: usize, passage: &mut Passage) {
        if at.wrapping_sub(passage.start) >= passage.end - passage.start {
            self.next_window(at, length, passage);
        }
    }

    #[cold]
    fn next_window(&self, at: usize, length: usize, passage: &mut Passage) {
        let Passage { start, end, window } = *passage;
        if self.kind == kind::MEMORY {
            *passage = Passage { start: 0, end: usize::MAX, window };
            return;
        }
        let next = at - at % window;
        // Something that began in the last window may have ended far behind it.
        self.unmap_pages(start, if next > start && end > start { next } else { end });
        *passage = Passage { start: next, end: next + window, window };
        let (start, ahead) = (next, length.min(self.len()).saturating_sub(next).min(2 * window));
        // A hint: without it, each page is read when it is touched.
        let _ = self.advise_range(Advice::WillNeed, start, ahead);
    }

    /// Whether the map's bytes are those of a file on the disk.
    pub(super) fn is_on_disk(&self) -> bool {
        self.kind != kind::MEMORY
    }

    /// Turns off the kernel's reading around pages, for a map that is read by passages. A hint.
    pub(super) fn read_by_passages(&self) {
        if self.kind != kind::MEMORY {
            let _ = self.advise(Advice::Random);
        }
    }

    /// Takes the pages of a file out of this process's memory. The file keeps their bytes, and the next access maps them
    /// again. A map in memory is left alone. A hint.
    pub(super) fn give_back(&self) {
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

/// Names of files in memory. They are in `/proc/PID/maps` and lead to no file.
pub(crate) mod name {
    use std::ffi::CStr;

    /// A log in memory.
    pub const LOG: &CStr = c"bowline log";
    /// The mark of a log in a file.
    pub const MARK: &CStr = c"bowline mark";
    /// A table.
    pub const TABLE: &CStr = c"bowline table";
    /// The kinds of the lost maps.
    pub const LOSSES: &CStr = c"bowline losses";
}

/// Creates a file in memory, of which only maps show the name.
fn memory_file(name: &CStr) -> io::Result<File> {
    let refused = |errno: rustix::io::Errno| match Errno::from_raw(errno.raw_os_error()) {
        errno @ (Errno::ENOSYS | Errno::EPERM) => io::Error::other(format!("memfd_create: {}", errno.desc())),
        _ => errno.into(),
    };
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC).map_err(refused)?))
}

/// A shared map of zeroes, inherited by forked children. Sparse: a page takes memory or disk only after a write.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) map: Map,
    pub(super) share: Share,
}

impl Region {
    pub(super) fn in_memory(bytes: usize, share: Share, name: &CStr) -> io::Result<Self> {
        let file = memory_file(name)?;
        file.set_len(bytes as u64)?;
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Region { map: share.store.guarded(map, kind::MEMORY)?, share })
    }

    /// Requests the pages of a range in one call, which is cheaper than a fault for each page. A hint: without it, and on
    /// kernels older than 5.14, each page is allocated when it is touched.
    pub(super) fn populate(&self, start: usize, bytes: usize) {
        let bytes = bytes.min(self.map.len().saturating_sub(start));
        if self.map.kind != kind::MEMORY {
            // Reserved disk has no bytes yet: its pages are made many at a time, and nothing is read.
            let _ = self.map.advise_range(Advice::WillNeed, start, bytes);
        }
        let _ = self.map.advise_range(Advice::PopulateWrite, start, bytes);
    }

    /// The map as a slice of atomics.
    pub(super) fn atomics<A: Atomic>(&self, length: usize) -> &[A] {
        assert!(length <= self.map.len() / size_of::<A>(), "a table is within its map");
        // SAFETY: the map is page-aligned, long enough (checked), zeroed at first, and lives as long as `self`.
        // Atomics may be shared and written by anyone at any time.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<A>(), length) }
    }
}

/// Reserves the disk of `bytes` bytes of an empty file, in whole pages.
pub(super) fn reserve(file: &File, bytes: usize) -> io::Result<()> {
    overwrite_in_place(file);
    let reserved = bytes.checked_next_multiple_of(page()).and_then(|bytes| i64::try_from(bytes).ok());
    let reserved = reserved.ok_or(io::ErrorKind::OutOfMemory)?;
    Ok(posix_fallocate(file, 0, reserved)?)
}

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

/// Starts the writing of `bytes` bytes of a file to the disk, from byte `start` on, and waits for nothing
/// (sync_file_range(2)). A hint.
pub(crate) fn start_write_back(file: &File, start: u64, bytes: u64) {
    let (start, bytes) = (start as nix::libc::off64_t, bytes as nix::libc::off64_t);
    // SAFETY: the call takes an open file and numbers, and touches no memory.
    unsafe { nix::libc::sync_file_range(file.as_raw_fd(), start, bytes, nix::libc::SYNC_FILE_RANGE_WRITE) };
}

/// Bytes of a page of memory.
fn page() -> usize {
    // SAFETY: the call takes a number and touches no memory. It does not fail for this number (sysconf(3)).
    let bytes = unsafe { nix::libc::sysconf(nix::libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(64 << 10)
}

/// Maps a complete file for reading.
///
/// # Errors
/// The system's error.
pub fn input(file: &File) -> io::Result<Mmap> {
    // SAFETY: an output is renamed into place once it is complete, and this program never writes it again. If another
    // program truncates it meanwhile, a command that shows the output or merges it ends; no result is damaged.
    unsafe { Mmap::map(file) }
}

/// Takes the pages of a map by [`input`] out of this process's memory until they are accessed again. A hint.
pub fn give_back_input(map: &Mmap) {
    // SAFETY: the map is shared with its file, so its bytes stay the same (madvise(2), MADV_DONTNEED).
    let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
}

#[cfg(test)]
mod tests {
    use super::super::{Store, Table};
    use super::*;
    use std::path::PathBuf;
    use std::sync::atomic::AtomicU64;

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
        let name = "mapped::map::tests::ends_by_a_map_that_is_not_registered";
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
}
